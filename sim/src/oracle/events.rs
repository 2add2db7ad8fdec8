//! The outbox as a queue that loses nothing, and its consumer.

use std::collections::{BTreeMap, HashSet};

use rideplane_core::time::Timestamp;
use rideplane_ports::{AggregateKey, Commit, Envelope};

use super::{Oracle, Rule, about};

#[derive(Default)]
pub(super) struct Events {
    /// The newest version of each aggregate that was committed.
    committed: BTreeMap<AggregateKey, u64>,
    /// The newest version of each aggregate that came out.
    published: BTreeMap<AggregateKey, u64>,
    /// Handled by the consumer, for good.
    handled: HashSet<String>,
    count: u64,
}

impl Oracle {
    pub(super) fn enqueued(&mut self, commit: &Commit, now: Timestamp) {
        let vehicles = commit.vehicles.iter().map(|change| {
            (AggregateKey::Vehicle(change.state.id.clone()), change.expected.0, change.version().0)
        });
        let bookings = commit
            .bookings
            .iter()
            .map(|change| (AggregateKey::Booking(change.state.id), change.expected.0, change.version().0));
        for (key, from, to) in vehicles.chain(bookings) {
            let before = self.events.committed.insert(key.clone(), to).unwrap_or(0);
            self.events.count += to.saturating_sub(before);
            self.require(
                Rule::EventOrder,
                before == from,
                now,
                || about(&key),
                || format!("events {from} to {to} were written behind {before}"),
            );
        }
    }

    /// An event is on the bus.
    pub(crate) fn published(&mut self, event: &Envelope, now: Timestamp) {
        let key = &event.aggregate;
        let committed = self.events.committed.get(key).copied().unwrap_or(0);
        let version = event.version.0;
        self.require(
            Rule::Outbox,
            version <= committed,
            now,
            || about(key),
            || format!("{} v{version} is on the bus, but never happened", event.name),
        );
        let newest = self.events.published.entry(key.clone()).or_insert(0);
        let fits = version <= *newest + 1;
        let before = *newest;
        *newest = before.max(version);
        self.require(
            Rule::EventOrder,
            fits,
            now,
            || about(key),
            || format!("{} v{version} came onto the bus right after v{before}", event.name),
        );
    }

    /// How many events were committed.
    pub(crate) const fn events_committed(&self) -> u64 {
        self.events.count
    }

    /// The consumer said that it is done with an event.
    pub(crate) fn handled(&mut self, id: &str) {
        self.events.handled.insert(id.to_owned());
    }

    /// A message is handed over to be sent.
    pub(crate) fn notified(&mut self, message: &str, now: Timestamp) {
        let event = message.rsplit_once(':').map_or(message, |(event, _)| event);
        let known = self.events.handled.contains(event);
        self.require(
            Rule::Inbox,
            !known,
            now,
            || vec!["Notifier".to_owned()],
            || format!("message {message} went out again although its event was handled"),
        );
    }

    /// At the end everything has come out.
    pub(crate) fn all_published(&mut self, now: Timestamp) {
        let missing: Vec<(AggregateKey, u64, u64)> = self
            .events
            .committed
            .iter()
            .map(|(key, to)| (key.clone(), *to, self.events.published.get(key).copied().unwrap_or(0)))
            .filter(|(_, to, out)| out < to)
            .collect();
        self.check(Rule::Outbox);
        for (key, to, out) in missing {
            let found = format!("events {} to {to} never came onto the bus", out + 1);
            self.broken(Rule::Outbox, now, about(&key), found);
        }
    }
}
