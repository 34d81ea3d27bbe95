//! Async tests as trials of a binary with a `main` of its own.

use std::{future::Future, process::ExitCode, sync::Arc, time::Duration};

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

/// No trial may take longer: a hang is a failure with a name.
const LIMIT: Duration = Duration::from_secs(600);

/// The runtime of a test binary, with the one TLS provider installed.
pub fn runtime() -> Arc<Runtime> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Arc::new(tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap())
}

/// A trial that runs an async test on what the binary shares.
pub fn trial<S, F>(
    name: impl Into<String>,
    runtime: &Arc<Runtime>,
    shared: &Arc<S>,
    test: fn(Arc<S>) -> F,
) -> Trial
where
    S: Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (runtime, shared) = (Arc::clone(runtime), Arc::clone(shared));
    Trial::test(name, move || {
        let limited = async { tokio::time::timeout(LIMIT, test(shared)).await };
        runtime
            .block_on(limited)
            .map_err(|_| Failed::from(format!("it did not end within {} s", LIMIT.as_secs())))
    })
}

/// A trial of a plain function.
pub fn plain(name: impl Into<String>, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// Whether the command line selects no trials by their names: what looks back on all of them has to have seen them all.
pub fn is_whole() -> bool {
    let arguments = Arguments::from_args();
    arguments.filter.is_none() && arguments.skip.is_empty()
}

/// Runs the trials that the command line selects, then `after`, whatever they came to.
pub fn run(trials: Vec<Trial>, after: impl FnOnce()) -> ExitCode {
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    after();
    conclusion.exit_code()
}
