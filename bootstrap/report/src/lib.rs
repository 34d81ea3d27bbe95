//! What a person and a CI see of a run: `run.json`, `junit.xml`, `summary.md` and the last lines on the terminal.
//!
//! Pure but for [`write()`], which puts the files into a folder. Nothing here knows of Kubernetes or a network. Every text
//! that comes from a cluster is taken for hostile: it cannot break out of its XML element, table cell, code block or line.

mod closing;
mod excerpt;
mod folder;
mod junit;
mod markdown;
mod plain;
mod summary;
mod words;

pub use closing::closing_lines;
pub use excerpt::{Excerpt, Excerpts, log_tail, traceback};
pub use folder::{JUNIT_XML, RUN_JSON, SUMMARY_MD, WriteError, write};
pub use junit::junit;
pub use summary::summary;
pub use words::figures;

#[cfg(test)]
mod fixtures;
