//! Which kind of cluster fits this machine when nobody says: KinD where Docker or Podman answers, else the embedded one.

use super::{
    ClusterKind,
    kind::{Answer, Runtime},
};

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

fn pick_for(answer: Answer) -> Picked {
    let (kind, why) = match answer {
        Answer::Yes(runtime) => (ClusterKind::Kind, format!("{runtime} answers here")),
        Answer::Refused(why) => (ClusterKind::Embedded, format!("--cluster kind cannot be: {why}")),
        Answer::No => (ClusterKind::Embedded, "neither Docker nor Podman answers here".to_owned()),
    };
    Picked { kind, because: format!("--cluster {kind} is taken, as {why}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_decides_and_the_reason_is_said() {
        let picked = |answer| {
            let Picked { kind, because } = pick_for(answer);
            (kind, because)
        };
        assert_eq!(
            picked(Answer::Yes(Runtime::Docker)),
            (ClusterKind::Kind, "--cluster kind is taken, as Docker answers here".into())
        );
        let none = "--cluster embedded is taken, as neither Docker nor Podman answers here";
        assert_eq!(picked(Answer::No), (ClusterKind::Embedded, none.into()));
        let refused =
            "--cluster embedded is taken, as --cluster kind cannot be: you have no right to use Docker";
        assert_eq!(
            picked(Answer::Refused("you have no right to use Docker".into())),
            (ClusterKind::Embedded, refused.into())
        );
    }
}
