//! Which kind of cluster fits this machine when nobody says: KinD where Docker or Podman answers, else the embedded one.

use super::{ClusterKind, kind::Runtime};

/// A kind with the reason for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Picked {
    /// The kind.
    pub kind: ClusterKind,
    /// One sentence for people.
    pub because: String,
}

/// Picks the kind of cluster for this machine.
pub fn pick() -> Picked {
    pick_for(Runtime::answering())
}

fn pick_for(runtime: Option<Runtime>) -> Picked {
    let (kind, why) = runtime.map_or_else(
        || (ClusterKind::Embedded, "neither Docker nor Podman answers here".to_owned()),
        |runtime| (ClusterKind::Kind, format!("{runtime} answers here")),
    );
    Picked { kind, because: format!("--cluster {kind} is taken, as {why}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_decides_and_the_reason_is_said() {
        assert_eq!(
            pick_for(Some(Runtime::Docker)),
            Picked {
                kind: ClusterKind::Kind,
                because: "--cluster kind is taken, as Docker answers here".into()
            }
        );
        let none = pick_for(None);
        assert_eq!(none.because, "--cluster embedded is taken, as neither Docker nor Podman answers here");
    }
}
