//! Deadlines.

use rideplane_core::fleet;
use rideplane_core::time::{Span, Timestamp};

use super::{Backend, Factory, commit, commit_all};
use crate::conformance::fixtures::{Journey, at};
use crate::{AggregateKey, Commit, Due};

/// "Aggregates with a deadline at or before `now`, the earliest first", at most `limit`.
pub async fn due_in_order_of_deadline(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let mut expected = Vec::new();
    for (n, deadline) in [(1, 500), (2, 300), (3, 400), (4, 100)] {
        let (mut journey, registered) = Journey::register(n, at(0));
        commit(&backend, registered).await;
        let mut claim = journey.reserve(n, at(1));
        claim.bookings[0].deadline = Some(at(deadline));
        if n == 3 {
            claim.vehicles[0].deadline = Some(at(200));
            expected.push(Due {
                key: AggregateKey::Vehicle(journey.vehicle.state.id.clone()),
                deadline: at(200),
            });
        }
        expected.push(Due { key: AggregateKey::Booking(journey.booking_id()), deadline: at(deadline) });
        commit(&backend, claim).await;
    }
    expected.sort_by_key(|due| due.deadline);
    let micro = Span::from_micros(1);
    assert_eq!(due(&backend, at(100).minus(micro), 10).await, [], "nothing is due before its time");
    assert_eq!(due(&backend, at(100), 10).await, expected[..1], "at the deadline it is due");
    assert_eq!(due(&backend, at(400).minus(micro), 10).await, expected[..3]);
    assert_eq!(due(&backend, at(10_000), 10).await, expected, "the earliest first");
    assert_eq!(due(&backend, at(10_000), 2).await, expected[..2], "at most as many as were asked for");
    assert_eq!(due(&backend, at(10_000), 2).await, expected[..2], "reading takes nothing away");
}

/// "The earliest deadline of any aggregate, or `None`."
pub async fn next_deadline_is_the_earliest(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let (mut journey, registered) = Journey::register(1, at(0));
    commit(&backend, registered).await;
    assert_eq!(backend.store.next_deadline().await.unwrap(), None, "a free vehicle waits for nothing");
    let claim = journey.reserve(1, at(1));
    let hold = claim.bookings[0].deadline;
    assert!(hold.is_some(), "a hold ends");
    commit(&backend, claim).await;
    assert_eq!(backend.store.next_deadline().await.unwrap(), hold);

    let (mut other, registered) = Journey::register(2, at(0));
    let mut claim = other.reserve(2, at(1));
    claim.bookings[0].deadline = Some(at(-50));
    commit_all(&backend, [registered, claim]).await;
    assert_eq!(backend.store.next_deadline().await.unwrap(), Some(at(-50)), "also one that has passed");
}

/// A commit moves its aggregates' deadlines, earlier or later, and `None` takes them away.
pub async fn deadlines_move_and_go(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let (mut journey, registered) = Journey::register(1, at(0));
    commit(&backend, registered).await;
    commit(&backend, with_deadline(journey.reserve(1, at(1)), Some(at(600)))).await;
    let key = AggregateKey::Booking(journey.booking_id());
    let all = Timestamp::MAX;
    assert_eq!(due(&backend, all, 10).await, [Due { key: key.clone(), deadline: at(600) }]);

    let mut commits = journey.confirm(at(2)).into_iter();
    for deadline in [at(900), at(300)] {
        let next = commits.next().expect("confirming takes three commits");
        commit(&backend, with_deadline(next, Some(deadline))).await;
        assert_eq!(due(&backend, all, 10).await, [Due { key: key.clone(), deadline }], "it has one deadline");
        assert_eq!(backend.store.next_deadline().await.unwrap(), Some(deadline));
    }
    let next = commits.next().expect("confirming takes three commits");
    commit(&backend, with_deadline(next, None)).await;
    assert_eq!(due(&backend, all, 10).await, [], "without a deadline nothing is due");
    assert_eq!(backend.store.next_deadline().await.unwrap(), None);

    let (mut vehicle, registered) = Journey::register(2, at(0));
    commit(&backend, registered).await;
    let mut change = vehicle.vehicle_command(&fleet::Command::FoundUnlocked, at(3));
    change.vehicles[0].deadline = Some(at(4));
    commit(&backend, change).await;
    commit(&backend, vehicle.vehicle_command(&fleet::Command::EnterService, at(5))).await;
    assert_eq!(due(&backend, all, 10).await, [], "a vehicle's deadline goes the same way");
}

fn with_deadline(mut commit: Commit, deadline: Option<Timestamp>) -> Commit {
    for change in &mut commit.bookings {
        change.deadline = deadline;
    }
    commit
}

async fn due(backend: &Backend, now: Timestamp, limit: usize) -> Vec<Due> {
    backend.store.due(now, limit).await.unwrap()
}
