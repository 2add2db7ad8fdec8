//! The summary for a terminal.

use std::collections::BTreeMap;
use std::fmt;

use super::text::{amount, micros, number, share, words};
use super::{MoneyTotals, Percentiles, Report};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p = &self.parameters;
        writeln!(f, "Replay of {} ({}, fold {})", p.trips, p.format, p.fold)?;
        writeln!(f, "{} vehicles on {}, faults {}, seed {}\n", number(p.fleet), p.store, p.faults, p.seed)?;
        self.journeys(f)?;
        self.money.table(f)?;
        self.latency(f)?;
        writeln!(
            f,
            "\n{} events published, {} waiting. {} bookings in {:.1} s: {} a second.",
            number(self.events_published),
            number(self.outbox_pending),
            number(self.bookings_created),
            self.wall_s,
            number(self.bookings_per_s.round() as u64)
        )?;
        self.verdict(f)
    }
}

impl Report {
    fn journeys(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skipped = self.trips_skipped.iter().map(|(reason, n)| (reason.to_string(), *n)).collect();
        let line = |f: &mut fmt::Formatter<'_>, name: &str, n: u64, of: u64, why: String| {
            let text = format!("{name:<24}{:>12}  {:>7}  {why}", number(n), share(n, of));
            writeln!(f, "{}", text.trim_end())
        };
        let searched = self.searched();
        writeln!(f, "{:<24}{:>12}", "trips read", number(self.trips_read))?;
        line(f, "  skipped", self.skipped(), self.trips_read, reasons(&skipped))?;
        line(f, "  no vehicle nearby", self.no_vehicle_nearby, searched, "of the searches".to_owned())?;
        line(f, "  booked", self.bookings_created, searched, "of the searches".to_owned())?;
        let booked = self.bookings_created;
        line(f, "    completed", self.bookings_completed, booked, "of the bookings".to_owned())?;
        line(f, "    cancelled", self.bookings_cancelled, booked, reasons(&self.cancelled_by_reason))?;
        line(f, "    expired", self.bookings_expired, booked, reasons(&self.expired_by_reason))?;
        writeln!(
            f,
            "met on the way: {} conflicts, {} payments declined, {} asked for 3-D Secure, {} unlocks failed",
            number(self.conflicts),
            number(self.payments_declined),
            number(self.payments_requires_action),
            number(self.unlocks_failed)
        )?;
        if !self.faults_met.is_empty() {
            writeln!(f, "faults: {}", reasons(&self.faults_met))?;
        }
        Ok(())
    }

    fn latency(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<10}{:>12}{:>12}{:>12}{:>12}{:>12}",
            "latency", "p50", "p95", "p99", "max", "calls"
        )?;
        for (phase, Percentiles { p50, p95, p99, max, count }) in &self.latency_us {
            let [p50, p95, p99, max] = [p50, p95, p99, max].map(|value| micros(*value));
            writeln!(f, "{:<10}{p50:>12}{p95:>12}{p99:>12}{max:>12}{:>12}", phase.as_str(), number(*count))?;
        }
        Ok(())
    }

    fn verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let broken = self.check();
        if self.is_clean() {
            return write!(f, "Audit: 0 violations, and every number adds up.");
        }
        write!(f, "Audit: {} violations, {} sums that do not add up:", self.audit_violations, broken.len())?;
        for finding in self.audit_findings.iter().chain(&broken) {
            write!(f, "\n  - {finding}")?;
        }
        let unnamed = self.audit_violations.saturating_sub(self.audit_findings.len() as u64);
        if unnamed > 0 {
            write!(f, "\n  - and {} more of the audit", number(unnamed))?;
        }
        Ok(())
    }
}

impl MoneyTotals {
    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<6}{:>15}{:>15}{:>15}{:>13}{:>11}",
            "money", "authorized", "captured", "released", "refunded", "open"
        )?;
        for currency in self.currencies() {
            let [authorized, captured, released, refunded, open] =
                [&self.authorized, &self.captured, &self.released, &self.refunded, &self.open]
                    .map(|totals| amount(totals.get(currency)));
            writeln!(
                f,
                "{:<6}{authorized:>15}{captured:>15}{released:>15}{refunded:>13}{open:>11}",
                currency.code()
            )?;
        }
        Ok(())
    }
}

/// `payment declined 12, no show 3`: the most frequent first; those that never happened are left out.
fn reasons(counts: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().filter(|(_, n)| **n > 0).collect();
    counts.sort_by_key(|(name, n)| (std::cmp::Reverse(**n), name.as_str()));
    let texts: Vec<String> =
        counts.into_iter().map(|(name, n)| format!("{} {}", words(name), number(*n))).collect();
    texts.join(", ")
}
