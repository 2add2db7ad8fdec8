//! The suite of [`EventPublisher`] and [`EventSource`] over one bus.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join;

use super::checks;
use super::fixtures::{Journey, at};
use crate::{AggregateKey, Delivery, Envelope, EventPublisher, EventSource};

/// Both ends of a bus.
#[derive(Clone)]
pub struct Bus {
    /// Onto it.
    pub publisher: Arc<dyn EventPublisher>,
    /// Off it.
    pub source: Arc<dyn EventSource>,
}

/// Makes buses for the suite.
#[async_trait]
pub trait Factory: Send + Sync {
    /// A bus with nothing on it.
    async fn fresh(&self) -> Bus;

    /// Both ends as a new process has them, after the old one is gone.
    async fn restart(&self, bus: Bus) -> Bus;
}

/// Runs every check.
pub async fn run_all(factory: &dyn Factory) {
    checks!(
        "events",
        factory,
        events_of_an_aggregate_arrive_in_order,
        consumers_are_independent,
        what_is_not_acknowledged_comes_again,
        an_acknowledgement_covers_all_before,
        a_waiting_consumer_is_woken,
    );
}

/// "In order per aggregate", each unchanged, none left out.
pub async fn events_of_an_aggregate_arrive_in_order(factory: &dyn Factory) {
    let bus = factory.fresh().await;
    let rows = rows();
    for batch in rows.chunks(4) {
        publish(&bus, batch).await;
    }
    let none = bus.publisher.publish(&[]).await;
    assert!(none.count == 0 && none.error.is_none(), "an empty batch is published");
    let received: Vec<Envelope> =
        take(&bus, "search", rows.len()).await.into_iter().map(|d| d.envelope).collect();
    same_per_aggregate(&received, &rows);
}

/// Each consumer receives every event, at its own pace, also those that were there before it came.
pub async fn consumers_are_independent(factory: &dyn Factory) {
    let bus = factory.fresh().await;
    let rows = rows();
    publish(&bus, &rows).await;
    let first = take(&bus, "search", rows.len()).await;
    acknowledge(&bus, "search", &first[rows.len() - 1]).await;
    let second: Vec<Envelope> =
        take(&bus, "notify", rows.len()).await.into_iter().map(|d| d.envelope).collect();
    same_per_aggregate(&second, &rows);
}

/// "An event that was not acknowledged comes again after a restart", and one that was does not.
pub async fn what_is_not_acknowledged_comes_again(factory: &dyn Factory) {
    let bus = factory.fresh().await;
    let rows = one_aggregate();
    publish(&bus, &rows).await;
    let seen = take(&bus, "notify", 3).await;
    acknowledge(&bus, "notify", &seen[0]).await;
    let bus = factory.restart(bus).await;
    let again = take(&bus, "notify", rows.len() - 1).await;
    let again: Vec<Envelope> = again.into_iter().map(|delivery| delivery.envelope).collect();
    assert_eq!(again, rows[1..], "all but the acknowledged one, in order");
}

/// "Acknowledges a delivery and all before it"; a repeat, or an older one, takes nothing back.
pub async fn an_acknowledgement_covers_all_before(factory: &dyn Factory) {
    let bus = factory.fresh().await;
    let rows = one_aggregate();
    publish(&bus, &rows).await;
    let seen = take(&bus, "notify", 4).await;
    acknowledge(&bus, "notify", &seen[2]).await;
    acknowledge(&bus, "notify", &seen[2]).await;
    acknowledge(&bus, "notify", &seen[0]).await;
    let bus = factory.restart(bus).await;
    let next = take(&bus, "notify", 1).await;
    assert_eq!(next[0].envelope, rows[3], "the first that was not acknowledged");
}

/// "Waits for the next event": one that is published later ends the wait.
pub async fn a_waiting_consumer_is_woken(factory: &dyn Factory) {
    let bus = factory.fresh().await;
    let rows = one_aggregate();
    let (received, ()) = join(take(&bus, "notify", 2), async {
        publish(&bus, &rows[..1]).await;
        publish(&bus, &rows[1..2]).await;
    })
    .await;
    let received: Vec<Envelope> = received.into_iter().map(|delivery| delivery.envelope).collect();
    assert_eq!(received, rows[..2]);
}

/// Events of three vehicles and their bookings, mixed as a busy outbox has them.
fn rows() -> Vec<Envelope> {
    let mut rows = Vec::new();
    let mut journeys = Vec::new();
    for n in 1..=3 {
        let (mut journey, registered) = Journey::register(n, at(0));
        rows.extend(registered.envelopes().unwrap());
        rows.extend(journey.reserve(n, at(1)).envelopes().unwrap());
        journeys.push(journey);
    }
    let steps: Vec<_> = journeys.iter_mut().map(|journey| journey.confirm(at(2))).collect();
    for n in 0..3 {
        for journey in &steps {
            rows.extend(journey[n].envelopes().unwrap());
        }
    }
    rows
}

/// Events of one booking, which have one order.
fn one_aggregate() -> Vec<Envelope> {
    let first = |rows: &[Envelope]| rows.iter().map(|row| row.aggregate.clone()).min();
    let rows = rows();
    let key = first(&rows);
    let own: Vec<Envelope> = rows.into_iter().filter(|row| Some(&row.aggregate) == key.as_ref()).collect();
    assert!(own.len() >= 5, "the fixture has enough events of one booking");
    // One topic, so that one order holds on every bus.
    own.into_iter().map(|row| Envelope { topic: crate::Topic::Bookings, ..row }).collect()
}

async fn publish(bus: &Bus, rows: &[Envelope]) {
    let published = bus.publisher.publish(rows).await;
    assert!(published.error.is_none(), "the bus takes the batch: {:?}", published.error);
    assert_eq!(published.count, rows.len(), "all of it");
}

async fn take(bus: &Bus, consumer: &str, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let next = bus.source.next(consumer).await.expect("the bus serves");
        taken.push(next.expect("the bus is open"));
    }
    taken
}

async fn acknowledge(bus: &Bus, consumer: &str, delivery: &Delivery) {
    bus.source.acknowledge(consumer, delivery).await.expect("the bus takes the acknowledgement");
}

/// The same events, those of one aggregate and topic in the same order.
fn same_per_aggregate(received: &[Envelope], sent: &[Envelope]) {
    assert_eq!(received.len(), sent.len(), "none is left out, none comes twice without need");
    let mut keys: Vec<(&AggregateKey, crate::Topic)> =
        sent.iter().map(|row| (&row.aggregate, row.topic)).collect();
    keys.sort();
    keys.dedup();
    for (key, topic) in keys {
        let own = |rows: &[Envelope]| -> Vec<Envelope> {
            rows.iter().filter(|row| row.aggregate == *key && row.topic == topic).cloned().collect()
        };
        assert_eq!(own(received), own(sent), "events of the {key} arrive as they were sent");
    }
}
