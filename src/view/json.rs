//! Events as JSON lines, for programs.

use std::io::{BufWriter, Write};

use crate::escape::escape_json;
use crate::events::{EventSink, Stamped};

/// Writes each event as one JSON line.
pub(crate) struct JsonSink<W: Write> {
    out: BufWriter<W>,
}

impl<W: Write + Send> JsonSink<W> {
    /// A view that writes to `out`.
    pub(crate) fn new(out: W) -> JsonSink<W> {
        JsonSink { out: BufWriter::new(out) }
    }
}

impl<W: Write + Send> EventSink for JsonSink<W> {
    fn event(&mut self, event: &Stamped) {
        let Ok(line) = serde_json::to_string(event) else { return };
        // A closed pipe stops the view, not the run.
        let _ = writeln!(self.out, "{}", escape_json(&line));
    }

    fn flush(&mut self) {
        let _ = self.out.flush();
    }
}
