//! Where journeys end: trips flow from left to right into what became of them.

use std::fmt::Write as _;

use super::super::report::Report;
use super::super::report::text::{number, share, words};
use super::{escape, put};

const WIDTH: f64 = 1_040.0;
/// The height of all trips.
const FLOW: f64 = 300.0;
const NODE: f64 = 12.0;
const COLUMNS: [f64; 3] = [0.0, 330.0, 720.0];
/// A label needs this much.
const SLOT: f64 = 19.0;
const GAP: f64 = 7.0;

/// One end of a journey.
struct Leaf {
    name: String,
    count: u64,
    colour: &'static str,
}

/// Leaves that pass through one node in the middle.
struct Group {
    name: &'static str,
    count: u64,
    colour: &'static str,
    leaves: Vec<Leaf>,
}

pub(super) fn draw(out: &mut String, report: &Report) {
    let groups = groups(report);
    let all: u64 = groups.iter().map(|group| group.count).sum();
    if all == 0 {
        out.push_str("<p class=\"note\">The file held no trip.</p>");
        return;
    }
    let scale = FLOW / all as f64;
    let mut body = String::new();
    let (mut from_y, mut leaf_y) = (0.0, 0.0);
    for group in &groups {
        let height = group.count as f64 * scale;
        let slots =
            group.leaves.iter().map(|leaf| (leaf.count as f64 * scale).max(SLOT) + GAP).sum::<f64>() - GAP;
        let mut node_y = leaf_y + (slots - height).max(0.0) / 2.0;
        let title = format!("{}: {}", group.name, number(group.count));
        band(&mut body, (COLUMNS[0] + NODE, from_y), (COLUMNS[1], node_y), height, group.colour, &title);
        node(&mut body, COLUMNS[1], node_y, height, group.colour);
        let label_y = node_y + height / 2.0;
        for leaf in &group.leaves {
            let thick = leaf.count as f64 * scale;
            let slot = thick.max(SLOT);
            let y = leaf_y + (slot - thick) / 2.0;
            let title = format!("{}: {}", leaf.name, number(leaf.count));
            band(&mut body, (COLUMNS[1] + NODE, node_y), (COLUMNS[2], y), thick, leaf.colour, &title);
            node(&mut body, COLUMNS[2], y, thick, leaf.colour);
            put!(
                body,
                "<text x=\"{:.1}\" y=\"{:.1}\">{} <tspan class=\"b\" font-weight=\"650\">{}</tspan> <tspan fill=\"var(--muted)\">{}</tspan></text>",
                COLUMNS[2] + NODE + 8.0,
                leaf_y + slot / 2.0 + 4.5,
                escape(&leaf.name),
                number(leaf.count),
                share(leaf.count, all)
            );
            node_y += thick;
            leaf_y += slot + GAP;
        }
        if group.leaves.len() > 1 {
            label(&mut body, COLUMNS[1], label_y, group.name, group.count);
        }
        leaf_y += GAP;
        from_y += height;
    }
    node(&mut body, COLUMNS[0], 0.0, FLOW, "var(--ink)");
    label(&mut body, COLUMNS[0], FLOW / 2.0, "trips read", all);
    put!(
        out,
        "<div class=\"scroll\"><svg class=\"w\" viewBox=\"0 -4 {WIDTH} {:.0}\" role=\"img\" aria-label=\"Where journeys end\">{body}</svg></div>",
        leaf_y.max(FLOW) + 4.0
    );
}

fn groups(report: &Report) -> Vec<Group> {
    let leaf = |name: String, count, colour| Leaf { name, count, colour };
    let mut booked = vec![leaf("completed".to_owned(), report.bookings_completed, "var(--green)")];
    for (kind, reasons, colour) in [
        ("cancelled", &report.cancelled_by_reason, "var(--amber)"),
        ("expired", &report.expired_by_reason, "var(--violet)"),
    ] {
        let mut reasons: Vec<_> = reasons.iter().collect();
        reasons.sort_by_key(|(name, n)| (std::cmp::Reverse(**n), name.as_str()));
        booked.extend(
            reasons.into_iter().map(|(name, n)| leaf(format!("{kind}: {}", words(name)), *n, colour)),
        );
    }
    let skipped = report.trips_skipped.iter();
    let skipped = skipped
        .map(|(why, n)| leaf(format!("skipped: {}", words(why.as_str())), *n, "var(--grey)"))
        .collect();
    let unmet = vec![leaf("no vehicle nearby".to_owned(), report.no_vehicle_nearby, "var(--red)")];
    [
        ("booked", "var(--blue)", booked),
        ("no vehicle nearby", "var(--red)", unmet),
        ("skipped", "var(--grey)", skipped),
    ]
    .into_iter()
    .map(|(name, colour, leaves)| {
        let leaves: Vec<Leaf> = leaves.into_iter().filter(|leaf| leaf.count > 0).collect();
        Group { name, count: leaves.iter().map(|leaf| leaf.count).sum(), colour, leaves }
    })
    .filter(|group| group.count > 0)
    .collect()
}

fn band(out: &mut String, from: (f64, f64), to: (f64, f64), height: f64, colour: &str, title: &str) {
    let ((x, y), (to_x, to_y)) = (from, to);
    // What is thinner than a hair would not be seen.
    let height = height.max(1.0);
    let middle = f64::midpoint(x, to_x);
    put!(
        out,
        "<path fill=\"{colour}\" fill-opacity=\".24\" d=\"M{x:.1} {y:.1}C{middle:.1} {y:.1} {middle:.1} {to_y:.1} {to_x:.1} {to_y:.1}\
         V{:.1}C{middle:.1} {:.1} {middle:.1} {:.1} {x:.1} {:.1}Z\"><title>{}</title></path>",
        to_y + height,
        to_y + height,
        y + height,
        y + height,
        escape(title)
    );
}

fn node(out: &mut String, x: f64, y: f64, height: f64, colour: &str) {
    let height = height.max(1.5);
    put!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{NODE}\" height=\"{height:.1}\" rx=\"2\" fill=\"{colour}\"/>"
    );
}

fn label(out: &mut String, x: f64, y: f64, name: &str, count: u64) {
    put!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\"><tspan font-weight=\"650\">{}</tspan> {}</text>",
        x + NODE + 8.0,
        y + 4.5,
        number(count),
        escape(name)
    );
}
