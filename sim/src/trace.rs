//! The journey of one seed, for people: an event log and a sequence diagram.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use rideplane_core::time::Timestamp;

use crate::net::Part;

/// One thing that happened between two parts.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    from: String,
    to: String,
    text: String,
}

impl Line {
    pub(crate) fn between(from: impl Into<String>, to: impl Into<String>, text: impl Into<String>) -> Self {
        Self { from: from.into(), to: to.into(), text: text.into() }
    }

    pub(crate) fn call(server: usize, part: Part, text: impl Into<String>) -> Self {
        Self::between(name(Part::Server(server)), name(part), text)
    }

    pub(crate) fn at(part: Part, text: impl Into<String>) -> Self {
        Self::between(name(part), name(part), text)
    }
}

pub(crate) fn name(part: Part) -> String {
    match part {
        Part::Riders => "Riders".to_owned(),
        Part::Server(n) => format!("Server{n}"),
        Part::Store => "Store".to_owned(),
        Part::Provider => "Provider".to_owned(),
        Part::Broker => "Broker".to_owned(),
        Part::Vehicle(n) => format!("Vehicle{n}"),
        Part::Bus => "Bus".to_owned(),
        Part::Notifier => "Notifier".to_owned(),
        Part::Search => "Search".to_owned(),
        Part::Signer => "Signer".to_owned(),
    }
}

/// Everything that happened, in order.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    lines: Vec<(Timestamp, Line)>,
}

/// Stands for a booking or a vehicle in the steps of [`Trace::shows`].
const ID: &str = "{id}";

/// A diagram with more arrows than this can't be read.
const ARROWS: usize = 120;

impl Trace {
    pub(crate) fn push(&mut self, at: Timestamp, line: Line) {
        self.lines.push((at, line));
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether all of this happened, in this order. `{id}` stands for one and the same booking or vehicle in all steps.
    #[must_use]
    pub fn shows(&self, steps: &[String]) -> bool {
        let texts: Vec<String> = self
            .lines
            .iter()
            .map(
                |(_, Line { from, to, text })| {
                    if from == to { format!("{from} {text}") } else { format!("{from} -> {to} {text}") }
                },
            )
            .collect();
        let in_order = |id: &str| {
            let mut left = texts.iter();
            steps.iter().all(|step| {
                let wanted = step.replace(ID, id);
                left.any(|text| text.contains(&wanted))
            })
        };
        let Some((before, _)) = steps.iter().find_map(|step| step.split_once(ID)) else {
            return in_order("");
        };
        let named = texts.iter().filter_map(|text| text.split_once(before)?.1.split_whitespace().next());
        named.collect::<BTreeSet<&str>>().into_iter().any(in_order)
    }

    /// The log, one line for each thing that happened; `about` keeps only lines that name it.
    #[must_use]
    pub fn log(&self, about: &[String]) -> String {
        let mut out = String::new();
        for (at, line) in self.lines.iter().filter(|(_, line)| concerns(line, about)) {
            let Line { from, to, text } = line;
            let arrow = if from == to { from.clone() } else { format!("{from} -> {to}") };
            let _ = writeln!(out, "{at}  {arrow:<22} {text}");
        }
        out
    }

    /// The sequence diagram in Mermaid's notation; the last arrows when there are too many.
    #[must_use]
    pub fn mermaid(&self, about: &[String]) -> String {
        let lines: Vec<&(Timestamp, Line)> =
            self.lines.iter().filter(|(_, line)| concerns(line, about)).collect();
        let skipped = lines.len().saturating_sub(ARROWS);
        let mut out = String::from("sequenceDiagram\n");
        if skipped > 0 {
            let _ = writeln!(out, "    %% the {skipped} arrows before these are in the log");
        }
        for (at, Line { from, to, text }) in lines.into_iter().skip(skipped) {
            let clock = at.to_string();
            let clock = clock.get(11..19).unwrap_or(&clock);
            let text = text.replace([';', '#', '\n'], " ");
            if from == to {
                let _ = writeln!(out, "    Note over {from}: {clock} {text}");
            } else {
                let _ = writeln!(out, "    {from}->>{to}: {clock} {text}");
            }
        }
        out
    }
}

fn concerns(line: &Line, about: &[String]) -> bool {
    let named = |name: &String| line.from == *name || line.to == *name || line.text.contains(name.as_str());
    about.is_empty() || about.iter().any(named)
}
