//! The commands beside `run`, one file each.

pub mod assets;
pub mod deploy;
pub mod down;
pub mod image;
pub mod inventory;
pub mod up;

use crds::ExitCode;

use crate::{failure::Failure, progress::Output};

/// How a command ends whose display has shown its failure. For people that was on standard error, where it would stand
/// twice; who reads JSON finds it there as well.
fn shown(output: Output, failure: Failure) -> Result<ExitCode, Failure> {
    match output {
        Output::Text => Ok(failure.code),
        Output::Json => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_of_a_failure_once() {
        let failure = || Failure::infrastructure("no disk");
        assert_eq!(shown(Output::Text, failure()), Ok(ExitCode::Infrastructure));
        assert_eq!(shown(Output::Json, failure()), Err(failure()));
    }
}
