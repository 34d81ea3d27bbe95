//! A live tree of stages with durations, for terminals.

use std::time::Duration;

use crds::run_event::{RunEvent, Stage, What};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Display, figures_text};

/// How often a running stage's clock moves.
const TICK: Duration = Duration::from_millis(100);

/// Lines of the latest progress that stay under a running stage.
const SHOWN_LINES: usize = 4;

/// Stages as branches: done ones with their duration, the running one with a clock and its latest lines.
#[derive(Default)]
pub(super) struct Tree {
    bars: MultiProgress,
    running: Option<(Stage, ProgressBar, Vec<ProgressBar>)>,
}

impl Display for Tree {
    fn show(&mut self, event: &RunEvent) {
        match &event.what {
            What::StageStarted { stage } => {
                let bar = self
                    .bars
                    .add(ProgressBar::new_spinner().with_style(style("{spinner} {prefix:<8} {elapsed}")));
                bar.set_prefix(stage.as_str());
                bar.enable_steady_tick(TICK);
                self.running = Some((*stage, bar, Vec::new()));
            }
            What::Progress { message, .. } => {
                let Some((_, stage_bar, lines)) = &mut self.running else { return };
                let last = lines.last().unwrap_or(stage_bar);
                let line = self
                    .bars
                    .insert_after(last, ProgressBar::new_spinner().with_style(style("  │ {wide_msg}")));
                line.set_message(message.clone());
                line.tick();
                lines.push(line);
                if lines.len() > SHOWN_LINES {
                    self.bars.remove(&lines.remove(0));
                }
            }
            What::StageFinished { stage, seconds, figures, error } => {
                let Some((_, bar, lines)) = self.running.take() else { return };
                for line in lines {
                    line.finish_and_clear();
                }
                let text = match error {
                    None => format!("✓ {:<8} {seconds:>6.1} s{}", stage.as_str(), figures_text(figures)),
                    Some(error) => format!("✗ {:<8} {seconds:>6.1} s  {error}", stage.as_str()),
                };
                bar.set_style(style("{msg}"));
                bar.finish_with_message(text);
            }
            What::RunFinished { .. } => {}
        }
    }
}

/// A style from a template of this file.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
