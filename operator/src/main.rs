//! The program `operator`.

use std::process::ExitCode;

fn main() -> ExitCode {
    operator::telemetry::init();
    let settings = match operator::settings::Settings::read(std::env::args_os().skip(1)) {
        Ok(settings) => settings,
        Err(error) => {
            tracing::error!(%error, "Settings are incomplete");
            return ExitCode::from(2);
        }
    };
    match operator::run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "Operator ended");
            ExitCode::FAILURE
        }
    }
}
