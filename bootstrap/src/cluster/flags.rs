//! Which kinds of cluster take which flags. What a kind would not heed is refused, not ignored.

use super::{ClusterKind, ClusterSettings};

/// The kinds whose clusters are made by `kfe2e`.
pub const MADE: &[ClusterKind] = &[ClusterKind::Kind, ClusterKind::Microk8s, ClusterKind::Embedded];

/// A flag that not every kind takes.
struct Flag {
    name: &'static str,
    /// The kinds that take it.
    kinds: &'static [ClusterKind],
    /// Whether it asks for something: one with its default value does not.
    given: fn(&ClusterSettings) -> bool,
    /// What others do instead.
    instead: &'static str,
}

impl Flag {
    const fn new(
        name: &'static str,
        kinds: &'static [ClusterKind],
        given: fn(&ClusterSettings) -> bool,
    ) -> Self {
        Self { name, kinds, given, instead: "" }
    }
}

/// All of them.
const FLAGS: [Flag; 13] = [
    Flag::new("--name", MADE, |asked| asked.name != ClusterSettings::DEFAULT_NAME),
    Flag::new("--nodes", MADE, |asked| asked.nodes != ClusterSettings::DEFAULT_NODES),
    Flag::new("--kubernetes-version", MADE, |asked| asked.kubernetes_version.is_some()),
    Flag {
        instead: "; push the images to a registry that the nodes reach",
        ..Flag::new("--images (or KFE2E_IMAGES)", MADE, |asked| !asked.images.is_empty())
    },
    Flag::new("--kind-config", &[ClusterKind::Kind], |asked| asked.for_kind.kind_config.is_some()),
    Flag::new("--kind-image", &[ClusterKind::Kind], |asked| asked.for_kind.kind_image.is_some()),
    Flag::new("--reuse", &[ClusterKind::Kind], |asked| asked.for_kind.reuse),
    Flag::new("--channel", &[ClusterKind::Microk8s], |asked| asked.for_microk8s.channel.is_some()),
    Flag::new("--addons", &[ClusterKind::Microk8s], |asked| !asked.for_microk8s.addons.is_empty()),
    Flag::new("--metallb-addresses", &[ClusterKind::Microk8s], |asked| {
        asked.for_microk8s.metallb_addresses.is_some()
    }),
    Flag::new("--audit", &[ClusterKind::Embedded], |asked| !asked.for_embedded.audit.is_empty()),
    Flag::new("--kubeconfig", &[ClusterKind::Existing], |asked| asked.for_existing.kubeconfig.is_some()),
    Flag::new("--context", &[ClusterKind::Existing], |asked| asked.for_existing.context.is_some()),
];

/// Whether this kind takes all flags that were given; else one sentence on the first that it does not.
pub(super) fn check(asked: &ClusterSettings) -> Result<(), String> {
    let refused = FLAGS.iter().find(|flag| !flag.kinds.contains(&asked.kind) && (flag.given)(asked));
    refused.map_or(Ok(()), |Flag { name, kinds, instead, .. }| {
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        let kinds = kinds.join(" or ");
        Err(if asked.kind_is_named {
            format!("{name} belongs to --cluster {kinds}, and this is --cluster {}{instead}", asked.kind)
        } else {
            format!("{name} needs --cluster {kinds}: add it")
        })
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::command_line::{Command, CommandLine};

    fn refused(line: &str, kind: ClusterKind) -> Option<String> {
        let settings = match CommandLine::parse_from(line.split(' ')).command {
            Command::Run(run) => run.settings(kind),
            Command::Up(up) => up.settings(kind),
            other => panic!("neither run nor up: {other:?}"),
        };
        check(&settings).err()
    }

    #[test]
    fn every_flag_is_taken_by_its_kinds_and_refused_by_the_others() {
        let (made, kind) = (MADE, &[ClusterKind::Kind][..]);
        let (microk8s, existing) = (&[ClusterKind::Microk8s][..], &[ClusterKind::Existing][..]);
        for (flag, value, kinds) in [
            ("--name", " a", made),
            ("--nodes", " 3", made),
            ("--kubernetes-version", " 1.36", made),
            ("--images", " a", made),
            ("--kind-config", " a", kind),
            ("--kind-image", " a", kind),
            ("--reuse", "", kind),
            ("--channel", " a", microk8s),
            ("--addons", " dns", microk8s),
            ("--metallb-addresses", " a", microk8s),
            ("--kubeconfig", " a", existing),
            ("--context", " a", existing),
        ] {
            for of in [MADE, existing].concat() {
                let line = format!("kfe2e run --kubeflow none --cluster {of} {flag}{value}");
                let refused = refused(&line, of);
                assert_eq!(refused.is_none(), kinds.contains(&of), "{line} with {of}: {refused:?}");
                let names = |sentence: String| sentence.starts_with(flag) && sentence.contains(of.as_str());
                assert!(refused.is_none_or(names), "{line} with {of}");
            }
        }
        assert_eq!(
            refused("kfe2e run --kubeflow none --cluster existing --nodes 3", ClusterKind::Existing).unwrap(),
            "--nodes belongs to --cluster kind or microk8s or embedded, and this is --cluster existing"
        );
    }

    #[test]
    fn who_named_no_kind_is_told_which_one_to_name() {
        let refused =
            |flag: &str| refused(&format!("kfe2e run --kubeflow none {flag} a"), ClusterKind::Embedded);
        assert_eq!(refused("--kubeconfig").unwrap(), "--kubeconfig needs --cluster existing: add it");
        assert_eq!(refused("--kind-config").unwrap(), "--kind-config needs --cluster kind: add it");
    }

    #[test]
    fn only_the_api_server_of_an_embedded_cluster_is_told_whose_requests_to_write_down() {
        for of in MADE {
            let refused = refused(&format!("kfe2e up --cluster {of} --audit jane"), *of);
            assert_eq!(refused.is_none(), *of == ClusterKind::Embedded, "{of}: {refused:?}");
        }
    }

    #[test]
    fn a_command_line_without_flags_fits_all() {
        for of in [MADE, &[ClusterKind::Existing]].concat() {
            assert_eq!(refused("kfe2e run --kubeflow none", of), None);
        }
    }
}
