//! "Writes all of it or nothing."

use std::future::poll_fn;
use std::task::Poll;

use futures_util::future::join_all;
use rideplane_core::fleet;
use rideplane_core::ids::Version;
use rideplane_core::time::Span;

use super::{Backend, Factory, commit, commit_all, conflict, dumps, pending, picture};
use crate::conformance::fixtures::{Journey, at, idempotency_id, vehicle_id};
use crate::{AggregateKey, Commit, CommitError, IdempotencyRecord, IdempotencyWrite};

/// "An empty commit succeeds."
pub async fn an_empty_commit_succeeds(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    commit(&backend, Commit::new(at(0))).await;
    assert!(dumps(&backend).await.is_empty(), "it writes nothing");
}

/// A vehicle that moved on refuses what was decided on an older version.
pub async fn stale_vehicle_is_a_version_conflict(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let (mut journey, registered) = Journey::register(1, at(0));
    let read = journey.vehicle.version;
    commit(&backend, registered).await;
    let mut slower = journey.clone();
    commit(&backend, journey.reserve(1, at(1))).await;
    let before = picture(&backend).await;
    let key = AggregateKey::Vehicle(vehicle_id(1));
    conflict(&backend, slower.reserve(2, at(1)), &key, read).await;
    assert_eq!(picture(&backend).await, before, "a refused commit writes nothing");

    let (mut ahead, _) = Journey::register(1, at(0));
    ahead.vehicle.version = Version(99);
    let change = ahead.vehicle_command(&fleet::Command::FoundUnlocked, at(2));
    conflict(&backend, change, &key, Version(99)).await;
}

/// A booking that moved on refuses what was decided on an older version.
pub async fn stale_booking_is_a_version_conflict(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let (mut journey, registered) = Journey::register(1, at(0));
    commit(&backend, registered).await;
    commit(&backend, journey.reserve(1, at(1))).await;
    let read = journey.booking().version;
    let mut slower = journey.clone();
    commit_all(&backend, journey.confirm(at(2))).await;
    let before = picture(&backend).await;
    let stale = slower.confirm(at(3)).swap_remove(0);
    conflict(&backend, stale, &AggregateKey::Booking(journey.booking_id()), read).await;
    assert_eq!(picture(&backend).await, before, "a refused commit writes nothing");
}

/// A commit that expects nothing to be there is refused where something is, and the other way round.
pub async fn the_same_aggregate_is_created_once(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let (mut journey, registered) = Journey::register(1, at(0));
    let key = AggregateKey::Vehicle(vehicle_id(1));
    let read = journey.vehicle.version;
    conflict(&backend, journey.clone().reserve(1, at(1)), &key, read).await;
    assert!(dumps(&backend).await.is_empty(), "a change of what does not exist writes nothing");

    commit(&backend, registered.clone()).await;
    conflict(&backend, registered, &key, Version::NONE).await;
    let created = journey.reserve(1, at(1));
    commit(&backend, created.clone()).await;
    let again = Commit { vehicles: Vec::new(), ..created };
    let key = AggregateKey::Booking(journey.booking_id());
    conflict(&backend, again.clone(), &key, Version::NONE).await;

    // With a claim of another vehicle, among others that are under way: it alone is refused, and whole.
    let fleet: Vec<_> = (2..22).map(|n| Journey::register(n, at(1))).collect();
    let (mut journeys, registered): (Vec<_>, Vec<_>) = fleet.into_iter().unzip();
    commit_all(&backend, registered).await;
    let free = journeys[7].vehicle.clone();
    let mut claims: Vec<_> = journeys.iter_mut().map(|journey| journey.reserve(2, at(2))).collect();
    claims[7].bookings.extend(again.bookings);
    let results = join_all(claims.into_iter().map(|claim| backend.store.commit(claim))).await;
    for (n, result) in results.iter().enumerate() {
        let refused = matches!(result, Err(CommitError::VersionConflict { key: at, .. }) if *at == key);
        assert!(if n == 7 { refused } else { result.is_ok() }, "commit {n}: {result:?}");
    }
    assert_eq!(backend.store.vehicle(&free.state.id).await.unwrap(), Some(free), "what came with it");
    assert_eq!(backend.store.booking(&journeys[7].booking_id()).await.unwrap(), None);
}

