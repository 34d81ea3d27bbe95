//! The report's files in the output folder: the only I/O of the crate.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crds::run_result::RunResult;

use crate::{Excerpts, junit, summary};

/// The result, for programs.
pub const RUN_JSON: &str = "run.json";

/// The result, for CI systems.
pub const JUNIT_XML: &str = "junit.xml";

/// The result, for people.
pub const SUMMARY_MD: &str = "summary.md";

/// The report is not, or not wholly, in its folder.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file operation failed.
    #[error("cannot {action} {}: {source}; make room, or give another output folder", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The result is no JSON: a figure is not finite.
    #[error("cannot write {}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// Writes [`RUN_JSON`], [`JUNIT_XML`] and [`SUMMARY_MD`] into a folder, which is made where it does not exist.
///
/// Each file appears whole or not at all: a reader never sees half of one, nor does a full disk leave half of one.
///
/// # Errors
/// Names the file and the system's reason. Files before it are written.
pub fn write(folder: &Path, result: &RunResult, excerpts: &Excerpts) -> Result<(), WriteError> {
    fs::create_dir_all(folder).map_err(|source| WriteError::Io {
        action: "make",
        path: folder.into(),
        source,
    })?;
    let path = folder.join(RUN_JSON);
    let mut json =
        serde_json::to_string_pretty(result).map_err(|source| WriteError::Json { path, source })?;
    json.push('\n');
    for (name, text) in
        [(RUN_JSON, json), (JUNIT_XML, junit(result, excerpts)), (SUMMARY_MD, summary(result, excerpts))]
    {
        put(folder, name, text.as_bytes())?;
    }
    Ok(())
}

/// Writes a file beside its place and moves it there.
fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), WriteError> {
    let path = folder.join(name);
    let beside = folder.join(format!(".{name}.part"));
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let moved = written.and_then(|()| fs::rename(&beside, &path));
    moved.map_err(|source| {
        // What is reported is why the file could not be written; that its rest stays too adds nothing to it.
        let _ = fs::remove_file(&beside);
        WriteError::Io { action: "write", path, source }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn the_files_are_there_and_run_json_reads_back() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        let result = fixtures::failed();
        write(&folder, &result, &Excerpts::new()).unwrap();
        write(&folder, &result, &Excerpts::new()).unwrap();
        let mut names: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["junit.xml", "run.json", "summary.md"]);
        let read: RunResult =
            serde_json::from_str(&fs::read_to_string(folder.join(RUN_JSON)).unwrap()).unwrap();
        assert_eq!(read, result);
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        let error = write(&file.join("out"), &fixtures::passed(), &Excerpts::new()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot make {}: ", file.join("out").display())), "{error}");
        fs::create_dir(parent.path().join(RUN_JSON)).unwrap();
        let error = write(parent.path(), &fixtures::passed(), &Excerpts::new()).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("cannot write {}: ", parent.path().join(RUN_JSON).display())),
            "{error}"
        );
        assert!(!parent.path().join(".run.json.part").exists());
    }

    #[test]
    fn a_full_disk_is_said() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        let parent = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(full, parent.path().join(".run.json.part")).unwrap();
        let error = write(parent.path(), &fixtures::passed(), &Excerpts::new()).unwrap_err().to_string();
        assert!(error.contains("No space left on device"), "{error}");
    }
}
