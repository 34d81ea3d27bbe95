//! What was measured, as one table: each line with its goal and with what was measured beside it in the same run.

use std::{fmt::Write as _, time::Duration};

/// A set of durations.
#[derive(Clone, Debug, Default)]
pub struct Sample(Vec<Duration>);

impl Sample {
    /// One more.
    pub fn add(&mut self, value: Duration) {
        self.0.push(value);
    }

    /// How many there are.
    pub fn n(&self) -> usize {
        self.0.len()
    }

    /// Hands out every value.
    pub fn each(self, take: impl FnMut(Duration)) {
        self.0.into_iter().for_each(take);
    }

    /// The smallest value that at least `percent` of 100 values do not exceed, in milliseconds.
    pub fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).map_or(f64::NAN, |value| value.as_secs_f64() * 1000.0)
    }

    /// Both percentiles that goals speak of.
    pub fn shown(&self) -> String {
        format!("p50 {:.1} p99 {:.1} ms", self.percentile(50), self.percentile(99))
    }
}

/// One line of the table.
#[derive(Default)]
pub struct Line {
    /// What is measured.
    pub what: String,
    /// What it must reach; empty where the line is only there to compare with.
    pub goal: String,
    /// What was measured.
    pub measured: String,
    /// The floor or the peer, in the same run.
    pub beside: String,
    /// How many times the one is the other.
    pub ratio: String,
    /// How often it was measured.
    pub n: usize,
    /// Whether the goal was met; `None` where there is none.
    pub met: Option<bool>,
}

/// The table.
#[derive(Default)]
pub struct Table(Vec<Line>);

impl Table {
    /// One more line.
    pub fn add(&mut self, line: Line) {
        self.0.push(line);
    }

    /// The table as text, its columns aligned.
    pub fn text(&self) -> String {
        let head = ["what", "goal", "measured", "floor or peer", "ratio", "n", ""].map(str::to_owned);
        let rows: Vec<[String; 7]> = std::iter::once(head).chain(self.0.iter().map(cells)).collect();
        let widths: Vec<usize> = (0..7)
            .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in &rows {
            let padded: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            let _ = writeln!(text, "{}", padded.join("  ").trim_end());
        }
        text
    }
}

fn cells(line: &Line) -> [String; 7] {
    let met = match line.met {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "",
    };
    [
        line.what.clone(),
        line.goal.clone(),
        line.measured.clone(),
        line.beside.clone(),
        line.ratio.clone(),
        line.n.to_string(),
        met.to_owned(),
    ]
}
