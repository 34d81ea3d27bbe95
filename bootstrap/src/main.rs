//! The program `kfe2e`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(bootstrap::main().code())
}
