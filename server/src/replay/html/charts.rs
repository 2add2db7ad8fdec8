//! The charts over time and of latency.

use std::fmt::Write as _;

use rideplane_core::time::Timestamp;

use super::super::fold::REFERENCE;
use super::super::report::text::{micros, number};
use super::super::report::{FleetSample, Percentiles, Phase, Report, Step, Timeline};
use super::{put, round_step};

const WIDTH: f64 = 1_040.0;
const LEFT: f64 = 46.0;
const PLOT: f64 = WIDTH - LEFT;

/// What a vehicle may be doing: name, colour and number, from the bottom up.
type Layer = (&'static str, &'static str, fn(&FleetSample) -> u64);

const LAYERS: [Layer; 4] = [
    ("in use", "var(--blue)", |fleet| fleet.in_use),
    ("reserved", "var(--amber)", |fleet| fleet.reserved),
    ("offline or out of service", "var(--grey)", |fleet| fleet.offline),
    ("available", "var(--free)", |fleet| fleet.available),
];

/// Fleet and demand over time.
pub(super) fn timeline(out: &mut String, timeline: &Timeline) {
    let steps = &timeline.steps;
    if steps.is_empty() {
        out.push_str("<p class=\"note\">Nothing was sampled.</p>");
        return;
    }
    let x = |at: f64| LEFT + PLOT * at / steps.len() as f64;
    if steps.iter().any(|step| step.fleet.is_some()) {
        out.push_str("<ul class=\"key\">");
        for (name, colour, _) in LAYERS {
            put!(out, "<li><i style=\"background:{colour}\"></i>{name}</li>");
        }
        out.push_str("</ul>");
        fleet(out, timeline, &x);
    }
    out.push_str(
        "<ul class=\"key\" style=\"margin-top:10px\"><li><i style=\"background:var(--teal)\"></i>found a vehicle</li>\
         <li><i style=\"background:var(--red)\"></i>found none</li></ul>",
    );
    demand(out, timeline, &x);
}

fn fleet(out: &mut String, timeline: &Timeline, x: &impl Fn(f64) -> f64) {
    const HEIGHT: f64 = 230.0;
    let steps = &timeline.steps;
    let most = steps.iter().filter_map(|step| step.fleet).map(FleetSample::total).max().unwrap_or(0).max(1);
    let y = |vehicles: u64| HEIGHT * (1.0 - vehicles as f64 / most as f64);
    put!(
        out,
        "<div class=\"scroll\"><svg class=\"w\" viewBox=\"0 -6 {WIDTH} {:.0}\" role=\"img\" aria-label=\"Fleet over time\">",
        HEIGHT + 30.0
    );
    // Steps without a sample are bridged; a sample stands in the middle of its step.
    let samples: Vec<(f64, FleetSample)> =
        steps.iter().zip(0_u32..).filter_map(|(s, at)| Some((x(f64::from(at) + 0.5), s.fleet?))).collect();
    let mut below = vec![0; samples.len()];
    for (_, colour, of) in LAYERS {
        let above: Vec<u64> = below.iter().zip(&samples).map(|(low, (_, fleet))| low + of(fleet)).collect();
        let mut path = String::new();
        outline(&mut path, samples.iter().map(|(x, _)| *x).zip(above.iter().map(|v| y(*v))), 'M');
        outline(&mut path, samples.iter().map(|(x, _)| *x).zip(below.iter().map(|v| y(*v))).rev(), 'L');
        put!(out, "<path fill=\"{colour}\" d=\"{path}Z\"/>");
        below = above;
    }
    vertical(out, most, HEIGHT);
    days(out, timeline, x, HEIGHT);
    hover(out, timeline, x, HEIGHT, |step| {
        let Some(fleet) = step.fleet else { return "no sample".to_owned() };
        LAYERS.map(|(name, _, of)| format!("{} {name}", number(of(&fleet)))).join(", ")
    });
    out.push_str("</svg></div>");
}

/// A line through the points.
fn outline(path: &mut String, points: impl Iterator<Item = (f64, f64)>, first: char) {
    for (at, (x, y)) in points.enumerate() {
        put!(path, "{}{x:.1} {y:.1}", if at == 0 { first } else { 'L' });
    }
}

