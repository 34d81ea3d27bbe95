//! Fetching released binaries with `curl`, verified by the checksums that are released beside them.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use bootstrap_image::Architecture;
use flate2::read::GzDecoder;

use super::{Errand, Set};
use crate::{Error, command::Input, digest, progress::Teller};

/// How long a server may take to answer at all, in seconds: on a closed network this is what is lost.
const CONNECT_LIMIT: &str = "5";

/// Where releases are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Releases {
    /// The base of Kubernetes' releases.
    pub kubernetes: String,
    /// The base of etcd's releases.
    pub etcd: String,
    /// The base of CoreDNS' releases.
    pub coredns: String,
    /// The base of kind's releases.
    pub kind: String,
}

impl Default for Releases {
    fn default() -> Self {
        Self {
            kubernetes: "https://dl.k8s.io".to_owned(),
            etcd: "https://github.com/etcd-io/etcd/releases/download".to_owned(),
            coredns: "https://github.com/coredns/coredns/releases/download".to_owned(),
            kind: "https://github.com/kubernetes-sigs/kind/releases/download".to_owned(),
        }
    }
}

/// A file to fetch, with its checksum's file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Download {
    url: String,
    checksums: String,
    /// The program as it is called here.
    program: &'static str,
    /// Whether the file is a gzipped tar that holds the program.
    packed: bool,
}

/// Fetches a set into a folder.
pub(super) fn download(
    releases: &Releases,
    set: Set,
    into: &Path,
    errand: Errand<'_>,
    teller: &mut Teller<'_>,
) -> Result<(), Error> {
    for file in plan(releases, set, Architecture::host()) {
        fetch(&file, into, errand, teller)?;
    }
    Ok(())
}

fn plan(releases: &Releases, set: Set, architecture: Architecture) -> Vec<Download> {
    let (version, arch) = (set.version(), architecture.name());
    match set {
        Set::Etcd => {
            let base = format!("{}/{version}", releases.etcd);
            vec![Download {
                url: format!("{base}/etcd-{version}-linux-{arch}.tar.gz"),
                checksums: format!("{base}/SHA256SUMS"),
                program: "etcd",
                packed: true,
            }]
        }
        Set::CoreDns => {
            let url = format!("{}/{version}/coredns_{}_linux_{arch}.tgz", releases.coredns, set.number());
            vec![Download { checksums: format!("{url}.sha256"), url, program: "coredns", packed: true }]
        }
        Set::Kind => {
            let url = format!("{}/{version}/kind-linux-{arch}", releases.kind);
            vec![Download { checksums: format!("{url}.sha256sum"), url, program: "kind", packed: false }]
        }
        Set::Kubernetes(_) => {
            let base = format!("{}/{version}/bin/linux/{arch}", releases.kubernetes);
            let file = |program| {
                let url = format!("{base}/{program}");
                Download { checksums: format!("{url}.sha256"), url, program, packed: false }
            };
            set.programs().iter().copied().map(file).collect()
        }
    }
}

fn fetch(file: &Download, into: &Path, errand: Errand<'_>, teller: &mut Teller<'_>) -> Result<(), Error> {
    let sums = into.join(format!("{}.sha256", file.program));
    let raw = into.join(format!("{}.download", file.program));
    // The small file first: where the server cannot be reached, nothing large was begun.
    curl(&file.checksums, &sums, errand, teller)?;
    curl(&file.url, &raw, errand, teller)?;
    let listed = fs::read_to_string(&sums).map_err(Error::io("read", &sums))?;
    let found = digest::of_file(&raw)?;
    let wanted = checksum_for(&listed, &file.url)
        .ok_or_else(|| Error::Assets(format!("{} names no checksum of {}", file.checksums, file.url)))?;
    if wanted != found {
        return Err(Error::Assets(format!("{} has checksum {found} but {wanted} is published", file.url)));
    }
    let program = into.join(file.program);
    if file.packed {
        unpack(&raw, file.program, &program)?;
    } else {
        fs::rename(&raw, &program).map_err(Error::io("rename", &raw))?;
    }
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).map_err(Error::io("write", &program))?;
    for temporary in [&sums, &raw] {
        if temporary.exists() {
            fs::remove_file(temporary).map_err(Error::io("remove", temporary))?;
        }
    }
    Ok(())
}

