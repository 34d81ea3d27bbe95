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
        let (program, place) = (quoted(&kfe2e().display().to_string()), folder.path().display());
        // Of the two shells in the terminal, the outer one ends with it, by which the kernel tells all others in it. The
        // inner one stays, to write down how the program ends.
        let inner = format!(
            "trap : HUP; {program} {}; echo $? > {place}/part; mv {place}/part {place}/code",
            words.join(" ")
        );
        fs::write(folder.path().join("inner"), inner).unwrap();
        // Whoever runs the tests may have told them to outlive a terminal of their own.
        let mut window = Command::new("env");
        window.args(["--default-signal=HUP", "script", "--quiet", "--command"]);
        window.args([&format!("sh {place}/inner; true"), "/dev/null"]).env("SHELL", "/bin/sh");
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
        // Its end is the end of the terminal.
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
