//! What tasks have to tell the recorder.

use std::time::{Duration, Instant};

use crate::replay::report::{Counter, JourneyEnd, Phase, Recorder};

/// One thing to be recorded.
#[derive(Debug)]
pub(super) enum Note {
    Count(Counter),
    Fault(&'static str),
    Took(Phase, Duration),
    Ended(JourneyEnd),
    /// Something that must not happen: reported as a violation.
    Wrong(String),
}

/// The notes of one task.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<Note>);

impl Notes {
    pub(super) fn add(&mut self, note: Note) {
        self.0.push(note);
    }

    pub(super) fn took(&mut self, phase: Phase, since: Instant) {
        self.add(Note::Took(phase, since.elapsed()));
    }

    pub(super) fn record(self, recorder: &mut Recorder) {
        for note in self.0 {
            match note {
                Note::Count(counter) => recorder.count(counter),
                Note::Fault(kind) => recorder.fault(kind),
                Note::Took(phase, took) => recorder.latency(phase, took),
                Note::Ended(end) => recorder.booking_ended(end),
                Note::Wrong(what) => recorder.audit_violation(what),
            }
        }
    }
}
