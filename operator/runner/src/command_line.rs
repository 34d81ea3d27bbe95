//! The command line: a contract with the operator, which writes it into the Job.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use crds::v1alpha1::ReceiptPolicy;

use lexopt::{
    Arg::{Long, Short, Value},
    Parser, ValueExt as _,
};

/// What `runner --help` prints.
pub const HELP: &str = "\
Runs a notebook, a script or a program inside a test's pod.

runner install DEST
    copy this program to DEST, and make the folders `results` and `home` beside it
runner notebook --source FILE --results DIR --timeout SECONDS
    execute a notebook with the kernel that it names
runner script --source FILE --results DIR --timeout SECONDS --interpreter WORD [--interpreter WORD]... [-- ARG...]
    run a script
runner program --results DIR --timeout SECONDS -- COMMAND [ARG]...
    run a program
runner results --dir DIR
    wait for SIGTERM, then print every file of DIR as frames

--parameter NAME=VALUE   for `notebook`: a value for one of its parameters; repeated
--requirement PACKAGE    a Python package to install before the test, as pip takes it; repeated
--receipt WORD           `required`: a pass without a receipt at $E2E_RECEIPT is none; default `optional`
--termination-log FILE   where the verdict is written; default /dev/termination-log
exit code: 0 passed or done, 1 failed, 2 wrong usage
";

/// Where Kubernetes reads a container's termination message, unless told otherwise.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// What to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// Print [`HELP`].
    Help,
    /// Copy the program to a volume that the test's container shares.
    Install {
        /// Path of the copy.
        dest: PathBuf,
    },
    /// Ship results when told to end.
    Results {
        /// Folder of the results.
        dir: PathBuf,
    },
    /// Execute a notebook.
    Notebook {
        /// What all tests have.
        run: Run,
        /// The notebook.
        source: PathBuf,
        /// Values for its parameters.
        parameters: Vec<(String, String)>,
    },
    /// Run a script.
    Script {
        /// What all tests have.
        run: Run,
        /// The script.
        source: PathBuf,
        /// The interpreter with its own arguments; at least one word.
        interpreter: Vec<OsString>,
        /// Arguments of the script.
        args: Vec<OsString>,
    },
    /// Run a program.
    Program {
        /// What all tests have.
        run: Run,
        /// The program with its arguments; at least one word.
        words: Vec<OsString>,
    },
}

/// What all tests have in common.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Run {
    /// Folder for the results.
    pub results: PathBuf,
    /// How long the test may take.
    pub timeout: Duration,
    /// Python packages to install first.
    pub requirements: Vec<OsString>,
    /// Whether a receipt is demanded.
    pub receipt: ReceiptPolicy,
    /// Where the verdict goes for Kubernetes to read.
    pub termination_log: PathBuf,
}

/// Why a command line cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// No subcommand.
    #[error("say what to do: install, notebook, script, program or results; `runner --help` shows how")]
    NoCommand,
    /// A subcommand that does not exist.
    #[error("there is no command {0:?}: use install, notebook, script, program or results")]
    UnknownCommand(String),
    /// Something required was left out.
    #[error("{command} needs {option}: `runner --help` shows how")]
    Missing {
        /// The subcommand.
        command: String,
        /// What it needs.
        option: &'static str,
    },
    /// No whole number of seconds, or none at all.
    #[error("--timeout {0:?} is no number of seconds: write a whole number from 1, such as 1200")]
    Timeout(String),
    /// No name and value.
    #[error("--parameter {0:?} is no parameter: write NAME=VALUE")]
    Parameter(String),
    /// Neither of two words.
    #[error("--receipt {0:?} is not known: write optional or required")]
    Receipt(String),
    /// An unknown option, a missing value, a word too many.
    #[error("{0}: `runner --help` shows how")]
    Syntax(#[from] lexopt::Error),
}

