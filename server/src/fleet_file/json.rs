//! What both JSON forms of a fleet have in common: text with lines, and values as texts.

use serde_json::Value;

use super::{Collector, Problem};

/// The file as text, or a problem with the line where it stops to be any.
pub(super) fn text<'a>(bytes: &'a [u8], collector: &mut Collector) -> Option<&'a str> {
    match core::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64;
            collector.problem(Problem::Form { line, reason: "the file is not UTF-8 text".into() });
            None
        }
    }
}

/// Counts lines up to pieces of a text that come in its order.
pub(super) struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    pub(super) fn of(&mut self, piece: &str) -> u64 {
        let offset = (piece.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let between = self.text.as_bytes().get(self.at..offset).unwrap_or_default();
        self.line += between.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.at = self.at.max(offset);
        self.line
    }
}

/// What the library says of a piece that begins on `line`.
pub(super) fn form(line: u64, what: &str, error: &serde_json::Error) -> Problem {
    // The library ends with its own count of lines, which begins at the piece.
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or_default();
    let line = line.saturating_add((error.line() as u64).saturating_sub(1)).max(1);
    Problem::Form { line, reason: format!("not a {what}: {reason}") }
}

pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
