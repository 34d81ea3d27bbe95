//! The program `runner`; see the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    runner::run(std::env::args_os().skip(1))
}