fn curl(url: &str, out: &Path, errand: Errand<'_>, teller: &mut Teller<'_>) -> Result<(), Error> {
    let tool = errand
        .tool("curl")
        .args(["--fail", "--silent", "--show-error", "--location", "--retry", "2"])
        // A server that sends less than 10 kB/s for a minute is as good as none.
        .args(["--speed-limit", "10000", "--speed-time", "60"])
        .args(["--connect-timeout", CONNECT_LIMIT, "--output"])
        .arg(out)
        .arg(url);
    tool.run_while(Input::Nothing, &mut || {
        teller.remind(|| {
            let so_far = fs::metadata(out).map_or(0, |m| m.len());
            format!("downloading {url}: {} MiB", so_far >> 20)
        });
        errand.check(&format!("the download of {url}"))
    })
    .map(drop)
    .map_err(|error| match error {
        Error::Program { command, reason } => Error::Program { reason: last_line(&reason), command },
        other => other,
    })
}

/// The last of what curl said: it says the same at every attempt.
fn last_line(said: &str) -> String {
    said.lines().last().unwrap_or(said).to_owned()
}

/// The checksum for a file: a lone digest, or the line of a list that names it.
fn checksum_for(listed: &str, url: &str) -> Option<String> {
    let name = url.rsplit('/').next()?;
    let mut lines = listed.lines().filter(|line| !line.trim().is_empty());
    let line = match (lines.clone().count(), lines.clone().next()) {
        (1, Some(only)) if only.split_whitespace().count() == 1 => only,
        _ => lines.find(|line| {
            line.split_whitespace()
                .nth(1)
                .is_some_and(|n| n.trim_start_matches('*').rsplit('/').next() == Some(name))
        })?,
    };
    line.split_whitespace().next().map(str::to_ascii_lowercase)
}