/// One bad expectation among several good ones: no state, event, outbox row, deadline, posting or idempotency record.
pub async fn one_bad_change_stops_all(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let (mut good, first) = Journey::register(1, at(0));
    let (mut bad, second) = Journey::register(2, at(0));
    commit_all(&backend, [first, second]).await;
    commit_all(&backend, [good.reserve(1, at(1)), bad.reserve(2, at(1))]).await;
    let mut stale = bad.clone();
    commit_all(&backend, bad.confirm(at(2))).await;
    let before = picture(&backend).await;

    let mut mixed = good.cancel(at(3));
    let refused = stale.cancel(at(3));
    mixed.vehicles.extend(refused.vehicles);
    mixed.bookings.extend(refused.bookings);
    let (_, third) = Journey::register(3, at(3));
    mixed.vehicles.extend(third.vehicles);
    mixed.ledger = dumps(&backend).await.iter().flat_map(|dump| dump.ledger.clone()).collect();
    assert!(!mixed.ledger.is_empty(), "the commit posts");
    let id = idempotency_id(1, "mixed");
    mixed.idempotency = Some(write(&id, &good, None));
    let result = backend.store.commit(mixed).await;
    assert!(
        matches!(result, Err(CommitError::VersionConflict { .. })),
        "one stale change refuses all: {result:?}"
    );
    assert_eq!(picture(&backend).await, before, "a refused commit writes nothing");
    assert_eq!(backend.store.idempotency(&id).await.unwrap(), None, "not even its idempotency record");

    // A wrong idempotency expectation stops good changes, too.
    let (_, fourth) = Journey::register(4, at(3));
    let wrong = write(&id, &good, Some(in_flight(&good)));
    let result = backend.store.commit(Commit { idempotency: Some(wrong), ..fourth }).await;
    assert!(matches!(result, Err(CommitError::IdempotencyConflict)), "{result:?}");
    assert_eq!(picture(&backend).await, before, "a refused commit writes nothing");
}

/// "A call whose future is dropped leaves everything or nothing behind", wherever it was dropped.
pub async fn a_dropped_commit_is_all_or_nothing(factory: &dyn Factory) {
    for polls in 0..12 {
        let backend = factory.fresh().await;
        let (mut journey, registered) = Journey::register(1, at(0));
        commit_all(&backend, [registered, journey.reserve(1, at(1))]).await;
        let mut commits = journey.confirm(at(2));
        let mut last = commits.pop().expect("confirming ends with the hold");
        commit_all(&backend, commits).await;
        let before = pending(&backend).await.len();
        let id = idempotency_id(1, "dropped");
        last.idempotency = Some(write(&id, &journey, None));
        let events = last.bookings[0].events.len();

        let done = poll_then_drop(backend.store.commit(last.clone()), polls).await;
        // What was begun may still end behind our back; the same commit again then meets its own version.
        match backend.store.commit(last).await {
            Ok(()) => assert!(!done, "what was acknowledged is there"),
            Err(CommitError::VersionConflict { .. } | CommitError::IdempotencyConflict) => {
                assert!(polls > 0, "a future that was never polled did nothing");
            }
            Err(error) => panic!("after a dropped call the store serves on: {error}"),
        }
        written_once(&backend, &journey, before + events).await;
        assert!(backend.store.idempotency(&id).await.unwrap().is_some(), "the record came with the rest");
    }
}

async fn written_once(backend: &Backend, journey: &Journey, rows: usize) {
    let stored = backend.store.booking(&journey.booking_id()).await.unwrap();
    assert_eq!(stored.as_ref(), Some(journey.booking()), "the state is written");
    assert_eq!(pending(backend).await.len(), rows, "each event is written once");
    for dump in dumps(backend).await {
        assert_eq!(dump.events.len() as u64, dump.version.0, "events and version of the {} agree", dump.key);
        if matches!(dump.key, AggregateKey::Booking(_)) {
            assert_eq!(dump.ledger.len(), 1, "the posting is written once");
        }
    }
}

/// Polls a future at most so often and drops it; says whether it ended.
async fn poll_then_drop<T>(future: impl Future<Output = T> + Send, polls: usize) -> bool {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn in_flight(journey: &Journey) -> IdempotencyRecord {
    IdempotencyRecord::InFlight {
        request_hash: [9; 32],
        booking_id: journey.booking_id(),
        locked_until: at(3).plus(Span::from_seconds(30)),
    }
}

fn write(
    id: &crate::IdempotencyId,
    journey: &Journey,
    expected: Option<IdempotencyRecord>,
) -> IdempotencyWrite {
    IdempotencyWrite { id: id.clone(), expected, record: in_flight(journey) }
}
