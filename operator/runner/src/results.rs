//! The sidecar: tells a notebook's progress over its own log, and ships the results once the test's container has ended.
//!
//! Kubernetes ends native sidecars after the main container, by SIGTERM. Whatever the test left is complete by then:
//! files are renamed into place when they are whole, and what still grows has a hidden name.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write},
    path::{Path, PathBuf},
};

use crds::{
    frame::{MAX_CHUNK_BYTES, pack},
    names::pod,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    console::{Console, Echo},
    progress,
};

/// Why results could not be shipped.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// Signals cannot be waited for.
    #[error("SIGTERM cannot be waited for: {0}")]
    Signal(io::Error),
    /// The log's reader is gone, so that nothing more can be shipped.
    #[error("frames cannot be written to stdout: {0}")]
    Stdout(io::Error),
}

/// A file to ship.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Entry {
    name: String,
    bytes: u64,
}

/// Tells progress until SIGTERM, then ships every file of `dir`.
pub async fn serve(dir: &Path) -> Result<(), ResultsError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ResultsError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ResultsError::Signal)?;
    let mut notes = Echo::new(Console::stderr());
    notes.line(&format!("waiting for SIGTERM to ship the results in {}", dir.display()));
    let mut log = Console::stdout();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        error = progress::relay(dir, &mut log) => {
            notes.line(&format!("progress cannot be told: {error}"));
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        }
    }
    let stdout = io::BufWriter::new(io::stdout().lock());
    let problems = ship(dir, stdout).map_err(ResultsError::Stdout)?;
    for problem in problems {
        notes.line(&problem);
    }
    Ok(())
}

/// Writes the frames of every file; returns one sentence for each thing that was left out.
///
/// # Errors
/// Only what stops everything: the frames cannot be written.
pub fn ship(dir: &Path, mut writer: impl Write) -> io::Result<Vec<String>> {
    let (mut entries, mut problems) = list(dir);
    if entries.is_empty() {
        problems.push(format!("no results in {}: the test left none", dir.display()));
    }
    order(&mut entries);
    let mut sequence = 0;
    for entry in &entries {
        let path = dir.join(&entry.name);
        match File::open(&path) {
            Ok(file) => sequence = ship_file(entry, &file, sequence, &mut writer, &mut problems)?,
            Err(error) => problems.push(format!("{} cannot be read: {error}", path.display())),
        }
    }
    writer.flush()?;
    Ok(problems)
}

/// Largest first and the verdict last: when a log is rotated its beginning is lost, and what is small and matters most
/// must survive.
fn order(entries: &mut [Entry]) {
    entries.sort_by(|a, b| {
        let rank =
            |entry: &Entry| (entry.name == pod::VERDICT_FILE, u64::MAX - entry.bytes, entry.name.clone());
        rank(a).cmp(&rank(b))
    });
}

/// The plain files of a folder, and what in it is none.
fn list(dir: &Path) -> (Vec<Entry>, Vec<String>) {
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    let listed = match fs::read_dir(dir) {
        Ok(listed) => listed,
        Err(error) => return (entries, vec![format!("{} cannot be listed: {error}", dir.display())]),
    };
    for found in listed {
        match found.and_then(|found| Ok((found.path(), found.file_name(), found.metadata()?))) {
            Ok((path, name, metadata)) => match name.into_string() {
                Ok(name) if name.starts_with('.') => {
                    problems.push(format!("{} was not finished", path.display()));
                }
                Ok(name) if metadata.is_file() => entries.push(Entry { name, bytes: metadata.len() }),
                _ if metadata.is_dir() => problems.extend(left_in(&path)),
                _ => problems.push(format!("{} is no plain file with a readable name", path.display())),
            },
            Err(error) => problems.push(format!("{} cannot be listed: {error}", dir.display())),
        }
    }
    (entries, problems)
}

/// What stays behind in a folder below the results, named; an empty one is nothing to speak of.
fn left_in(folder: &Path) -> Option<String> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    names.sort();
    let first = names.first()?.display();
    Some(format!(
        "{} of {} stays in the pod: only files directly in the results are shipped",
        first,
        names.len()
    ))
}

/// Ships one file piece by piece, so that its size costs no memory; returns the next sequence number.
fn ship_file(
    entry: &Entry,
    file: &File,
    mut sequence: u64,
    writer: &mut impl Write,
    problems: &mut Vec<String>,
) -> io::Result<u64> {
    let chunk = MAX_CHUNK_BYTES as u64;
    let parts = u32::try_from(entry.bytes.div_ceil(chunk).max(1)).unwrap_or(u32::MAX);
    for part in 0..parts {
        let mut piece = Vec::with_capacity(MAX_CHUNK_BYTES);
        if let Err(error) = file.take(chunk).read_to_end(&mut piece) {
            problems.push(format!("{} cannot be read beyond part {part} of {parts}: {error}", entry.name));
            return Ok(sequence);
        }
        for mut frame in pack(&entry.name, &piece, sequence) {
            (frame.part, frame.parts) = (part, parts);
            serde_json::to_writer(&mut *writer, &frame)?;
            writer.write_all(b"\n")?;
            sequence += 1;
        }
    }
    Ok(sequence)
}

#[cfg(test)]
mod tests {
    use crds::frame::unpack;

    use super::*;

    fn shipped(dir: &Path) -> (Vec<(String, Vec<u8>)>, Vec<String>) {
        let mut log = Vec::new();
        let problems = ship(dir, &mut log).unwrap();
        let unpacked = unpack(&String::from_utf8(log).unwrap());
        assert_eq!(unpacked.problems, Vec::<String>::new());
        (unpacked.files, problems)
    }

    #[test]
    fn the_verdict_comes_last_and_the_largest_first() {
        let folder = tempfile::tempdir().unwrap();
        let exact = vec![1; MAX_CHUNK_BYTES * 2];
        for (name, content) in [
            ("verdict.json", b"{}".to_vec()),
            ("a.txt", b"a".to_vec()),
            ("big.bin", exact),
            ("empty", Vec::new()),
        ] {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let (files, problems) = shipped(folder.path());
        let sizes: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content.len())).collect();
        assert_eq!(
            sizes,
            [("big.bin", MAX_CHUNK_BYTES * 2), ("a.txt", 1), ("empty", 0), ("verdict.json", 2)]
        );
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn what_is_left_out_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("artifacts")).unwrap();
        assert!(shipped(folder.path()).1[0].ends_with("the test left none"));
        fs::write(folder.path().join("artifacts/model.bin"), "m").unwrap();
        fs::write(folder.path().join(".output.log.unfinished"), "o").unwrap();
        let problems = shipped(folder.path()).1.join("\n");
        for named in ["artifacts/model.bin of 1 stays in the pod", ".output.log.unfinished was not finished"]
        {
            assert!(problems.contains(named), "{problems}");
        }
        assert!(shipped(Path::new("/nonexistent")).1[0].contains("/nonexistent cannot be listed"));
    }
}
