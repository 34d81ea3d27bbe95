//! What people and programs see while `kfe2e` works: a tree on a terminal, plain lines elsewhere, JSON on request.
//!
//! Stages only send events; one thread draws them, so a slow terminal never slows a run.

mod json;
mod lines;
mod tree;

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, stderr},
    sync::mpsc::{Receiver, Sender, channel},
    thread::JoinHandle,
};

use clap::ValueEnum;
use crds::{
    run_event::{RunEvent, SCHEMA_VERSION, Stage, What},
    run_result::{RunResult, StageResult},
};
use jiff::Timestamp;

/// How a run shows itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Output {
    /// For people: a live tree on a terminal, a line an event elsewhere.
    #[default]
    Text,
    /// For programs: one JSON object a line on standard output.
    Json,
}

/// Draws events as they come.
trait Display {
    /// Shows one event; a closed terminal is not a reason to stop the run.
    fn show(&mut self, event: &RunEvent);
}

/// Sends events to the display; cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress(Sender<RunEvent>);

/// The display's thread; [`Drawing::finish`] waits until everything is drawn.
#[derive(Debug)]
pub struct Drawing(JoinHandle<()>);

impl Progress {
    /// Starts a display.
    pub fn start(output: Output) -> (Self, Drawing) {
        let (sender, receiver) = channel();
        (Self(sender), Drawing(std::thread::spawn(move || draw(output, &receiver))))
    }

    /// A line about `stage`.
    pub fn say(&self, stage: Stage, message: impl Into<String>) {
        self.send(What::Progress { stage, message: message.into() });
    }

    /// `stage` begins.
    pub fn started(&self, stage: Stage) {
        self.send(What::StageStarted { stage });
    }

    /// A stage has ended.
    pub fn finished(&self, stage: &StageResult) {
        let StageResult { stage, seconds, figures, error } = stage.clone();
        self.send(What::StageFinished { stage, seconds, figures, error });
    }

    /// The run has ended.
    pub fn result(&self, result: &RunResult) {
        self.send(What::RunFinished { result: Box::new(result.clone()) });
    }

    fn send(&self, what: What) {
        let event = RunEvent { schema_version: SCHEMA_VERSION, time: Timestamp::now(), what };
        // The receiver lives as long as any sender; when it is gone, nobody is left to tell.
        let _ = self.0.send(event);
    }
}

impl Drawing {
    /// Waits until every event is drawn. All [`Progress`] handles must be gone.
    pub fn finish(self) {
        // A display that panicked has nothing more to draw.
        let _ = self.0.join();
    }
}

fn draw(output: Output, events: &Receiver<RunEvent>) {
    let mut display: Box<dyn Display> = match output {
        Output::Json => Box::new(json::Json),
        Output::Text if stderr().is_terminal() => Box::new(tree::Tree::default()),
        Output::Text => Box::new(lines::Lines),
    };
    for event in events {
        display.show(&event);
    }
}

/// The figures of a stage in brackets, or nothing.
fn figures_text(figures: &BTreeMap<String, f64>) -> String {
    let text = bootstrap_report::figures(figures);
    if text.is_empty() { text } else { format!(" ({text})") }
}
