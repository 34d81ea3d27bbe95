//! Whether the kernel killed something in this container for its memory limit.

use std::fs;

use nix::sys::signal::Signal;

use crate::children::Exit;

/// Files that count it, of cgroup v2 and v1, as a container sees its own cgroup.
const COUNTERS: [&str; 2] = ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];

/// How often the kernel killed a process of this container for memory; `None` where no counter can be read.
pub fn kills() -> Option<u64> {
    COUNTERS.iter().find_map(|path| parse(&fs::read_to_string(path).ok()?))
}

/// Whether a process that ended like this was killed for memory: the counter stood at `before` when it was well.
pub fn was_cause(exit: Exit, before: Option<u64>) -> bool {
    exit == Exit::Signal(Signal::SIGKILL)
        && before.is_some_and(|before| kills().is_some_and(|now| now > before))
}

/// The line `oom_kill N`, which both versions have.
fn parse(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read() {
        assert_eq!(parse("low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 0\n"), Some(3));
        assert_eq!(parse("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), Some(2));
        assert_eq!(parse("oom_kill_disable 0\n"), None);
    }
}
