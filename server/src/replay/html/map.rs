//! Where riders looked for a vehicle, and where they found none.

use std::fmt::Write as _;

use super::super::report::text::{number, share};
use super::super::report::{DemandCell, DemandMap};
use super::{put, round_step};

const WIDTH: f64 = 520.0;
const TALLEST: f64 = 560.0;
/// The radius of the circle of the most unmet cell.
const MOST: f64 = 18.0;
/// The cells that are listed beside the map.
const LISTED: usize = 14;

pub(super) fn draw(out: &mut String, map: &DemandMap) {
    if map.cells.is_empty() {
        out.push_str("<p class=\"note\">Nobody looked for a vehicle.</p>");
        return;
    }
    let cell = map.cell_m.max(1.0);
    let edge = |of: fn(&DemandCell) -> f64, sign: f64| {
        map.cells.iter().map(|c| of(c) * sign).fold(f64::NEG_INFINITY, f64::max)
    };
    // Room for a whole circle at each edge.
    let (wide, high) = (
        edge(|c| c.east_m, 1.0) + edge(|c| c.east_m, -1.0),
        edge(|c| c.north_m, 1.0) + edge(|c| c.north_m, -1.0),
    );
    let margin = (wide.max(high) * MOST * 1.3 / WIDTH).max(cell * 1.5);
    let (west, east) = (-edge(|c| c.east_m, -1.0) - margin, edge(|c| c.east_m, 1.0) + margin);
    let (south, north) = (-edge(|c| c.north_m, -1.0) - margin, edge(|c| c.north_m, 1.0) + margin);
    let scale = (WIDTH / (east - west)).min(TALLEST / (north - south));
    let place = |c: &DemandCell| ((c.east_m - west) * scale, (north - c.north_m) * scale);
    let (width, height) = ((east - west) * scale, (north - south) * scale);
    let most = map.cells.iter().map(|c| c.searched).max().unwrap_or(0).max(1);
    let most_unmet = map.cells.iter().map(|c| c.unmet).max().unwrap_or(0).max(1);

    out.push_str("<div class=\"split\"><div>");
    put!(
        out,
        "<svg viewBox=\"0 0 {width:.0} {:.0}\" role=\"img\" aria-label=\"Map of unmet demand\">",
        height + 34.0
    );
    put!(
        out,
        "<rect width=\"{width:.0}\" height=\"{height:.0}\" rx=\"8\" fill=\"var(--soft)\"/><g fill=\"var(--blue)\">"
    );
    for c in &map.cells {
        let (x, y) = place(c);
        let dark = 0.2 + 0.75 * (c.searched as f64).ln_1p() / (most as f64).ln_1p();
        hexagon(out, x, y, cell * scale * 0.97, dark, c);
    }
    out.push_str("</g><g fill=\"var(--red)\" fill-opacity=\".5\" stroke=\"var(--red)\" stroke-width=\"1.2\" pointer-events=\"none\">");
    for c in map.cells.iter().filter(|c| c.unmet > 0) {
        let (x, y) = place(c);
        let radius = (MOST * (c.unmet as f64 / most_unmet as f64).sqrt()).max(1.5);
        put!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\"/>");
    }
    out.push_str("</g>");
    scale_bar(out, width, height, scale);
    out.push_str("</svg></div><div>");
    worst(out, map);
    out.push_str("</div></div>");
}

fn hexagon(out: &mut String, x: f64, y: f64, r: f64, dark: f64, c: &DemandCell) {
    let half = r * 3_f64.sqrt() / 2.0;
    put!(
        out,
        "<path fill-opacity=\"{dark:.2}\" d=\"M{x:.1} {:.1}l{half:.1} {:.1}v{r:.1}l-{half:.1} {:.1}l-{half:.1} -{:.1}v-{r:.1}Z\">\
         <title>{} searched, {} found none ({})</title></path>",
        y - r,
        r / 2.0,
        r / 2.0,
        r / 2.0,
        number(c.searched),
        number(c.unmet),
        share(c.unmet, c.searched)
    );
}

fn scale_bar(out: &mut String, width: f64, height: f64, scale: f64) {
    let metres = round_step(width / scale / 3.0);
    let text = if metres >= 1_000.0 { format!("{} km", metres / 1_000.0) } else { format!("{metres} m") };
    let (y, right) = (height + 16.0, metres * scale);
    put!(
        out,
        "<path d=\"M1 {:.1}v8M1 {y:.1}H{right:.1}M{right:.1} {:.1}v8\" fill=\"none\" stroke=\"var(--muted)\" stroke-width=\"1.5\"/>\
         <text class=\"m\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>\
         <text class=\"m\" x=\"{width:.1}\" y=\"{:.1}\" text-anchor=\"end\">north is up, equirectangular</text>",
        y - 4.0,
        y - 4.0,
        right + 8.0,
        y + 4.5,
        y + 4.5
    );
}

fn worst(out: &mut String, map: &DemandMap) {
    let mut cells: Vec<_> = map.cells.iter().filter(|c| c.unmet > 0).collect();
    cells.sort_by(|a, b| {
        b.unmet.cmp(&a.unmet).then(a.north_m.total_cmp(&b.north_m)).then(a.east_m.total_cmp(&b.east_m))
    });
    if cells.is_empty() {
        out.push_str("<p>Everybody found a vehicle.</p>");
        return;
    }
    let unmet: u64 = cells.iter().map(|c| c.unmet).sum();
    let listed: u64 = cells.iter().take(LISTED).map(|c| c.unmet).sum();
    put!(
        out,
        "<table><tr><th>where it was worst</th><th>searched</th><th>found none</th><th>share</th></tr>"
    );
    for c in cells.iter().take(LISTED) {
        put!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            coordinates(map, c),
            number(c.searched),
            number(c.unmet),
            share(c.unmet, c.searched)
        );
    }
    put!(
        out,
        "</table><p class=\"note\" style=\"margin-top:12px\">{} of all unmet searches fell into {} of {} cells. A cell is {:.1} km wide; \
         its middle is given.</p>",
        share(listed, unmet),
        cells.len().min(LISTED),
        map.cells.len(),
        map.cell_m * 3_f64.sqrt() / 1_000.0
    );
}

fn coordinates(map: &DemandMap, c: &DemandCell) -> String {
    let Some(origin) = map.origin else { return String::new() };
    let north = origin.lat() + c.north_m / 111_195.08;
    let east = origin.lon() + c.east_m / (111_195.08 * origin.lat().to_radians().cos().max(1e-6));
    format!("{north:.3}, {east:.3}")
}
