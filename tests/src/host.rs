//! What a cluster could leave on the host, read from the kernel and never from our own records.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

/// Everything on the host that a cluster can make, as sorted lines.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Host(BTreeSet<String>);

/// Kernel settings that a cluster's parts change.
const SETTINGS: [&str; 10] = [
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "net/netfilter/nf_conntrack_max",
    "fs/inotify/max_user_instances",
    "fs/inotify/max_user_watches",
];

impl Host {
    /// The host as it is now.
    pub fn now() -> Self {
        let mut lines = BTreeSet::new();
        lines.extend(processes());
        lines.extend(tool("link", "ip", &["-brief", "link"], |line| {
            line.split(['@', ' ']).next().map(Into::into)
        }));
        lines.extend(tool("netns", "ip", &["netns", "list"], |line| line.split(' ').next().map(Into::into)));
        lines.extend(tool("nft", "nft", &["list", "tables"], |line| Some(line.into())));
        lines.extend(tool("rule", "iptables-save", &[], |line| line.starts_with("-A").then(|| line.into())));
        lines.extend(mounts());
        lines.extend(cgroups());
        lines.extend(folders());
        for setting in SETTINGS {
            if let Ok(value) = fs::read_to_string(Path::new("/proc/sys").join(setting)) {
                lines.insert(format!("setting {setting} = {}", value.trim()));
            }
        }
        Self(lines)
    }

    /// Fails the test when the host differs from `before`.
    pub fn assert_unchanged_since(&self, before: &Self) {
        let more: Vec<&String> = self.0.difference(&before.0).collect();
        let less: Vec<&String> = before.0.difference(&self.0).collect();
        assert!(
            more.is_empty() && less.is_empty(),
            "left on the host: {more:#?}\nmissing from the host: {less:#?}"
        );
    }
}

/// Programs of clusters: by name, because a name is what no bookkeeping of ours can hide.
fn processes() -> Vec<String> {
    const NAMES: [&str; 9] = [
        "etcd",
        "kube-apiserver",
        "kube-controller",
        "kube-scheduler",
        "kubelet",
        "kube-proxy",
        "containerd",
        "containerd-shim",
        "coredns",
    ];
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    pids.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            // What has ended and only waits for init to take note of it has let go of everything.
            let ended = fs::read_to_string(format!("/proc/{pid}/status"))
                .is_ok_and(|text| text.contains("State:\tZ"));
            if ended {
                return None;
            }
            let marked = fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                environment
                    .split(|byte| *byte == 0)
                    .any(|variable| variable.starts_with(b"KFE2E_PROCESS_OF="))
            });
            let known = NAMES.iter().any(|known| name.trim_end().starts_with(&known[..known.len().min(15)]));
            (known || marked).then(|| format!("process {pid} {}", name.trim_end()))
        })
        .collect()
}

/// The lines of a tool that `keep` makes something of.
fn tool(what: &str, program: &str, arguments: &[&str], keep: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let output =
        Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(keep).map(|line| format!("{what} {line}")).collect()
}

fn mounts() -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mounts").unwrap();
    text.lines().map(|line| format!("mount {}", line.split(' ').nth(1).unwrap_or_default())).collect()
}

/// Every cgroup of every hierarchy, two levels deep.
fn cgroups() -> Vec<String> {
    let mut found = Vec::new();
    for hierarchy in subfolders(Path::new("/sys/fs/cgroup")) {
        for group in subfolders(&hierarchy) {
            found.push(format!("cgroup {}", group.display()));
        }
    }
    found
}

fn folders() -> Vec<String> {
    let places = [
        "/var/lib/kfe2e",
        "/run/kfe2e",
        "/var/lib/kubelet",
        "/var/lib/cni",
        "/run/containerd",
        "/opt/containerd",
        "/var/log/containers",
        "/tmp/hostpath_pv",
    ];
    let there = places.iter().map(Path::new).filter(|place| place.exists()).map(Path::to_path_buf);
    let clusters = places.iter().flat_map(|place| subfolders(Path::new(place)));
    there.chain(clusters).map(|folder| format!("folder {}", folder.display())).collect()
}

fn subfolders(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_dir() && !path.is_symlink())
        .collect()
}
