//! Kernel specifications: which there are, which one a notebook means, and the command that starts it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use jupyter_protocol::JupyterKernelspec;

use super::search;

/// The kernel of a notebook that says nothing, as everywhere in Jupyter.
const DEFAULT: &str = "python3";

/// A kernel that can be started.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Its name: that of its folder.
    pub name: String,
    /// The folder of its `kernel.json`.
    pub folder: PathBuf,
    /// What `kernel.json` says.
    pub spec: JupyterKernelspec,
}

/// The kernel that a notebook asks for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wanted {
    /// `metadata.kernelspec.name`.
    pub name: Option<String>,
    /// `metadata.language_info.name`; it counts only where no kernel is named.
    pub language: Option<String>,
}

/// Why no kernel can be started.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The image lacks it.
    #[error(
        "kernel {wanted:?} is not in the image: {found}; install it there, or name another in the notebook's \
         metadata.kernelspec"
    )]
    Missing {
        /// Its name, or the language.
        wanted: String,
        /// What there is instead.
        found: String,
    },
    /// Its specification cannot be used.
    #[error("kernel {name:?} of the image cannot be started: {} {problem}", path.display())]
    Unusable {
        /// Its name.
        name: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// All kernels in these folders. Where a name occurs again, the first folder wins.
pub fn list(folders: &[PathBuf]) -> BTreeMap<String, PathBuf> {
    let mut kernels = BTreeMap::new();
    for entry in folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten() {
        if entry.path().join("kernel.json").is_file() {
            // Jupyter's names are case-insensitive.
            let name = entry.file_name().to_string_lossy().to_lowercase();
            kernels.entry(name).or_insert_with(|| entry.path());
        }
    }
    kernels
}

/// Finds the kernel that is wanted and reads its specification.
pub fn find(wanted: &Wanted, folders: &[PathBuf]) -> Result<Kernel, SpecError> {
    let kernels = list(folders);
    let name = match (&wanted.name, &wanted.language) {
        (Some(name), _) => name,
        (None, Some(language)) if !language.eq_ignore_ascii_case("python") => {
            // A specification that cannot be read speaks no language.
            let mut readable = kernels.iter().filter_map(|(name, folder)| read(name, folder).ok());
            return readable
                .find(|kernel| kernel.spec.language.eq_ignore_ascii_case(language))
                .ok_or_else(|| missing(language, &kernels, folders));
        }
        _ => DEFAULT,
    };
    let found = kernels.get_key_value(&name.to_lowercase());
    let (name, folder) = found.ok_or_else(|| missing(name, &kernels, folders))?;
    read(name, folder)
}

/// The error for a kernel that is not there.
fn missing(wanted: &str, kernels: &BTreeMap<String, PathBuf>, folders: &[PathBuf]) -> SpecError {
    let names: Vec<&str> = kernels.keys().map(String::as_str).collect();
    let searched: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    let found = if names.is_empty() {
        format!("no kernel in {}", searched.join(", "))
    } else {
        format!("found {}", names.join(", "))
    };
    SpecError::Missing { wanted: wanted.to_owned(), found }
}

/// Reads a `kernel.json`.
fn read(name: &str, folder: &Path) -> Result<Kernel, SpecError> {
    let path = folder.join("kernel.json");
    let unusable =
        |problem: String| SpecError::Unusable { name: name.to_owned(), path: path.clone(), problem };
    let text = fs::read(&path).map_err(|error| unusable(format!("cannot be read: {error}")))?;
    let spec: JupyterKernelspec =
        serde_json::from_slice(&text).map_err(|error| unusable(format!("is malformed: {error}")))?;
    if spec.argv.is_empty() {
        return Err(unusable("has no argv".into()));
    }
    Ok(Kernel { name: name.to_owned(), folder: folder.to_owned(), spec })
}

impl Kernel {
    /// The command line, with what stands in braces filled in.
    ///
    /// A bare `python` means the one that the specification was installed with, and a program that is only there under
    /// the prefix that the image was moved to is taken from its own prefix.
    pub fn command(&self, connection_file: &Path, exists: impl Fn(&Path) -> bool) -> Vec<String> {
        let prefix = search::prefix(&self.folder);
        let mut command: Vec<String> = self
            .spec
            .argv
            .iter()
            .map(|word| {
                word.replace("{connection_file}", &connection_file.display().to_string())
                    .replace("{resource_dir}", &self.folder.display().to_string())
                    .replace("{prefix}", &prefix.unwrap_or_else(|| Path::new("/usr")).display().to_string())
            })
            .collect();
        if let Some(program) = command.first_mut()
            && let Some(better) = program_in(prefix, program, exists)
        {
            *program = better;
        }
        command
    }

    /// The variables that the specification sets, with references to others filled in from `variable`.
    pub fn variables(&self, variable: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
        let set = self.spec.env.iter().flatten();
        set.map(|(name, value)| (name.clone(), expand(value, &variable))).collect()
    }

    /// Whether the kernel wants to be interrupted by a message instead of SIGINT.
    pub fn interrupts_by_message(&self) -> bool {
        self.spec.interrupt_mode.as_deref() == Some("message")
    }
}

/// The program under the specification's own prefix, if it is there and `program` does not say otherwise.
fn program_in(prefix: Option<&Path>, program: &str, exists: impl Fn(&Path) -> bool) -> Option<String> {
    let path = Path::new(program);
    if path.is_absolute() && exists(path) {
        return None;
    }
    let name = path.file_name()?.to_str()?;
    let pythons: &[&str] = if name.starts_with("python") { &["python3", "python"] } else { &[] };
    let own = prefix?.join("bin");
    [name]
        .iter()
        .chain(pythons)
        .map(|name| own.join(name))
        .find(|path| exists(path))
        .map(|path| path.display().to_string())
}

/// `${NAME}` replaced by the variable of that name; one that is not set stays as it is written.
fn expand(value: &str, variable: &impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, tail)) = after.split_once('}') else { break };
        expanded.push_str(before);
        expanded.push_str(&variable(name).unwrap_or_else(|| format!("${{{name}}}")));
        rest = tail;
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(kernels: &[(&str, &str)]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("share/jupyter/kernels");
        for (name, json) in kernels {
            fs::create_dir_all(folder.join(name)).unwrap();
            fs::write(folder.join(name).join("kernel.json"), json).unwrap();
        }
        (root, vec![folder])
    }

    const PYTHON: &str = r#"{"argv": ["python", "-f", "{connection_file}"], "display_name": "P", "language": "python",
        "env": {"A": "${HOME}/a:${NONE}"}}"#;
    const R: &str = r#"{"argv": ["R"], "display_name": "R", "language": "R", "interrupt_mode": "message"}"#;

    fn wanted(name: Option<&str>, language: Option<&str>) -> Wanted {
        Wanted { name: name.map(str::to_owned), language: language.map(str::to_owned) }
    }

    #[test]
    fn a_kernel_is_found_by_name_then_language_then_default() {
        let (_root, folders) = folder_with(&[("Python3", PYTHON), ("ir", R)]);
        for (name, language, found) in [
            (Some("python3"), None, "python3"),
            (Some("IR"), Some("python"), "ir"),
            (None, Some("r"), "ir"),
            (None, Some("python"), "python3"),
            (None, None, "python3"),
        ] {
            assert_eq!(find(&wanted(name, language), &folders).unwrap().name, found, "{name:?} {language:?}");
        }
    }

    #[test]
    fn a_missing_kernel_names_what_there_is() {
        let (_root, folders) = folder_with(&[("python3", PYTHON), ("ir", R)]);
        let sentence = |wanted: &Wanted, folders: &[PathBuf]| find(wanted, folders).unwrap_err().to_string();
        assert!(
            sentence(&wanted(Some("julia-1.9"), None), &folders)
                .starts_with("kernel \"julia-1.9\" is not in the image: found ir, python3; install it there"),
        );
        assert!(
            sentence(&wanted(None, Some("julia")), &folders)
                .starts_with("kernel \"julia\" is not in the image")
        );
        assert!(sentence(&wanted(None, None), &["/nowhere".into()]).contains("no kernel in /nowhere"));
    }

    #[test]
    fn an_unusable_specification_is_named() {
        for (json, problem) in
            [("{", "is malformed"), (r#"{"display_name":"","language":""}"#, "has no argv")]
        {
            let (_root, folders) = folder_with(&[("python3", json)]);
            let sentence = find(&Wanted::default(), &folders).unwrap_err().to_string();
            assert!(sentence.contains(problem) && sentence.contains("kernel.json"), "{sentence}");
        }
    }

    #[test]
    fn the_program_is_that_of_the_specifications_prefix() {
        let kernel = |argv: &str| Kernel {
            name: "k".into(),
            folder: "/opt/conda/share/jupyter/kernels/k".into(),
            spec: serde_json::from_str(&PYTHON.replace("\"python\", \"-f\"", &format!("\"{argv}\", \"-f\"")))
                .unwrap(),
        };
        for (argv, there, program) in [
            ("python", "/opt/conda/bin/python", "/opt/conda/bin/python"),
            ("python", "/opt/conda/bin/python3", "/opt/conda/bin/python3"),
            ("python", "", "python"),
            ("/build/env/bin/python3.11", "/opt/conda/bin/python3", "/opt/conda/bin/python3"),
            ("/usr/bin/python3", "/usr/bin/python3", "/usr/bin/python3"),
            ("{prefix}/bin/ark", "", "/opt/conda/bin/ark"),
        ] {
            let command = kernel(argv).command(Path::new("/c.json"), |path| path == Path::new(there));
            assert_eq!(command, [program, "-f", "/c.json"], "{argv}");
        }
    }

    #[test]
    fn variables_refer_to_others() {
        let (_root, folders) = folder_with(&[("python3", PYTHON), ("ir", R)]);
        let kernel = find(&Wanted::default(), &folders).unwrap();
        let variables = kernel.variables(|name| (name == "HOME").then(|| "/h".to_owned()));
        assert_eq!(variables, [("A".to_owned(), "/h/a:${NONE}".to_owned())]);
        assert!(find(&wanted(Some("ir"), None), &folders).unwrap().interrupts_by_message());
    }
}
