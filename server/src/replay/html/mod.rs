//! `report.html`: one file that shows a [`Report`], with nothing fetched and no script.
//!
//! Everything is inline CSS and SVG; a content security policy in the page forbids the rest. Colours
//! follow the reader's light or dark setting; printed it is light.

mod charts;
mod funnel;
mod map;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use super::report::text::{amount, micros, number, share, words};
use super::report::{FleetSample, Phase, Report, Totals};

/// Appends formatted text to a `String`, which can't fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{
        let _ = write!($out, $($arg)*);
    }};
}
use put;

const STYLE: &str = include_str!("style.css");

/// The page. All text of the report is escaped.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut page = String::with_capacity(200_000);
    put!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Replay of {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        escape(&report.parameters.trips)
    );
    header(&mut page, report);
    page.push_str("<main class=\"grid\">\n");
    verdict(&mut page, report);
    tiles(&mut page, report);
    card(
        &mut page,
        "",
        "Where journeys end",
        "Every trip of the file, from left to right: what became of it. Widths are in proportion.",
        |out| funnel::draw(out, report),
    );
    card(
        &mut page,
        "",
        "Unmet demand",
        "Hexagons: where riders looked for a vehicle, darker for more. Circles: where they found none, \
         area in proportion.",
        |out| map::draw(out, &report.demand),
    );
    card(&mut page, "", "Availability and utilisation", &timeline_note(report), |out| {
        charts::timeline(out, &report.timeline);
    });
    card(
        &mut page,
        "",
        "Latency by phase",
        "Real time of each call, on a logarithmic scale: from the median to the 99th percentile, \
         with a mark at the 95th.",
        |out| charts::latency(out, report),
    );
    card(
        &mut page,
        "half",
        "Money",
        "Authorised is captured, released or open; at the end nothing may be open.",
        |out| money(out, report),
    );
    card(
        &mut page,
        "half",
        "Met on the way",
        "What went wrong for riders, and the faults that were put in on purpose.",
        |out| met(out, report),
    );
    put!(
        page,
        "</main>\n<footer>Rideplane {}. {} events published, {} waiting in the outbox. Times are UTC as in the \
         trip file.</footer>\n</body>\n</html>\n",
        escape(&report.parameters.version),
        number(report.events_published),
        number(report.outbox_pending)
    );
    page
}

/// Text for an element or a quoted attribute.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ if c.is_control() => safe.push('\u{fffd}'),
            _ => safe.push(c),
        }
    }
    safe
}

fn card(out: &mut String, class: &str, title: &str, note: &str, body: impl FnOnce(&mut String)) {
    put!(out, "<section class=\"card {class}\"><h2>{title}</h2>\n<p class=\"note\">{note}</p>\n");
    body(out);
    out.push_str("</section>\n");
}

fn header(out: &mut String, report: &Report) {
    let p = &report.parameters;
    put!(out, "<header><h1>{} real trips, replayed</h1>\n<ul class=\"params\">", number(report.trips_read));
    let fleet = number(p.fleet);
    let seed = p.seed.to_string();
    for (name, value) in [
        ("trips", p.trips.as_str()),
        ("format", p.format.as_str()),
        ("fold", p.fold.as_str()),
        ("store", &p.store),
        ("fleet", &fleet),
        ("faults", &p.faults),
        ("seed", &seed),
    ] {
        put!(out, "<li>{name} <b>{}</b></li>", escape(value));
    }
    out.push_str("</ul></header>\n");
}

/// Green or red, and the sums themselves, so that a reader may check them.
fn verdict(out: &mut String, report: &Report) {
    let broken = report.check();
    let clean = report.is_clean();
    let title = if clean {
        "Audit: 0 violations, and every number adds up".to_owned()
    } else {
        format!(
            "Audit: {} violations, and {} sums that do not add up",
            number(report.audit_violations),
            broken.len()
        )
    };
    let class = if clean { "ok" } else { "bad" };
    put!(out, "<section class=\"card verdict {class}\"><h2>{title}</h2><ul>");
    for finding in report.audit_findings.iter().chain(&broken) {
        put!(out, "<li class=\"n\">{}</li>", escape(finding));
    }
    let unnamed = report.audit_violations.saturating_sub(report.audit_findings.len() as u64);
    if unnamed > 0 {
        put!(out, "<li class=\"n\">and {} more findings of the audit</li>", number(unnamed));
    }
    if clean {
        put!(
            out,
            "<li class=\"y\">{} trips read = {} skipped + {} without a vehicle + {} completed + {} cancelled + {} expired</li>",
            number(report.trips_read),
            number(report.skipped()),
            number(report.no_vehicle_nearby),
            number(report.bookings_completed),
            number(report.bookings_cancelled),
            number(report.bookings_expired)
        );
        for currency in report.money.currencies() {
            let [authorized, captured, released, open] = [
                &report.money.authorized,
                &report.money.captured,
                &report.money.released,
                &report.money.open,
            ]
            .map(|totals| amount(totals.get(currency)));
            put!(
                out,
                "<li class=\"y\">{authorized} {} authorised = {captured} captured + {released} released + {open} open</li>",
                escape(currency.code())
            );
        }
    }
    out.push_str("</ul></section>\n");
}

