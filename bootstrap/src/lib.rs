//! kfe2e: host, cluster, Kubeflow, operator, run, evidence, clean-up.

pub mod cluster;
pub mod collect;
pub mod command;
pub mod command_line;
pub mod failure;
pub mod input;
pub mod interrupt;
pub mod manifests;
pub mod progress;
pub mod run;
pub mod tool;
pub mod watched;

use std::io::{Write as _, stderr};

use clap::Parser as _;
use crds::ExitCode;

use crate::{
    command_line::{Command, CommandLine, ImageCommand},
    failure::Failure,
};

/// Parses the command line, does what it says, and tells how it ended.
pub fn main() -> ExitCode {
    let outcome = run(CommandLine::parse());
    outcome.unwrap_or_else(|failure| {
        // Where nobody reads it any more, the exit code still says it.
        let _ = writeln!(stderr().lock(), "kfe2e: {failure}");
        failure.code
    })
}

fn run(command_line: CommandLine) -> Result<ExitCode, Failure> {
    // The first provider that is asked wins; one for all, chosen here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match command_line.command {
        Command::Run(args) => runtime()?.block_on(Box::pin(run::run(&args))),
        Command::Up(args) => runtime()?.block_on(command::up::up(&args)),
        Command::Deploy(args) => runtime()?.block_on(command::deploy::deploy(&args)),
        Command::Down(args) => command::down::down(&args),
        Command::Assets { kind, kubernetes_version } => {
            command::assets::assets(kind, kubernetes_version.as_deref())
        }
        Command::Inventory { from, name } => runtime()?.block_on(command::inventory::inventory(&from, &name)),
        Command::Image { command } => match command {
            ImageCommand::Load { cluster, folder } => command::image::load(&cluster, &folder),
            ImageCommand::Write { spec, out } => command::image::write(&spec, &out),
            ImageCommand::List { folder } => command::image::list(&folder),
        },
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::infrastructure(format!("starting the runtime: {error}")))
}
