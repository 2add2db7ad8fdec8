//! The page: one file, nothing fetched, no script.

use std::fmt::Write as _;

use rideplane_core::booking::Status;

use crate::coverage::{Coverage, Task};
use crate::episode::Outcome;
use crate::faults::Fault;
use crate::hunt::Hunt;
use crate::oracle::Rule;
use crate::totals::Totals;

const STYLE: &str = include_str!("style.css");

/// Appends formatted text to a `String`, which can't fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{
        let _ = write!($out, $($arg)*);
    }};
}

/// The page about a run, the planted defects, and the first violation if there is one.
#[must_use]
pub fn render(totals: &Totals, hunts: &[Hunt], broken: Option<&Outcome>) -> String {
    let mut page = String::with_capacity(100_000);
    put!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Simulation</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    );
    let clean = totals.violations.is_empty();
    put!(
        page,
        "<header><h1>Simulation</h1><p>Seeds {} to {}, faults {}. Every journey from one seed, every port call \
         allowed to fail.</p><p class=\"{}\">{}</p></header>\n<main>\n",
        totals.first_seed,
        totals.next_seed.saturating_sub(1),
        totals.faults.as_str(),
        if clean { "good" } else { "bad" },
        if clean { "No rule was broken".to_owned() } else { format!("{} broken", totals.violations.len()) }
    );
    tiles(&mut page, totals);
    let bars = |names: Vec<&'static str>, counts: &[u64]| -> Vec<(&'static str, u64)> {
        names.into_iter().zip(counts.iter().copied()).collect()
    };
    let ends = bars(Status::ALL.map(Status::as_str).to_vec(), &totals.ends);
    let struck = bars(Fault::ALL.map(Fault::as_str).to_vec(), &totals.struck);
    chart(&mut page, "Faults", "How often each struck.", &struck);
    let checks = bars(Rule::ALL.map(Rule::as_str).to_vec(), &totals.checks);
    chart(&mut page, "Oracles", "How often each rule was checked.", &checks);
    chart(&mut page, "How bookings ended", "", &ends);
    recoveries(&mut page, totals);
    violation(&mut page, totals, broken);
    defects(&mut page, hunts);
    coverage(&mut page, &totals.coverage);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn tiles(page: &mut String, totals: &Totals) {
    let tiles = [
        (number(totals.bookings), "bookings"),
        (number(totals.events), "events"),
        (number(totals.calls), "port calls"),
        (number(totals.struck.iter().sum()), "faults"),
        (number(totals.checks.iter().sum()), "checks"),
        (number((totals.virtual_s / 3_600).unsigned_abs()), "virtual hours"),
        (number(totals.rate() as u64), "bookings a second"),
    ];
    page.push_str("<section class=\"tiles\">");
    for (value, label) in tiles {
        put!(page, "<div class=\"tile\"><b>{value}</b><span>{label}</span></div>");
    }
    page.push_str("</section>\n");
}

fn chart(page: &mut String, title: &str, note: &str, rows: &[(&str, u64)]) {
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
    put!(page, "<section class=\"card\"><h2>{title}</h2><p>{note}</p><table class=\"bars\">");
    for (name, count) in rows {
        let width = *count as f64 * 100.0 / most as f64;
        put!(
            page,
            "<tr><th>{name}</th><td class=\"bar\"><i style=\"width:{width:.1}%\"></i></td><td class=\"n\">{}</td></tr>",
            number(*count)
        );
    }
    page.push_str("</table></section>\n");
}

fn defects(page: &mut String, hunts: &[Hunt]) {
    let found = hunts.iter().filter(|hunt| hunt.found_by.is_some()).count();
    put!(
        page,
        "<section class=\"card wide\"><h2>Planted defects</h2><p>{found} of {} found: proof that the oracles see.</p>\
         <table><tr><th>defect</th><th>found by</th><th>what it said</th><th class=\"n\">bookings</th></tr>",
        hunts.len()
    );
    for hunt in hunts {
        let rule = hunt.found_by.map_or("escaped", |rule| rule.as_str());
        let said: String = hunt.said.chars().take(120).collect();
        put!(
            page,
            "<tr><td>{}</td><td>{rule}</td><td class=\"quiet\">{}</td><td class=\"n\">{}</td></tr>",
            hunt.defect.as_str(),
            escape(&said),
            number(hunt.bookings)
        );
    }
    page.push_str("</table></section>\n");
}

fn coverage(page: &mut String, coverage: &Coverage) {
    let (reached, all) = coverage.reached();
    put!(
        page,
        "<section class=\"card wide\"><h2>Coverage</h2><p>Status of the booking, request and fault: {reached} of {all} \
         cells reached. Darker is more often; an empty cell was never struck.</p><table class=\"cells\"><tr><th>request</th>\
         <th>status</th>"
    );
    for fault in Coverage::faults() {
        put!(page, "<th>{}</th>", fault.as_str());
    }
    page.push_str("</tr>");
    for task in Task::ALL.into_iter().filter(|task| *task != Task::World) {
        for status in Coverage::statuses().filter(|status| coverage.met(task, *status) > 0) {
            let name = status.map_or("none yet", |status| status.as_str());
            put!(page, "<tr><td>{}</td><td>{name}</td>", task.as_str());
            for fault in Coverage::faults() {
                let count = coverage.of(task, status, *fault);
                let shade = if count == 0 { 0.0 } else { ((count as f64).log10() + 1.0) * 0.14 };
                put!(page, "<td class=\"n\" style=\"--s:{:.2}\">{}</td>", shade.min(0.8), number(count));
            }
            page.push_str("</tr>");
        }
    }
    page.push_str("</table></section>\n");
}

fn recoveries(page: &mut String, totals: &Totals) {
    page.push_str(
        "<section class=\"card\"><h2>Slowest recoveries</h2><p>From the last fault until every booking was over, every \
         cent settled and every event handled. Deadlines of the product set the pace.</p><table>",
    );
    for (seed, took) in &totals.slowest {
        put!(page, "<tr><td>seed {seed}</td><td class=\"n\">{} min {} s</td></tr>", took / 60, took % 60);
    }
    page.push_str("</table></section>\n");
}

fn violation(page: &mut String, totals: &Totals, broken: Option<&Outcome>) {
    let Some((seed, rule, found)) = totals.violations.first() else { return };
    put!(
        page,
        "<section class=\"card wide\"><h2>Broken: {}</h2><p>Seed {seed}: {}</p>",
        rule.as_str(),
        escape(found)
    );
    if let Some((outcome, trace)) = broken.and_then(|outcome| Some((outcome, outcome.trace.as_ref()?))) {
        let about: Vec<String> = outcome.violations.iter().flat_map(|broken| broken.about.clone()).collect();
        put!(page, "<pre>{}</pre>", escape(&trace.mermaid(&about)));
    }
    page.push_str("</section>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// With a comma between thousands.
fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