/// What stood on the command line, before anything is required.
#[derive(Default)]
struct Words {
    command: Option<String>,
    dest: Option<PathBuf>,
    dir: Option<PathBuf>,
    source: Option<PathBuf>,
    results: Option<PathBuf>,
    timeout: Option<Duration>,
    termination_log: Option<PathBuf>,
    requirements: Vec<OsString>,
    receipt: Option<ReceiptPolicy>,
    parameters: Vec<(String, String)>,
    interpreter: Vec<OsString>,
    args: Vec<OsString>,
}

/// Understands the command line without the program's own name.
///
/// # Errors
/// One sentence that says what is wrong and what to write instead.
pub fn parse(words: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    let mut parser = Parser::from_args(words);
    let mut seen = Words::default();
    while let Some(word) = parser.next()? {
        let command = seen.command.clone().unwrap_or_default();
        let test = matches!(command.as_str(), "notebook" | "script" | "program");
        let with_source = test && command != "program";
        match word {
            Short('h') | Long("help") => return Ok(Command::Help),
            Value(value) if seen.command.is_none() => seen.command = Some(known(value.string()?)?),
            Value(value) if command == "install" && seen.dest.is_none() => seen.dest = Some(value.into()),
            Value(value) if command == "script" || command == "program" => seen.args.push(value),
            Long("dir") if command == "results" => seen.dir = Some(parser.value()?.into()),
            Long("source") if with_source => seen.source = Some(parser.value()?.into()),
            Long("results") if test => seen.results = Some(parser.value()?.into()),
            Long("timeout") if test => seen.timeout = Some(seconds(&parser.value()?.string()?)?),
            Long("termination-log") if test => seen.termination_log = Some(parser.value()?.into()),
            Long("requirement") if test => seen.requirements.push(parser.value()?),
            Long("receipt") if test => seen.receipt = Some(receipt(&parser.value()?.string()?)?),
            Long("parameter") if command == "notebook" => {
                seen.parameters.push(parameter(&parser.value()?.string()?)?);
            }
            Long("interpreter") if command == "script" => seen.interpreter.push(parser.value()?),
            other => return Err(other.unexpected().into()),
        }
    }
    seen.into_command()
}

/// A subcommand's name, if there is one like it.
fn known(command: String) -> Result<String, UsageError> {
    match command.as_str() {
        "install" | "notebook" | "script" | "program" | "results" => Ok(command),
        _ => Err(UsageError::UnknownCommand(command)),
    }
}

/// A positive number of seconds.
fn seconds(text: &str) -> Result<Duration, UsageError> {
    match text.parse::<u32>() {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds.into())),
        _ => Err(UsageError::Timeout(text.to_owned())),
    }
}

/// A parameter's name and value.
fn parameter(text: &str) -> Result<(String, String), UsageError> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(UsageError::Parameter(text.to_owned())),
    }
}

/// Whether a receipt is demanded.
fn receipt(text: &str) -> Result<ReceiptPolicy, UsageError> {
    match text {
        "optional" => Ok(ReceiptPolicy::Optional),
        "required" => Ok(ReceiptPolicy::Required),
        _ => Err(UsageError::Receipt(text.to_owned())),
    }
}

