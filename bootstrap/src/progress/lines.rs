//! A line an event, for logs.

use std::io::{Write as _, stderr};

use crds::run_event::{RunEvent, What};

use super::{Display, figures_text};

/// Events as plain lines on standard error.
pub(super) struct Lines;

impl Display for Lines {
    fn show(&mut self, event: &RunEvent) {
        let Some(text) = line(&event.what) else { return };
        let time = event.time.strftime("%H:%M:%S");
        // A closed standard error does not stop the run.
        let _ = writeln!(stderr().lock(), "{time}  {text}");
    }
}

/// What one event looks like; the result has its own closing lines.
fn line(what: &What) -> Option<String> {
    let (stage, text) = match what {
        What::StageStarted { stage } => (stage, "…".into()),
        What::Progress { stage, message } => (stage, message.clone()),
        What::StageFinished { stage, seconds, figures, error: None } => {
            (stage, format!("done in {seconds:.1} s{}", figures_text(figures)))
        }
        What::StageFinished { stage, seconds, error: Some(error), .. } => {
            (stage, format!("failed after {seconds:.1} s: {error}"))
        }
        What::RunFinished { .. } => return None,
    };
    Some(format!("{:<8} {text}", stage.as_str()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crds::run_event::Stage;

    use super::*;

    #[test]
    fn lines_name_the_stage_first() {
        let finished = |error: Option<String>| What::StageFinished {
            stage: Stage::Up,
            seconds: 8.04,
            figures: BTreeMap::from([("nodeReadySeconds".into(), 6.0)]),
            error,
        };
        assert_eq!(line(&finished(None)).unwrap(), "up       done in 8.0 s (node ready 6.0 s)");
        assert_eq!(line(&finished(Some("no etcd".into()))).unwrap(), "up       failed after 8.0 s: no etcd");
    }
}
