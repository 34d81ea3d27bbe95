//! What the flags ask of MicroK8s.

use std::net::Ipv4Addr;

use clap::Args;

/// What Kubeflow's end-to-end test needs: names, volumes, a way in, load balancers' addresses, roles.
const ADDONS: [&str; 5] = ["dns", "hostpath-storage", "ingress", "metallb", "rbac"];

/// Addresses of a network of its own, as the documentation of MicroK8s and Juju has them.
const METALLB_ADDRESSES: &str = "10.64.140.43-10.64.140.49";

/// Flags of `--cluster microk8s`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "With --cluster microk8s")]
pub struct Microk8sArgs {
    /// Channel of the snap, such as 1.34/stable [default: that of --kubernetes-version, else latest/stable].
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Option<String>,
    /// Addons to enable, separated by commas [default: dns,hostpath-storage,ingress,metallb,rbac].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub addons: Vec<String>,
    /// Addresses for the addon metallb [default: 10.64.140.43-10.64.140.49].
    #[arg(long, value_name = "FROM-TO")]
    pub metallb_addresses: Option<String>,
}

/// The snap's channel and the addons, as `snap` and `microk8s` take them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Asked {
    /// Channel of the snap.
    pub(super) channel: String,
    /// Whether somebody chose it.
    pub(super) channel_named: bool,
    /// Addons in the order in which they are enabled, such as `metallb:10.64.140.43-10.64.140.49`.
    pub(super) addons: Vec<String>,
}

impl Asked {
    /// What these flags ask for; else one sentence on what is wrong with them.
    pub(super) fn of(version: Option<&str>, args: &Microk8sArgs) -> Result<Self, String> {
        let named = match (version, args.channel.as_deref()) {
            (Some(_), Some(_)) => {
                return Err(
                    "--kubernetes-version and --channel both choose the snap's channel: give one".into()
                );
            }
            (Some(version), None) => Some(channel_of(version)?),
            (None, channel) => {
                channel.map(|channel| checked_channel(channel).map(str::to_owned)).transpose()?
            }
        };
        Ok(Self {
            channel_named: named.is_some(),
            channel: named.unwrap_or_else(|| "latest/stable".to_owned()),
            addons: addons(&args.addons, args.metallb_addresses.as_deref())?,
        })
    }
}

/// The stable channel of a minor version.
fn channel_of(version: &str) -> Result<String, String> {
    let bare = version.strip_prefix('v').unwrap_or(version);
    let numbers: Vec<&str> = bare.split('.').collect();
    let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if numbers.len() == 2 && numbers.iter().all(is_number) {
        return Ok(format!("{bare}/stable"));
    }
    Err(format!(
        "--kubernetes-version {version}: MicroK8s has a channel for each minor version, such as 1.34; for another \
         channel use --channel"
    ))
}

/// A channel as snaps have them: track, risk and branch, or fewer of them.
fn checked_channel(channel: &str) -> Result<&str, String> {
    let part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphanumeric())
            && part.chars().all(|char| char.is_ascii_alphanumeric() || "._-".contains(char))
    };
    if channel.split('/').count() <= 3 && channel.split('/').all(part) {
        return Ok(channel);
    }
    Err(format!("--channel {channel}: a channel is a track, a risk or both, such as 1.34/stable"))
}

