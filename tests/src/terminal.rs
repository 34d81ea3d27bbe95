//! `kfe2e` in a terminal whose window is closed while it works, as where a connection is lost.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::program::{Running, kfe2e, start_command};

/// A terminal with `kfe2e` in it.
pub struct Terminal {
    window: Running,
    folder: TempDir,
}

impl Terminal {
    /// Opens one, and starts `kfe2e` in it.
    pub fn start<S: AsRef<str>>(arguments: &[S]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let quoted = |word: &str| format!("'{word}'");
        let words: Vec<_> = arguments.iter().map(|argument| quoted(argument.as_ref())).collect();
        let (program, place) = (kfe2e().display().to_string(), folder.path().display().to_string());
        // The shell in it lives on without it, to write down how the program ends.
        let inside = format!(
            "trap : HUP; {} {}; echo $? > {place}/part; mv {place}/part {place}/code",
            quoted(&program),
            words.join(" ")
        );
        let mut window = Command::new("script");
        window.args(["--quiet", "--command", &inside, "/dev/null"]).env("SHELL", "/bin/sh");
        let window = start_command(&mut window, format!("a terminal with kfe2e {}", words.join(" ")));
        Self { window, folder }
    }

    /// Waits until a path exists, while the program runs; fails the test after `limit`.
    pub fn await_path(&mut self, path: &Path, limit: Duration) {
        self.window.await_path(path, limit);
    }

    /// Closes the window; returns the exit code of the program, which must end within `limit`.
    pub fn close(self, limit: Duration) -> i32 {
        let deadline = Instant::now() + limit;
        // Its end is the end of the terminal, and the kernel tells who is in it by SIGHUP.
        self.window.signal(Signal::SIGKILL);
        self.window.wait(limit);
        loop {
            if let Ok(code) = fs::read_to_string(self.folder.path().join("code")) {
                return code.trim().parse().unwrap();
            }
            assert!(Instant::now() < deadline, "kfe2e did not end within {limit:?} of its terminal's end");
            // The end of somebody else's child has no event that can be waited for.
            thread::sleep(Duration::from_millis(20));
        }
    }
}
