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

/// Figures as people read them: `nodeReadySeconds` 6.12 as `node ready 6.1 s`, `objects` 12 as `objects 12`.
fn figures_text(figures: &BTreeMap<String, f64>) -> String {
    let words = |name: &str| {
        name.chars().fold(String::new(), |mut words, character| {
            if character.is_uppercase() {
                words.push(' ');
            }
            words.extend(character.to_lowercase());
            words
        })
    };
    let text = |(name, value): (&String, &f64)| match name.strip_suffix("Seconds") {
        Some(name) => format!("{} {value:.1} s", words(name)),
        None => format!("{} {value}", words(name)),
    };
    let texts: Vec<String> = figures.iter().map(text).collect();
    if texts.is_empty() { String::new() } else { format!(" ({})", texts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_words() {
        let figures = [("imageLoadSeconds", 2.04), ("nodeReadySeconds", 6.16), ("objects", 12.0)];
        let figures = figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(figures_text(&figures), " (image load 2.0 s, node ready 6.2 s, objects 12)");
        assert_eq!(figures_text(&BTreeMap::new()), "");
    }
}
