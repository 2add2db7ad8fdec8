//! Many at once.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Backend, Factory, commit, dumps};
use crate::conformance::Racer;
use crate::conformance::fixtures::{Journey, at, idempotency_id, user, vehicle_id};
use crate::{Commit, CommitError, IdempotencyRecord, IdempotencyWrite, Quota};

/// Of 32 that claim one vehicle at the same version exactly one wins, and the others learn that they lost.
pub async fn one_of_32_racers_claims_the_vehicle(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let (journey, registered) = Journey::register(1, at(0));
    commit(&backend, registered).await;
    let claims: Vec<(Journey, Commit)> = (0..32)
        .map(|rider| {
            let mut own = journey.clone();
            let claim = own.reserve(rider, at(1 + i64::from(rider)));
            (own, claim)
        })
        .collect();
    let results = race(factory, &backend, claims.iter().map(|(_, claim)| claim.clone()).collect()).await;
    let winners: Vec<usize> = (0..32).filter(|n| results[*n].is_ok()).collect();
    assert_eq!(winners.len(), 1, "exactly one of 32 wins: {results:?}");
    for result in &results {
        let lost = matches!(result, Ok(()) | Err(CommitError::VersionConflict { .. }));
        assert!(lost, "who loses meets a version conflict: {result:?}");
    }
    let winner = &claims[winners[0]].0;
    let vehicle = backend.store.vehicle(&vehicle_id(1)).await.unwrap();
    assert_eq!(vehicle.as_ref(), Some(&winner.vehicle), "the vehicle is the winner's");
    let dumps = dumps(&backend).await;
    assert_eq!(dumps.len(), 2, "only the winner's booking exists");
}

/// Commits that touch different aggregates do not refuse each other.
pub async fn racers_on_different_vehicles_all_win(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let mut claims = Vec::new();
    for n in 0..16 {
        let (mut journey, registered) = Journey::register(n, at(0));
        commit(&backend, registered).await;
        claims.push(journey.reserve(n, at(1)));
    }
    let results = race(factory, &backend, claims).await;
    assert!(results.iter().all(Result::is_ok), "nobody meets anybody: {results:?}");
    assert_eq!(dumps(&backend).await.len(), 32);
}

/// "A limit that holds atomically with the commit": of 20 at once under a limit of 10, exactly 10 are made.
pub async fn quota_holds_under_concurrency(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let mut claims = Vec::new();
    for n in 0..20 {
        let (mut journey, registered) = Journey::register(n, at(0));
        commit(&backend, registered).await;
        let quota = Some(Quota { user_id: user(1), since: at(0), max: 10 });
        claims.push(Commit { quota, ..journey.reserve(1, at(1 + i64::from(n))) });
    }
    let results = race(factory, &backend, claims).await;
    let made = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(made, 10, "exactly as many as the quota allows: {results:?}");
    for result in &results {
        let told = matches!(result, Ok(()) | Err(CommitError::QuotaExceeded { .. }));
        assert!(told, "who is too late is told about the quota: {result:?}");
    }
    assert_eq!(dumps(&backend).await.len(), 30, "20 vehicles, 10 bookings");
}

/// Two requests under one key: one has its effect, the other meets a conflict and has none.
pub async fn one_idempotency_key_wins_once(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let mut claims = Vec::new();
    let mut ids = Vec::new();
    for n in 0..8 {
        let (mut journey, registered) = Journey::register(n, at(0));
        commit(&backend, registered).await;
        let claim = journey.reserve(1, at(1));
        let record = IdempotencyRecord::InFlight {
            request_hash: [n as u8; 32],
            booking_id: journey.booking_id(),
            locked_until: at(31),
        };
        let write = IdempotencyWrite { id: idempotency_id(1, "same"), expected: None, record };
        ids.push(journey.booking_id());
        claims.push(Commit { idempotency: Some(write), ..claim });
    }
    let results = race(factory, &backend, claims).await;
    let winners: Vec<usize> = (0..8).filter(|n| results[*n].is_ok()).collect();
    assert_eq!(winners.len(), 1, "one request has its effect: {results:?}");
    for result in &results {
        let told = matches!(result, Ok(()) | Err(CommitError::IdempotencyConflict));
        assert!(told, "the others are told: {result:?}");
    }
    match backend.store.idempotency(&idempotency_id(1, "same")).await.unwrap() {
        Some(IdempotencyRecord::InFlight { booking_id, .. }) => assert_eq!(booking_id, ids[winners[0]]),
        other => panic!("the winner's record is there, not {other:?}"),
    }
    assert_eq!(dumps(&backend).await.len(), 9, "8 vehicles, 1 booking");
}

async fn race(
    factory: &dyn Factory,
    backend: &Backend,
    commits: Vec<Commit>,
) -> Vec<Result<(), CommitError>> {
    let results = Arc::new(Mutex::new(Vec::new()));
    let mut racers: Vec<Racer> = Vec::new();
    for (n, commit) in commits.into_iter().enumerate() {
        let (store, results) = (Arc::clone(&backend.store), Arc::clone(&results));
        racers.push(Box::pin(async move {
            let result = store.commit(commit).await;
            results.lock().unwrap_or_else(PoisonError::into_inner).push((n, result));
        }));
    }
    let expected = racers.len();
    factory.race(racers).await;
    let mut results = std::mem::take(&mut *results.lock().unwrap_or_else(PoisonError::into_inner));
    assert_eq!(results.len(), expected, "the factory ran every racer to its end");
    results.sort_by_key(|(n, _)| *n);
    results.into_iter().map(|(_, result)| result).collect()
}
