//! The Prometheus text format, version 0.0.4.

use super::values::{BUCKETS, Histogram};
use std::fmt::{Display, Write};

/// Content type of the text format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family's values mean.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Writes families one after the other; the samples of one family must stand together.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    text: String,
    family: &'static str,
}

impl Encoder {
    /// Begins a family. `help` must be one line without backslashes.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        self.family = name;
    }

    /// Writes one sample of the present family. `labels` comes from [`label`] or is empty.
    pub(super) fn sample(&mut self, labels: &str, value: impl Display) {
        self.line("", labels, value);
    }

    /// Begins a family that has one sample without labels.
    pub(super) fn single(
        &mut self,
        name: &'static str,
        kind: Kind,
        help: &'static str,
        value: impl Display,
    ) {
        self.family(name, kind, help);
        self.sample("", value);
    }

    /// Writes one histogram of the present family.
    pub(super) fn histogram(&mut self, labels: &str, histogram: &Histogram) {
        let comma = if labels.is_empty() { "" } else { "," };
        let counts = histogram.bucket_counts();
        let mut total = 0;
        for ((_, bound), count) in BUCKETS.iter().zip(counts) {
            total += count;
            self.line("_bucket", &format!("{labels}{comma}le=\"{bound}\""), total);
        }
        // The total is taken from the same reading: cumulated counts must not go down.
        total += counts[BUCKETS.len()];
        self.line("_bucket", &format!("{labels}{comma}le=\"+Inf\""), total);
        self.line("_sum", labels, histogram.sum_seconds());
        self.line("_count", labels, total);
    }

    /// The text so far.
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, suffix: &str, labels: &str, value: impl Display) {
        let family = self.family;
        let _ = if labels.is_empty() {
            writeln!(self.text, "{family}{suffix} {value}")
        } else {
            writeln!(self.text, "{family}{suffix}{{{labels}}} {value}")
        };
    }
}

/// `name="value"` with the value escaped.
pub(super) fn label(name: &str, value: &str) -> String {
    let mut text = format!("{name}=\"");
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}