fn tiles(out: &mut String, report: &Report) {
    let found = report.searched().saturating_sub(report.no_vehicle_nearby);
    let confirm = report.latency_us.get(&Phase::Confirm).copied().unwrap_or_default();
    let tiles = [
        ("journeys completed", number(report.bookings_completed)),
        ("found a vehicle", share(found, report.searched())),
        ("captured", first_sum(&report.money.captured)),
        ("bookings a second", number(report.bookings_per_s.round() as u64)),
        ("confirmed within (p99)", micros(confirm.p99)),
    ];
    out.push_str("<div class=\"tiles\">");
    for (name, value) in tiles {
        put!(out, "<div class=\"tile\"><span>{name}</span><b>{}</b></div>", escape(&value));
    }
    out.push_str("</div>\n");
}

fn first_sum(totals: &Totals) -> String {
    totals.iter().next().map_or_else(
        || "-".to_owned(),
        |(currency, sum)| format!("{} {}", amount(sum.trunc()), currency.code()),
    )
}

fn timeline_note(report: &Report) -> String {
    let hours = report.timeline.step_s / 3_600;
    let step = match hours {
        0 | 1 => "hour".to_owned(),
        24 => "day".to_owned(),
        _ if hours.is_multiple_of(24) => format!("{} days", hours / 24),
        _ => format!("{hours} hours"),
    };
    let taken = |fleet: FleetSample| (fleet.reserved + fleet.in_use, fleet.total());
    let busiest = report.timeline.steps.iter().filter_map(|step| step.fleet).map(taken);
    let busiest = busiest.max_by(|(a, all_a), (b, all_b)| (a * all_b).cmp(&(b * all_a)));
    let busiest = busiest.map_or_else(String::new, |(taken, all)| {
        format!(" At the busiest {} of the fleet were reserved or in use.", share(taken, all))
    });
    format!(
        "Above, what the vehicles were doing; below, how many riders looked for one. One step is one {step}.{busiest}"
    )
}

fn money(out: &mut String, report: &Report) {
    let totals = &report.money;
    let rows = [
        ("authorised", &totals.authorized),
        ("captured", &totals.captured),
        ("released", &totals.released),
        ("open", &totals.open),
        ("refunded, of the captured", &totals.refunded),
    ];
    let currencies = totals.currencies();
    out.push_str("<div class=\"scroll\"><table><tr><th></th>");
    for currency in &currencies {
        put!(out, "<th>{}</th>", escape(currency.code()));
    }
    out.push_str("</tr>");
    for (name, sums) in rows {
        put!(out, "<tr><td>{name}</td>");
        for currency in &currencies {
            put!(out, "<td>{}</td>", amount(sums.get(*currency)));
        }
        out.push_str("</tr>");
    }
    out.push_str("</table></div>");
}

fn met(out: &mut String, report: &Report) {
    let counted = [
        ("vehicle taken by somebody else", report.conflicts),
        ("payment declined", report.payments_declined),
        ("3-D Secure asked for", report.payments_requires_action),
        ("unlock failed", report.unlocks_failed),
    ];
    bars(out, counted.into_iter().map(|(name, n)| (name.to_owned(), n)).collect());
    put!(out, "<h3>Faults put in: {}</h3>", escape(&report.parameters.faults));
    if report.faults_met.is_empty() {
        out.push_str("<p class=\"note\">None was met.</p>");
        return;
    }
    let mut faults: Vec<_> = report.faults_met.iter().map(|(name, n)| (words(name), *n)).collect();
    faults.sort_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
    bars(out, faults);
}

fn bars(out: &mut String, rows: Vec<(String, u64)>) {
    let most = rows.iter().map(|(_, n)| *n).max().unwrap_or(0).max(1);
    out.push_str("<table>");
    for (name, n) in rows {
        let width = n as f64 * 100.0 / most as f64;
        let bar = if n == 0 { String::new() } else { format!("<i style=\"width:{width:.1}%\"></i>") };
        put!(
            out,
            "<tr><td class=\"wrap\">{}</td><td class=\"bar\">{bar}</td><td>{}</td></tr>",
            escape(&name),
            number(n)
        );
    }
    out.push_str("</table>");
}

/// A round number (1, 2 or 5 times a power of ten) of at most `most`.
fn round_step(most: f64) -> f64 {
    if most.is_nan() || most <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(most.log10().floor());
    let times = [5.0, 2.0, 1.0].into_iter().find(|times| times * power <= most).unwrap_or(1.0);
    times * power
}