impl Words {
    /// The command, when all that it requires is there.
    fn into_command(self) -> Result<Command, UsageError> {
        let command = self.command.ok_or(UsageError::NoCommand)?;
        let missing = |option| UsageError::Missing { command: command.clone(), option };
        if command == "install" {
            return Ok(Command::Install { dest: self.dest.ok_or_else(|| missing("DEST"))? });
        }
        if command == "results" {
            return Ok(Command::Results { dir: self.dir.ok_or_else(|| missing("--dir DIR"))? });
        }
        let run = Run {
            results: self.results.ok_or_else(|| missing("--results DIR"))?,
            timeout: self.timeout.ok_or_else(|| missing("--timeout SECONDS"))?,
            requirements: self.requirements,
            receipt: self.receipt.unwrap_or(ReceiptPolicy::Optional),
            termination_log: self.termination_log.unwrap_or_else(|| TERMINATION_LOG.into()),
        };
        if command == "program" {
            if self.args.first().is_none_or(|word| word.is_empty()) {
                return Err(missing("-- COMMAND"));
            }
            return Ok(Command::Program { run, words: self.args });
        }
        let source = self.source.ok_or_else(|| missing("--source FILE"))?;
        if command == "notebook" {
            return Ok(Command::Notebook { run, source, parameters: self.parameters });
        }
        if self.interpreter.first().is_none_or(|word| word.is_empty()) {
            return Err(missing("--interpreter WORD"));
        }
        Ok(Command::Script { run, source, interpreter: self.interpreter, args: self.args })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, UsageError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn run() -> Run {
        Run {
            results: "/r".into(),
            timeout: Duration::from_mins(1),
            requirements: Vec::new(),
            receipt: ReceiptPolicy::Optional,
            termination_log: TERMINATION_LOG.into(),
        }
    }

    fn notebook(run: Run, parameters: &[(&str, &str)]) -> Command {
        let parameters =
            parameters.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Command::Notebook { run, source: "/s/main".into(), parameters }
    }

    #[test]
    fn the_contract_with_the_operator_holds() {
        for (line, command) in [
            ("install /kfe2e/runner", Command::Install { dest: "/kfe2e/runner".into() }),
            ("results --dir /r", Command::Results { dir: "/r".into() }),
            ("notebook --source /s/main --results /r --timeout 60", notebook(run(), &[])),
            (
                "notebook --source /s/main --results /r --timeout 60 --receipt required --requirement kfp==2.17.0 \
                 --requirement pandas --parameter steps=3 --parameter url=http://a?b=c",
                notebook(
                    Run {
                        receipt: ReceiptPolicy::Required,
                        requirements: vec!["kfp==2.17.0".into(), "pandas".into()],
                        ..run()
                    },
                    &[("steps", "3"), ("url", "http://a?b=c")],
                ),
            ),
            (
                "program --results /r --timeout 60 -- /bin/test -f --results",
                Command::Program {
                    run: run(),
                    words: ["/bin/test", "-f", "--results"].map(Into::into).to_vec(),
                },
            ),
            (
                "script --source /s/main --results /r --timeout 60 --interpreter python3 --interpreter -u -- --epochs 3",
                Command::Script {
                    run: run(),
                    source: "/s/main".into(),
                    interpreter: vec!["python3".into(), "-u".into()],
                    args: vec!["--epochs".into(), "3".into()],
                },
            ),
            (
                "notebook --source /s/main --results /r --timeout 60 --termination-log /t",
                notebook(Run { termination_log: "/t".into(), ..run() }, &[]),
            ),
            ("--help", Command::Help),
        ] {
            assert_eq!(parsed(line).unwrap(), command, "{line}");
        }
    }

    #[test]
    fn wrong_usage_is_one_clear_sentence() {
        for (line, sentence) in [
            ("", "say what to do: install, notebook, script, program or results; `runner --help` shows how"),
            ("run", "there is no command \"run\": use install, notebook, script, program or results"),
            ("install", "install needs DEST: `runner --help` shows how"),
            ("results", "results needs --dir DIR: `runner --help` shows how"),
            ("notebook --results /r --timeout 1", "notebook needs --source FILE: `runner --help` shows how"),
            ("program --results /r --timeout 1", "program needs -- COMMAND: `runner --help` shows how"),
            ("notebook --parameter x", "--parameter \"x\" is no parameter: write NAME=VALUE"),
            ("script --receipt yes", "--receipt \"yes\" is not known: write optional or required"),
            ("program --source a", "invalid option '--source': `runner --help` shows how"),
            (
                "script --source a --results b --timeout 1",
                "script needs --interpreter WORD: `runner --help` shows how",
            ),
            (
                "notebook --timeout 0",
                "--timeout \"0\" is no number of seconds: write a whole number from 1, such as 1200",
            ),
            ("notebook --interpreter sh", "invalid option '--interpreter': `runner --help` shows how"),
            ("install a b", "unexpected argument \"b\": `runner --help` shows how"),
        ] {
            assert_eq!(parsed(line).unwrap_err().to_string(), sentence, "{line}");
        }
    }
}