fn demand(out: &mut String, timeline: &Timeline, x: &impl Fn(f64) -> f64) {
    const HEIGHT: f64 = 120.0;
    let steps = &timeline.steps;
    let most = steps.iter().map(|step| step.searched).max().unwrap_or(0).max(1);
    let y = |searches: u64| HEIGHT * (1.0 - searches as f64 / most as f64);
    let width = (PLOT / steps.len() as f64 * 0.82).max(0.6);
    put!(
        out,
        "<div class=\"scroll\"><svg class=\"w\" viewBox=\"0 -6 {WIDTH} {:.0}\" role=\"img\" aria-label=\"Demand over time\">",
        HEIGHT + 30.0
    );
    for (step, at) in steps.iter().zip(0_u32..).filter(|(step, _)| step.searched > 0) {
        let left = x(f64::from(at) + 0.09);
        for (from, to, colour) in [(0, step.unmet, "var(--red)"), (step.unmet, step.searched, "var(--teal)")]
        {
            if from < to {
                let (top, height) = (y(to), y(from) - y(to));
                put!(
                    out,
                    "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
                );
            }
        }
    }
    vertical(out, most, HEIGHT);
    days(out, timeline, x, HEIGHT);
    hover(out, timeline, x, HEIGHT, |step| {
        format!("{} searched, {} found none", number(step.searched), number(step.unmet))
    });
    out.push_str("</svg></div>");
}

/// The numbers up the left side.
fn vertical(out: &mut String, most: u64, height: f64) {
    let step = round_step(most as f64 / 2.5).max(1.0);
    let mut value = 0.0;
    while value <= most as f64 {
        let y = height * (1.0 - value / most as f64);
        put!(
            out,
            "<path class=\"axis\" d=\"M{LEFT} {y:.1}H{WIDTH}\" opacity=\".7\"/>\
             <text class=\"m\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            y + 4.0,
            number(value as u64)
        );
        value += step;
    }
}

/// The names along the bottom: hours of a day, days of a week, dates of anything longer.
fn days(out: &mut String, timeline: &Timeline, x: &impl Fn(f64) -> f64, height: f64) {
    let steps = &timeline.steps;
    let hours = timeline.step_s / 3_600 * steps.len() as u64;
    let every = match hours {
        0..=36 => 3,
        37..=240 => 24,
        _ => (hours / 8).max(1),
    };
    let mut next = None;
    for (step, at) in steps.iter().zip(0_u32..) {
        let hour = step.from.as_unix_seconds().div_euclid(3_600);
        let due = if hours <= 240 {
            hour.rem_euclid(every.cast_signed()) == 0
        } else {
            next.is_none_or(|next| hour >= next)
        };
        if !due {
            continue;
        }
        next = Some(hour.saturating_add_unsigned(every));
        let left = x(f64::from(at));
        put!(out, "<path class=\"axis\" d=\"M{left:.1} 0V{:.1}\"/>", height + 6.0);
        put!(
            out,
            "<text class=\"m\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            left + 4.0,
            height + 18.0,
            name(step.from, hours)
        );
    }
}

fn name(at: Timestamp, hours: u64) -> String {
    match hours {
        0..=36 => clock(at),
        37..=240 => weekday(at).to_owned(),
        _ => at.to_string().chars().take(10).collect(),
    }
}

fn clock(at: Timestamp) -> String {
    format!("{:02}:00", at.as_unix_seconds().rem_euclid(86_400) / 3_600)
}

fn weekday(at: Timestamp) -> &'static str {
    let day = at.since(REFERENCE).as_seconds().div_euclid(86_400).rem_euclid(7);
    let names = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    usize::try_from(day).ok().and_then(|day| names.get(day).copied()).unwrap_or("")
}

/// What a pointer over a step reads.
fn hover(
    out: &mut String,
    timeline: &Timeline,
    x: &impl Fn(f64) -> f64,
    height: f64,
    text: impl Fn(&Step) -> String,
) {
    let hours = timeline.step_s / 3_600 * timeline.steps.len() as u64;
    let width = PLOT / timeline.steps.len() as f64;
    out.push_str("<g fill=\"transparent\">");
    for (step, at) in timeline.steps.iter().zip(0_u32..) {
        let when = match hours {
            0..=36 => clock(step.from),
            37..=240 => format!("{} {}", weekday(step.from), clock(step.from)),
            _ => step.from.to_string(),
        };
        put!(
            out,
            "<rect x=\"{:.1}\" y=\"0\" width=\"{width:.1}\" height=\"{height}\"><title>{when}: {}</title></rect>",
            x(f64::from(at)),
            text(step)
        );
    }
    out.push_str("</g>");
}

