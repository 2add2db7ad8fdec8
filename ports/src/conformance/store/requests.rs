//! Idempotency records, quotas, profiles, and a restart.

use rideplane_core::ids::PaymentMethodId;
use rideplane_core::time::Span;

use super::{Backend, Factory, commit, commit_all, picture};
use crate::conformance::fixtures::{Journey, at, idempotency_id, telemetry, user, vehicle_id};
use crate::{Commit, CommitError, IdempotencyId, IdempotencyRecord, IdempotencyWrite, Profile, Quota};

/// "What must be there: `None` for nothing, otherwise exactly this", and it is read as it was written.
pub async fn idempotency_records_are_expected(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let (mut journey, _) = Journey::register(1, at(0));
    drop(journey.reserve(1, at(1)));
    let id = idempotency_id(1, "key with spaces ~ \"1\"");
    let first = IdempotencyRecord::InFlight {
        request_hash: [3; 32],
        booking_id: journey.booking_id(),
        locked_until: at(30),
    };
    let later = IdempotencyRecord::InFlight {
        request_hash: [3; 32],
        booking_id: journey.booking_id(),
        locked_until: at(31),
    };
    let body = vec![0, 255, b'{', b'\n', 0xc3, 0x28];
    let done = IdempotencyRecord::Done { request_hash: [3; 32], status: 201, body };

    assert!(refused(&backend, &id, Some(&first), &done).await, "nothing is there to be replaced");
    assert!(!refused(&backend, &id, None, &first).await, "nothing is expected and nothing is there");
    assert_eq!(backend.store.idempotency(&id).await.unwrap().as_ref(), Some(&first));
    assert!(refused(&backend, &id, None, &first).await, "the key is taken");
    assert!(refused(&backend, &id, Some(&later), &done).await, "another record is there");
    assert!(!refused(&backend, &id, Some(&first), &later).await, "the lock is taken over");
    assert!(refused(&backend, &id, Some(&first), &done).await, "the slower one no longer owns it");
    assert!(!refused(&backend, &id, Some(&later), &done).await, "the answer is remembered");
    assert_eq!(backend.store.idempotency(&id).await.unwrap().as_ref(), Some(&done), "byte for byte");

    let other = IdempotencyId { user_id: user(2), ..id.clone() };
    assert_eq!(backend.store.idempotency(&other).await.unwrap(), None, "users can't meet each other's keys");
    assert!(!refused(&backend, &other, None, &first).await, "the same key of another user is another key");
    assert_eq!(backend.store.idempotency(&id).await.unwrap().as_ref(), Some(&done));
    let upper = idempotency_id(1, "KEY with spaces ~ \"1\"");
    assert_eq!(backend.store.idempotency(&upper).await.unwrap(), None, "keys differ by case");
}

/// "Bookings created after this instant count", of this user, whatever became of them.
pub async fn quota_counts_the_window(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    for n in 1..=3 {
        let (mut journey, registered) = Journey::register(n, at(0));
        let created = i64::from(n) * 10;
        commit_all(&backend, [registered, journey.reserve(1, at(created))]).await;
        if n == 2 {
            commit(&backend, journey.cancel(at(25))).await;
        }
    }
    for (since, max, allowed, oldest) in [
        (at(0), 3, false, 10),
        (at(0), 4, true, 0),
        (at(10), 3, true, 0),
        (at(10), 2, false, 20),
        (at(10).minus(Span::from_micros(1)), 3, false, 10),
        (at(29), 1, false, 30),
        (at(30), 1, true, 0),
    ] {
        let vehicle = 100 + u32::from(allowed);
        let quota = Some(Quota { user_id: user(1), since, max });
        let write = Commit { quota, ..Commit::new(at(40)) };
        let (_, registered) = Journey::register(vehicle, at(40));
        // A commit with a quota but without a booking counts what is there and adds nothing.
        let attempt = if allowed { write } else { Commit { vehicles: registered.vehicles, ..write } };
        match (backend.store.commit(attempt).await, allowed) {
            (Ok(()), true) => {}
            (Err(CommitError::QuotaExceeded { oldest: found }), false) => {
                assert_eq!(found, at(oldest), "the oldest that counts since {since}");
            }
            (result, _) => panic!("since {since}, at most {max}: {result:?}"),
        }
    }
    assert_eq!(
        backend.store.vehicle(&vehicle_id(100)).await.unwrap(),
        None,
        "a refused commit writes nothing"
    );
    let (mut journey, registered) = Journey::register(50, at(0));
    commit(&backend, registered).await;
    let quota = Some(Quota { user_id: user(2), since: at(0), max: 1 });
    commit(&backend, Commit { quota, ..journey.reserve(2, at(41)) }).await;
}