/// The addons, each with what it is given.
fn addons(names: &[String], addresses: Option<&str>) -> Result<Vec<String>, String> {
    let mut addons: Vec<String> = Vec::new();
    let names: Vec<&str> =
        if names.is_empty() { ADDONS.to_vec() } else { names.iter().map(String::as_str).collect() };
    for name in names {
        let (bare, argument) = name.split_once(':').map_or((name, None), |(name, rest)| (name, Some(rest)));
        let is_name = bare.starts_with(|first: char| first.is_ascii_alphanumeric())
            && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_name || argument.is_some_and(|argument| argument.is_empty() || argument.contains(' ')) {
            return Err(format!("--addons: `{name}` is no addon's name, such as dns or hostpath-storage"));
        }
        if addons.iter().any(|addon| addon.split(':').next() == Some(bare)) {
            continue;
        }
        addons.push(match (bare, argument) {
            ("metallb", None) => format!("metallb:{}", pool(addresses.unwrap_or(METALLB_ADDRESSES))?),
            ("metallb", Some(_)) => {
                return Err("--addons: give metallb its addresses by --metallb-addresses".into());
            }
            _ => name.to_owned(),
        });
    }
    let has = |name: &str| addons.iter().any(|addon| addon.split(':').next() == Some(name));
    if addresses.is_some() && !has("metallb") {
        return Err("--metallb-addresses is for the addon metallb, which --addons does not list".into());
    }
    if !has("dns") {
        return Err("--addons lacks dns, without which no pod finds another by name".into());
    }
    Ok(addons)
}

/// An address pool as the addon takes it: ranges or networks, separated by commas. A pool that it cannot read would
/// show only after minutes.
fn pool(addresses: &str) -> Result<&str, String> {
    let address = |text: &str| text.parse::<Ipv4Addr>().ok();
    let part = |part: &str| {
        if let Some((from, to)) = part.split_once('-') {
            return address(from).zip(address(to)).is_some_and(|(from, to)| from <= to);
        }
        part.split_once('/').is_some_and(|(net, bits)| {
            address(net).is_some() && bits.parse::<u8>().is_ok_and(|bits| bits <= 32)
        })
    };
    if addresses.split(',').all(part) {
        return Ok(addresses);
    }
    Err(format!(
        "--metallb-addresses {addresses}: not a range such as {METALLB_ADDRESSES}, nor a network such as \
         192.168.1.240/28"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(version: Option<&str>, channel: Option<&str>) -> Result<Asked, String> {
        let args = Microk8sArgs { channel: channel.map(str::to_owned), ..Microk8sArgs::default() };
        Asked::of(version, &args)
    }

    #[test]
    fn a_version_is_a_stable_channel_and_a_channel_is_itself() {
        let channel = |version, channel| asked(version, channel).map(|asked| asked.channel);
        assert_eq!(channel(None, None).unwrap(), "latest/stable");
        assert_eq!(channel(Some("1.34"), None).unwrap(), "1.34/stable");
        assert_eq!(channel(Some("v1.34"), None).unwrap(), "1.34/stable");
        assert_eq!(channel(None, Some("1.33-strict/candidate")).unwrap(), "1.33-strict/candidate");
        for (version, given) in [
            (Some("1.34"), Some("1.34/edge")),
            (Some("1.34.2"), None),
            (Some("newest"), None),
            (None, Some("--devmode")),
            (None, Some("1.34/")),
        ] {
            assert!(channel(version, given).is_err(), "{version:?} {given:?}");
        }
    }

    #[test]
    fn metallb_gets_its_pool_and_the_order_stays() {
        let asked = |names: &[&str], addresses: Option<&str>| {
            addons(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), addresses)
        };
        assert_eq!(
            asked(&[], None).unwrap(),
            ["dns", "hostpath-storage", "ingress", "metallb:10.64.140.43-10.64.140.49", "rbac"]
        );
        assert_eq!(
            asked(&["rbac", "dns:1.1.1.1", "rbac", "metallb"], Some("10.0.0.0/28,10.1.0.1-10.1.0.9"))
                .unwrap(),
            ["rbac", "dns:1.1.1.1", "metallb:10.0.0.0/28,10.1.0.1-10.1.0.9"]
        );
        for (names, addresses) in [
            (&["rbac"][..], None),
            (&["dns", ""], None),
            (&["dns", "--force"], None),
            (&["dns", "metallb:10.0.0.1-10.0.0.2"], None),
            (&["dns"], Some("10.0.0.1-10.0.0.2")),
            (&[], Some("10.0.0.9-10.0.0.2")),
            (&[], Some("10.0.0.9")),
        ] {
            assert!(asked(names, addresses).is_err(), "{names:?} {addresses:?}");
        }
    }
}