/// Latency of the phases: a chart and the numbers.
pub(super) fn latency(out: &mut String, report: &Report) {
    let measured: Vec<_> = report.latency_us.iter().filter(|(_, p)| p.count > 0 && p.p50 > 0).collect();
    out.push_str("<div class=\"split\"><div>");
    if measured.is_empty() {
        out.push_str("<p class=\"note\">Nothing was measured.</p>");
    } else {
        ranges(out, &measured);
    }
    out.push_str("</div><div class=\"scroll\"><table><tr><th>phase</th><th>p50</th><th>p95</th><th>p99</th>");
    out.push_str("<th>max</th><th>calls</th></tr>");
    for phase in Phase::ALL {
        let p = report.latency_us.get(&phase).copied().unwrap_or_default();
        let [p50, p95, p99, max] = [p.p50, p.p95, p.p99, p.max].map(micros);
        put!(
            out,
            "<tr><td>{}</td><td>{p50}</td><td>{p95}</td><td>{p99}</td><td>{max}</td><td>{}</td></tr>",
            phase.as_str(),
            number(p.count)
        );
    }
    out.push_str("</table></div></div>");
}

/// One bar a phase on a logarithmic scale, from the power of ten below the fastest to that above the slowest.
fn ranges(out: &mut String, measured: &[(&Phase, &Percentiles)]) {
    const ROW: f64 = 34.0;
    const NAME: f64 = 62.0;
    const WIDE: f64 = 500.0;
    let low = measured.iter().map(|(_, p)| p.p50).min().unwrap_or(1).max(1).ilog10();
    let high = measured.iter().map(|(_, p)| p.p99.max(2) - 1).max().unwrap_or(1).ilog10() + 1;
    let x = |value: u64| {
        NAME + (WIDE - NAME) * ((value.max(1) as f64).log10() - f64::from(low)) / f64::from(high - low)
    };
    let bottom = ROW * measured.len() as f64;
    let (width, height) = (WIDE + 24.0, bottom + 24.0);
    put!(out, "<svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"Latency by phase\">");
    for power in low..=high {
        let (at, label) = (x(10_u64.saturating_pow(power)), bottom + 18.0);
        put!(
            out,
            "<path class=\"axis\" d=\"M{at:.1} 0V{bottom:.1}\"/>\
             <text class=\"m\" x=\"{at:.1}\" y=\"{label:.1}\" text-anchor=\"middle\">{}</text>",
            power_of_ten(power)
        );
    }
    for ((phase, p), at) in measured.iter().zip(0_u32..) {
        let y = ROW * (f64::from(at) + 0.5);
        let [p50, p95, p99] = [x(p.p50), x(p.p95), x(p.p99)];
        let [t50, t95, t99] = [p.p50, p.p95, p.p99].map(micros);
        let name = phase.as_str();
        put!(
            out,
            "<g><title>{name}: p50 {t50}, p95 {t95}, p99 {t99}</title><text x=\"0\" y=\"{:.1}\">{name}</text>\
             <rect x=\"{p50:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"12\" rx=\"4\" fill=\"var(--blue)\" fill-opacity=\".35\"/>\
             <rect x=\"{:.1}\" y=\"{:.1}\" width=\"3\" height=\"16\" rx=\"1\" fill=\"var(--blue)\"/>\
             <circle cx=\"{p50:.1}\" cy=\"{y:.1}\" r=\"6\" fill=\"var(--blue)\"/></g>",
            y + 4.5,
            y - 6.0,
            (p99 - p50).max(1.0),
            p95 - 1.5,
            y - 8.0
        );
    }
    out.push_str("</svg>");
}

/// `100 µs`, `10 ms`, `1 s` for a power of ten of microseconds.
fn power_of_ten(power: u32) -> String {
    let (value, unit) = match power {
        0..3 => (power, "µs"),
        3..6 => (power - 3, "ms"),
        _ => (power - 6, "s"),
    };
    format!("{} {unit}", 10_u64.saturating_pow(value))
}