/// Takes one program out of a gzipped tar, wherever in it the program lies.
fn unpack(archive: &Path, program: &str, out: &Path) -> Result<(), Error> {
    let file = File::open(archive).map_err(Error::io("open", archive))?;
    let mut tar = tar::Archive::new(GzDecoder::new(file));
    for entry in tar.entries().map_err(Error::io("read", archive))? {
        let mut entry = entry.map_err(Error::io("read", archive))?;
        let named = entry.path().is_ok_and(|path| path.file_name().is_some_and(|name| name == program));
        if named && entry.header().entry_type().is_file() {
            let mut target = File::create(out).map_err(Error::io("create", out))?;
            return io::copy(&mut entry, &mut target).map(drop).map_err(Error::io("write", out));
        }
    }
    Err(Error::Assets(format!("{} holds no `{program}`", archive.display())))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread,
    };

    use flate2::{Compression, write::GzEncoder};

    use super::*;
    use crate::{Cancel, KubernetesVersion, Step};

    #[test]
    fn of_three_attempts_the_last_one_is_told() {
        let said =
            "curl: (7) Failed to connect\ncurl: (7) Failed to connect\ncurl: (7) Refused (exit status: 7)";
        assert_eq!(last_line(said), "curl: (7) Refused (exit status: 7)");
        assert_eq!(last_line(""), "");
    }

    #[test]
    fn every_program_has_an_address() {
        let urls = |set: Set| -> Vec<String> {
            plan(&Releases::default(), set, Architecture::Arm64).into_iter().map(|file| file.url).collect()
        };
        for set in KubernetesVersion::ALL.map(Set::Kubernetes) {
            let kubelet = format!("https://dl.k8s.io/{}/bin/linux/arm64/kubelet", set.version());
            assert!(urls(set).contains(&kubelet));
            assert_eq!(urls(set).len(), set.programs().len());
        }
        assert_eq!(
            urls(Set::Etcd),
            ["https://github.com/etcd-io/etcd/releases/download/v3.6.16/etcd-v3.6.16-linux-arm64.tar.gz"]
        );
        assert_eq!(
            urls(Set::CoreDns),
            ["https://github.com/coredns/coredns/releases/download/v1.14.7/coredns_1.14.7_linux_arm64.tgz"]
        );
        assert_eq!(
            urls(Set::Kind),
            ["https://github.com/kubernetes-sigs/kind/releases/download/v0.33.0/kind-linux-arm64"]
        );
    }

    #[test]
    fn checksums_are_found_alone_or_in_a_list() {
        assert_eq!(checksum_for("AB12\n", "http://x/kubelet"), Some("ab12".into()));
        assert_eq!(checksum_for("11  a.tgz\n22 *b.tgz\n", "http://x/b.tgz"), Some("22".into()));
        assert_eq!(checksum_for("33  release/c.tgz\n", "http://x/c.tgz"), Some("33".into()));
        assert_eq!(checksum_for("11  a.tgz\n", "http://x/b.tgz"), None);
    }

    /// Answers every request on a loopback port from a list of (path, bytes).
    fn serve(files: Vec<(String, Vec<u8>)>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 4096];
                let read = stream.read(&mut request).unwrap();
                let text = String::from_utf8_lossy(&request[..read]).into_owned();
                let path = text.split(' ').nth(1).unwrap().to_owned();
                let body = files.iter().find(|(name, _)| *name == path);
                let head = if body.is_some() { "200 OK" } else { "404 Not Found" };
                let bytes = body.map_or(&[][..], |(_, bytes)| bytes);
                let header = format!(
                    "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    bytes.len()
                );
                let _sent = stream.write_all(header.as_bytes()).and_then(|()| stream.write_all(bytes));
            }
        });
        format!("http://{address}")
    }

    fn packed(program: &str) -> Vec<u8> {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(7);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("folder/{program}"), &b"program"[..]).unwrap();
        tar.into_inner().unwrap().finish().unwrap()
    }

    fn try_coredns(checksum: impl FnOnce(&[u8]) -> String) -> (Result<(), Error>, tempfile::TempDir) {
        let archive = packed("coredns");
        let name = &plan(&Releases::default(), Set::CoreDns, Architecture::host())[0].url;
        let name = name.rsplit('/').next().unwrap().to_owned();
        let sums = format!("{}  {name}\n", checksum(&archive));
        let base = serve(vec![
            (format!("/v1.14.7/{name}"), archive),
            (format!("/v1.14.7/{name}.sha256"), sums.into_bytes()),
        ]);
        let releases = Releases { coredns: base, ..Releases::default() };
        let dir = tempfile::tempdir().unwrap();
        let mut on = |_| {};
        let mut teller = Teller::start(Step::Binaries, &mut on);
        let errand = Errand { cancel: &Cancel::default(), cluster: None };
        (download(&releases, Set::CoreDns, dir.path(), errand, &mut teller), dir)
    }

    #[test]
    fn a_release_is_fetched_verified_and_unpacked() {
        let (result, dir) = try_coredns(digest::of_bytes);
        result.unwrap();
        assert_eq!(fs::read(dir.path().join("coredns")).unwrap(), b"program");
        assert!(Set::CoreDns.missing_in(dir.path()).is_empty());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_wrong_checksum_is_refused() {
        let (result, dir) = try_coredns(|_| "00".repeat(32));
        assert!(result.unwrap_err().to_string().contains("is published"));
        assert!(!dir.path().join("coredns").exists());
    }

    #[test]
    fn a_server_that_is_not_there_is_named() {
        let releases = Releases { coredns: "http://127.0.0.1:1".into(), ..Releases::default() };
        let dir = tempfile::tempdir().unwrap();
        let mut on = |_| {};
        let mut teller = Teller::start(Step::Binaries, &mut on);
        let errand = Errand { cancel: &Cancel::default(), cluster: None };
        let refused = download(&releases, Set::CoreDns, dir.path(), errand, &mut teller);
        assert!(refused.unwrap_err().to_string().contains("127.0.0.1:1"));
    }
}
