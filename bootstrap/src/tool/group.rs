//! The processes that a program consists of.

use std::{process::Child, thread, time::Instant};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::{GRACE, TICK};

/// The process group of a program.
pub(super) struct Group(Pid);

impl Group {
    /// The group that a child was started in.
    pub(super) fn of(child: &Child) -> Self {
        Self(Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX)))
    }

    /// Ends the program and what it started: asked first, killed when that does not help.
    pub(super) fn end(&self, child: &mut Child) -> std::io::Result<()> {
        let deadline = Instant::now() + GRACE;
        // A group that is gone already is what is wanted.
        let _ = killpg(self.0, Signal::SIGTERM);
        while child.try_wait()?.is_none() {
            if Instant::now() >= deadline {
                let _ = killpg(self.0, Signal::SIGKILL);
                child.wait()?;
                return Ok(());
            }
            // A child's end has no event that can be waited for together with a deadline.
            thread::sleep(TICK);
        }
        let _ = killpg(self.0, Signal::SIGKILL);
        Ok(())
    }
}
