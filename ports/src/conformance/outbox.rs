//! The suite of [`Outbox`](crate::Outbox), run by [`store::run_all`](super::store::run_all).

use super::checks;
use super::fixtures::{Journey, at};
use super::store::{Factory, commit, commit_all, pending};
use crate::{AggregateKey, Envelope};

/// Runs every check.
pub async fn run_all(factory: &dyn Factory) {
    checks!(
        "outbox",
        factory,
        pending_in_order_per_aggregate,
        a_limit_takes_from_the_front,
        what_is_published_is_pending_no_more,
        publishing_twice_changes_nothing,
    );
}

/// "Unpublished events, for each aggregate oldest first and without a gap."
pub async fn pending_in_order_per_aggregate(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let (mut a, first) = Journey::register(1, at(0));
    let (mut b, second) = Journey::register(2, at(0));
    commit_all(&backend, [first, second]).await;
    commit_all(&backend, [a.reserve(1, at(1)), b.reserve(2, at(1))]).await;
    for (one, other) in a.confirm(at(2)).into_iter().zip(b.confirm(at(2))) {
        commit_all(&backend, [one, other]).await;
    }
    let rows = pending(&backend).await;
    let total: u64 =
        [a, b].iter().map(|journey| journey.vehicle.version.0 + journey.booking().version.0).sum();
    assert_eq!(rows.len() as u64, total, "every event waits");
    assert_eq!(backend.outbox.pending_count().await.unwrap(), total);
    gapless(&rows);
}

/// A page of the outbox leaves no gap either.
pub async fn a_limit_takes_from_the_front(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let (mut journey, registered) = Journey::register(1, at(0));
    commit_all(&backend, [registered, journey.reserve(1, at(1))]).await;
    let all = pending(&backend).await;
    for limit in 0..=all.len() {
        let page = backend.outbox.pending(limit).await.unwrap();
        assert_eq!(page, all[..limit], "the first {limit}");
    }
}

/// Published events go, the rest stays, in order.
pub async fn what_is_published_is_pending_no_more(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let (mut journey, registered) = Journey::register(1, at(0));
    commit_all(&backend, [registered, journey.reserve(1, at(1))]).await;
    commit_all(&backend, journey.confirm(at(2))).await;
    let all = pending(&backend).await;
    backend.outbox.mark_published(&all[..2], at(3)).await.unwrap();
    assert_eq!(pending(&backend).await, all[2..], "the rest waits on");
    assert_eq!(backend.outbox.pending_count().await.unwrap(), all.len() as u64 - 2);
    backend.outbox.mark_published(&all[2..], at(4)).await.unwrap();
    assert_eq!(pending(&backend).await, [], "nothing waits");
    let next = journey.cancel(at(5));
    let rows = next.envelopes().unwrap();
    commit(&backend, next).await;
    assert_eq!(pending(&backend).await, rows, "what comes later waits");
}

/// "A repeat changes nothing", nor does what was never there.
pub async fn publishing_twice_changes_nothing(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let (mut journey, registered) = Journey::register(1, at(0));
    commit_all(&backend, [registered, journey.reserve(1, at(1))]).await;
    let all = pending(&backend).await;
    backend.outbox.mark_published(&all[..1], at(3)).await.unwrap();
    backend.outbox.mark_published(&all[..1], at(4)).await.unwrap();
    backend.outbox.mark_published(&[], at(4)).await.unwrap();
    assert_eq!(pending(&backend).await, all[1..]);
    assert_eq!(backend.outbox.pending_count().await.unwrap(), all.len() as u64 - 1);
    backend.outbox.mark_published(&all[..2], at(5)).await.unwrap();
    assert_eq!(pending(&backend).await, all[2..], "a batch of old and new takes the new");
}

fn gapless(rows: &[Envelope]) {
    let mut keys: Vec<&AggregateKey> = rows.iter().map(|row| &row.aggregate).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let versions = rows.iter().filter(|row| row.aggregate == *key).map(|row| row.version.0);
        assert!(versions.eq(1..=rows.iter().filter(|row| row.aggregate == *key).count() as u64), "{key}");
    }
}
