//! The program that holds a pod's namespaces, written byte by byte.
//!
//! Every pod needs a process that does nothing but exist and, as process 1 of a shared process namespace,
//! lets the kernel bury the dead. It comes neither from a registry, which may be out of reach, nor from a
//! compiler, which a host need not have, nor from the running executable, which may be a test's. So the whole
//! program stands here: two system calls in an ELF file of a few hundred bytes, for both architectures.
//!
//! ```text
//! rt_sigaction(SIGCHLD, {SIG_IGN}, NULL, 8)    the kernel reaps children itself
//! loop { pause() }                             signals without a handler are ignored by process 1
//! ```

use bootstrap_image::Architecture;

/// Where the file is mapped.
const BASE: u64 = 0x40_0000;
/// Size of the ELF header and of the one program header after it.
const HEADERS: u64 = 64 + 56;
/// A `struct sigaction` that says `SIG_IGN` (1) and nothing else.
const IGNORE: [u8; 32] = {
    let mut action = [0; 32];
    action[0] = 1;
    action
};
const SIGCHLD: u32 = 17;

/// The executable for an architecture.
pub(crate) fn executable(architecture: Architecture) -> Vec<u8> {
    let (machine, code) = match architecture {
        Architecture::Amd64 => (62, amd64()),
        Architecture::Arm64 => (183, arm64()),
    };
    let mut file = headers(machine, HEADERS + (code.len() + IGNORE.len()) as u64);
    file.extend(code);
    file.extend(IGNORE);
    file
}

fn amd64() -> Vec<u8> {
    let mut code = Vec::new();
    code.extend([0xb8, 13, 0, 0, 0]); // mov eax, 13            rt_sigaction
    code.extend([0xbf, 17, 0, 0, 0]); // mov edi, 17            SIGCHLD
    code.extend([0x48, 0x8d, 0x35, 19, 0, 0, 0]); // lea rsi, [rip+19]      the action, after the code
    code.extend([0x31, 0xd2]); // xor edx, edx           no old action
    code.extend([0x41, 0xba, 8, 0, 0, 0]); // mov r10d, 8            size of a signal set
    code.extend([0x0f, 0x05]); // syscall
    code.extend([0xb8, 34, 0, 0, 0]); // mov eax, 34            pause
    code.extend([0x0f, 0x05]); // syscall
    code.extend([0xeb, 0xf7]); // jmp -9                 again
    code
}

fn arm64() -> Vec<u8> {
    let mov = |register: u32, value: u32| 0xd280_0000 | (value << 5) | register; // movz xR, #value
    let svc = 0xd400_0001_u32; // svc #0
    let program = [
        mov(8, 134), // rt_sigaction
        mov(0, SIGCHLD),
        0x1000_0161, // adr x1, +44            the action, after the code
        mov(2, 0),
        mov(3, 8),
        svc,
        mov(0, 0), // again:
        mov(1, 0),
        mov(2, 0),
        mov(3, 0),
        mov(8, 73), // ppoll(NULL, 0, NULL, NULL): this architecture has no pause
        svc,
        0x17ff_fffa, // b again (-24)
    ];
    program.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// An ELF header for a static executable, and one segment that maps the whole file.
fn headers(machine: u16, size: u64) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0]); // 64 bits, little endian, version 1
    out.extend([0; 8]);
    out.extend(2_u16.to_le_bytes()); // an executable
    out.extend(machine.to_le_bytes());
    out.extend(1_u32.to_le_bytes());
    out.extend((BASE + HEADERS).to_le_bytes()); // the first instruction
    out.extend(64_u64.to_le_bytes()); // the program header follows this one
    out.extend(0_u64.to_le_bytes()); // no sections
    out.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 0, 0, 0] {
        out.extend(half.to_le_bytes()); // sizes and numbers of headers
    }
    out.extend(1_u32.to_le_bytes()); // a segment to load,
    out.extend(5_u32.to_le_bytes()); // readable and executable,
    for word in [0, BASE, BASE, size, size, 0x1_0000] {
        out.extend(word.to_le_bytes()); // from offset 0 to BASE
    }
    out
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::{fs::PermissionsExt, process::ExitStatusExt},
        process::Command,
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn the_action_lies_where_the_code_looks() {
        // lea: 17 bytes to the instruction's end, then the displacement.
        assert_eq!(amd64().len(), 17 + 19);
        // adr: from the third instruction, 44 bytes on.
        assert_eq!(arm64().len(), 2 * 4 + 44);
    }

    #[test]
    fn it_runs_waits_and_is_tiny() {
        let bytes = executable(Architecture::host());
        assert!(bytes.len() < 300);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pause");
        fs::write(&path, &bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        // A concurrent fork of another test may still hold the file open for writing.
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut child = loop {
            match Command::new(&path).spawn() {
                Ok(child) => break child,
                Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy && Instant::now() < deadline => {
                }
                Err(e) => panic!("{e}"),
            }
        };
        let ignores_children = |pid: u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
            u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << (SIGCHLD - 1)) != 0
        };
        while !ignores_children(child.id()) {
            assert!(child.try_wait().unwrap().is_none(), "it ended");
            assert!(Instant::now() < deadline, "it never ignored SIGCHLD");
            thread::yield_now();
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
