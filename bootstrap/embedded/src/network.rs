//! The cluster's network namespace and its link to the host.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    ClusterName, Error,
    address::{POD_NETWORK, Subnet, used_in},
    command::Tool,
    config::{Layout, Roots},
    firewall, state,
};

/// The name of the link inside the namespace.
const INNER: &str = "eth0";
/// The usual frame size, and the most that the link offers.
const USUAL_MTU: u32 = 1500;

/// Finds a subnet that neither the host nor a recorded cluster uses. The caller holds the host's lock and
/// records the answer before letting go of it.
pub(crate) fn allocate(roots: &Roots) -> Result<Subnet, Error> {
    let mut used = used_in(&Tool::new("ip").args(["-4", "-o", "address"]).run()?);
    used.extend(used_in(&Tool::new("ip").args(["-4", "route", "show", "table", "all"]).run()?));
    used.extend(state::subnets(roots)?);
    Subnet::free(&used).ok_or_else(|| {
        Error::Host(
            "all networks 10.77.1.0/24 to 10.77.254.0/24 are in use: end a cluster with `kfe2e down`".into(),
        )
    })
}

/// Makes the namespace, the link and what is inside. Returns the link's frame size.
pub(crate) fn create(layout: &Layout, subnet: Subnet) -> Result<u32, Error> {
    let name = &layout.name;
    let netns = layout.netns();
    fs::write(&netns, "").map_err(Error::io("create", &netns))?;
    let mut option = std::ffi::OsString::from("--net=");
    option.push(&netns);
    Tool::new("unshare").arg(option).arg("true").of(name).run()?;
    let mtu = uplink_mtu()?;
    Tool::new("ip").args(["-batch", "-"]).of(name).run_with(outer_plan(name, subnet, &netns, mtu))?;
    enter(&netns).args(["ip", "-batch", "-"]).of(name).run_with(inner_plan(subnet))?;
    enter(&netns).args(["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]).of(name).run()?;
    Ok(mtu)
}

/// Lets pods out of the namespace under the node's address, and the cluster out of the host under the
/// host's. What the outside sees is always the host.
pub(crate) fn open(layout: &Layout, subnet: Subnet) -> Result<(), Error> {
    enter(&layout.netns()).args(["nft", "-f", "-"]).of(&layout.name).run_with(inner_nat())?;
    firewall::open(&layout.name, subnet)
}

/// `nsenter` into a network namespace; the command follows as arguments.
///
/// Not `ip netns exec`: that mounts a new /sys, which hides the cgroups.
pub(crate) fn enter(netns: &Path) -> Tool {
    Tool::new("nsenter").arg(enter_option(netns))
}

/// The option with which `nsenter` enters a network namespace.
pub(crate) fn enter_option(netns: &Path) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from("--net=");
    option.push(netns);
    option
}

/// Whether the host's end of the link exists.
pub(crate) fn link_exists(cluster: &ClusterName) -> bool {
    Path::new("/sys/class/net").join(cluster.link()).exists()
}

/// Removes the link, which takes its other end with it: without this it would go some time after the
/// namespace.
pub(crate) fn remove_link(cluster: &ClusterName) -> Result<bool, Error> {
    if !link_exists(cluster) {
        return Ok(false);
    }
    match Tool::new("ip").args(["link", "delete", &cluster.link()]).run() {
        Err(e) if link_exists(cluster) => Err(e),
        Ok(_) | Err(_) => Ok(true),
    }
}

/// The mounts of this host that are inside the cluster's folders, the deepest first.
pub(crate) fn mounts(layout: &Layout) -> Result<Vec<PathBuf>, Error> {
    let path = "/proc/self/mounts";
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let mut found: Vec<PathBuf> = text
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from)
        .filter(|p| layout.owns(p))
        .collect();
    found.sort();
    found.reverse();
    Ok(found)
}

/// Unmounts all that is inside the cluster's folders, the network namespace first of all.
pub(crate) fn unmount(layout: &Layout) -> Result<usize, Error> {
    let found = mounts(layout)?;
    for mount in &found {
        Tool::new("umount").arg(mount).run()?;
    }
    Ok(found.len())
}

/// The frame size of the link that leads out of the host: a larger one inside would lose packets wherever
/// the messages that say so are filtered.
fn uplink_mtu() -> Result<u32, Error> {
    let routes = Tool::new("ip").args(["-4", "route", "show", "default"]).run()?;
    let mut words = routes.split_whitespace().skip_while(|word| *word != "dev").skip(1);
    let Some(device) = words.next() else { return Ok(USUAL_MTU) };
    let mtu = fs::read_to_string(Path::new("/sys/class/net").join(device).join("mtu")).ok();
    Ok(mtu.and_then(|text| text.trim().parse().ok()).unwrap_or(USUAL_MTU).min(USUAL_MTU))
}

fn outer_plan(name: &ClusterName, subnet: Subnet, netns: &Path, mtu: u32) -> String {
    let link = name.link();
    format!(
        "link add {link} mtu {mtu} type veth peer name {INNER} mtu {mtu} netns {}\n\
         address add {}/24 dev {link}\n\
         link set {link} up\n",
        netns.display(),
        subnet.host(),
    )
}

fn inner_plan(subnet: Subnet) -> String {
    format!(
        "link set lo up\n\
         address add {}/24 dev {INNER}\n\
         link set {INNER} up\n\
         route add default via {}\n",
        subnet.node(),
        subnet.host(),
    )
}

fn inner_nat() -> String {
    format!(
        "table ip kfe2e {{\n\
         \x20 chain postrouting {{\n\
         \x20   type nat hook postrouting priority srcnat; policy accept;\n\
         \x20   ip saddr {POD_NETWORK} oifname \"{INNER}\" masquerade\n\
         \x20 }}\n\
         }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plans_name_both_ends() {
        let name = ClusterName::new("a").unwrap();
        let outer = outer_plan(&name, Subnet(3), Path::new("/run/kfe2e/a/netns"), 1400);
        assert!(outer.contains(
            "link add kfe2e-a mtu 1400 type veth peer name eth0 mtu 1400 netns /run/kfe2e/a/netns"
        ));
        assert!(outer.contains("address add 10.77.3.1/24 dev kfe2e-a"));
        let inner = inner_plan(Subnet(3));
        assert!(
            inner.contains("address add 10.77.3.2/24 dev eth0") && inner.contains("default via 10.77.3.1")
        );
    }
}