/// A profile is read as it was last written.
pub async fn profiles_round_trip(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let full = full_profile();
    backend.store.put_profile(&full).await.unwrap();
    backend.store.put_profile(&Profile::new(user(2))).await.unwrap();
    assert!(backend.store.profile(&user(1)).await.unwrap() == Some(full), "every field is kept");
    assert!(backend.store.profile(&user(2)).await.unwrap() == Some(Profile::new(user(2))));
    backend.store.put_profile(&Profile::new(user(1))).await.unwrap();
    let cleared = backend.store.profile(&user(1)).await.unwrap();
    assert!(cleared == Some(Profile::new(user(1))), "what is no longer there is gone");
}

/// "Everything is written durably": after a restart all of it is there, and goes on from there.
pub async fn reopening_keeps_everything(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let (mut journey, registered) = Journey::register(1, at(0));
    commit_all(&backend, [registered, journey.reserve(1, at(1))]).await;
    commit_all(&backend, journey.confirm(at(2))).await;
    let id = idempotency_id(1, "kept");
    let done = IdempotencyRecord::Done { request_hash: [3; 32], status: 201, body: b"{}".to_vec() };
    assert!(!refused(&backend, &id, None, &done).await);
    let store = &backend.store;
    store.put_profile(&full_profile()).await.unwrap();
    store.record_telemetry(&[telemetry(1, at(3))]).await.unwrap();
    let rows = backend.outbox.pending(2).await.unwrap();
    backend.outbox.mark_published(&rows, at(4)).await.unwrap();
    backend.inbox.mark_handled("notify", "event-1", at(4)).await.unwrap();
    let before = picture(&backend).await;
    let due = store.due(at(100_000_000), 10).await.unwrap();

    let Some(backend) = factory.reopen(backend).await else { return };
    assert_eq!(picture(&backend).await, before, "a restart changes nothing");
    let store = &backend.store;
    assert_eq!(store.due(at(100_000_000), 10).await.unwrap(), due);
    assert_eq!(store.booking(&journey.booking_id()).await.unwrap().as_ref(), Some(journey.booking()));
    assert_eq!(store.idempotency(&id).await.unwrap(), Some(done));
    assert!(store.profile(&user(1)).await.unwrap() == Some(full_profile()));
    assert_eq!(store.telemetry(&vehicle_id(1)).await.unwrap(), Some(telemetry(1, at(3))));
    assert!(backend.inbox.is_handled("notify", "event-1").await.unwrap());
    commit_all(&backend, journey.ride(at(30))).await;
    let stored = backend.store.booking(&journey.booking_id()).await.unwrap();
    assert_eq!(stored.as_ref(), Some(journey.booking()));
}

fn full_profile() -> Profile {
    Profile {
        email: Some("ada@example.org".to_owned()),
        phone: Some("+4930123456".to_owned()),
        push_token: Some("tok'en; --".to_owned()),
        locale: Some("de-DE".to_owned()),
        time_zone: Some("Europe/Berlin".to_owned()),
        default_payment_method_id: PaymentMethodId::new("pm_card_visa").ok(),
        ..Profile::new(user(1))
    }
}

/// Tries to write the record alone; says whether it met a conflict.
async fn refused(
    backend: &Backend,
    id: &IdempotencyId,
    expected: Option<&IdempotencyRecord>,
    record: &IdempotencyRecord,
) -> bool {
    let write = IdempotencyWrite { id: id.clone(), expected: expected.cloned(), record: record.clone() };
    match backend.store.commit(Commit { idempotency: Some(write), ..Commit::new(at(5)) }).await {
        Ok(()) => false,
        Err(CommitError::IdempotencyConflict) => true,
        Err(error) => panic!("an idempotency write succeeds or conflicts: {error}"),
    }
}
