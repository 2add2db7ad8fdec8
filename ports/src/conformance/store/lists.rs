//! A rider's bookings.

use rideplane_core::booking::Status;
use rideplane_core::ids::{BookingId, UserId};

use super::{Backend, Factory, commit, commit_all};
use crate::BookingFilter;
use crate::conformance::fixtures::{Journey, at, user};

/// "The user's booking; somebody else's is `None`."
pub async fn booking_of_hides_others(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let journey = booked(&backend, 1, 1, 10).await;
    let id = journey.booking_id();
    assert!(backend.store.booking_of(&user(1), &id).await.unwrap().is_some(), "its rider sees it");
    assert_eq!(backend.store.booking_of(&user(2), &id).await.unwrap(), None, "nobody else does");
    assert_eq!(list(&backend, &user(2), None, None, 10).await, (vec![], false), "nor in a list");
}

/// "The user's bookings, newest first", page by page.
pub async fn bookings_of_pages_newest_first(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let mut made = Vec::new();
    for (vehicle, second) in [(1, 30), (2, 10), (3, 50), (4, 20), (5, 40)] {
        made.push((second, booked(&backend, vehicle, 1, second).await.booking_id()));
        drop(booked(&backend, vehicle + 100, 2, second).await);
    }
    made.sort_by_key(|(second, _)| -second);
    let newest: Vec<BookingId> = made.into_iter().map(|(_, id)| id).collect();

    assert_eq!(list(&backend, &user(1), None, None, 5).await, (newest.clone(), false), "all, newest first");
    assert_eq!(list(&backend, &user(1), None, None, 9).await, (newest.clone(), false));
    let mut before = None;
    for (chunk, more) in [(0..2, true), (2..4, true), (4..5, false)] {
        let page = list(&backend, &user(1), None, before, 2).await;
        assert_eq!(page, (newest[chunk].to_vec(), more), "a page begins where the one before ended");
        before = page.0.last().copied();
    }
    assert_eq!(
        list(&backend, &user(1), None, before, 2).await,
        (vec![], false),
        "behind the oldest is nothing"
    );
}

/// "Only in this status", as it stands after the last commit, and `more` counts only these.
pub async fn bookings_of_filters_by_status(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let mut by_status: Vec<(Status, Vec<BookingId>)> = Vec::new();
    let mut put = |status, id| match by_status.iter_mut().find(|(known, _)| *known == status) {
        Some((_, ids)) => ids.insert(0, id),
        None => by_status.push((status, vec![id])),
    };
    for n in 1..=8_u32 {
        let second = i64::from(n) * 10;
        let mut journey = booked(&backend, n, 1, second).await;
        let status = match n % 4 {
            0 => Status::PendingPayment,
            1 => {
                commit(&backend, journey.cancel(at(second + 1))).await;
                Status::Cancelled
            }
            rest => {
                commit_all(&backend, journey.confirm(at(second + 1))).await;
                if rest == 2 {
                    Status::Confirmed
                } else {
                    commit_all(&backend, journey.ride(at(second + 30))).await;
                    Status::Ended
                }
            }
        };
        put(status, journey.booking_id());
    }
    for (status, ids) in by_status {
        let page = list(&backend, &user(1), Some(status), None, 10).await;
        assert_eq!(page, (ids.clone(), false), "{status:?}, newest first");
        let page = list(&backend, &user(1), Some(status), None, 1).await;
        assert_eq!(page, (ids[..1].to_vec(), true), "the first {status:?}");
        let page = list(&backend, &user(1), Some(status), Some(ids[0]), 1).await;
        assert_eq!(page, (ids[1..].to_vec(), false), "the last {status:?}: others are not counted as more");
    }
    assert_eq!(list(&backend, &user(1), Some(Status::Active), None, 10).await, (vec![], false));
}

async fn booked(backend: &Backend, vehicle: u32, rider: u32, second: i64) -> Journey {
    let (mut journey, registered) = Journey::register(vehicle, at(0));
    commit(backend, registered).await;
    commit(backend, journey.reserve(rider, at(second))).await;
    journey
}

async fn list(
    backend: &Backend,
    user: &UserId,
    status: Option<Status>,
    before: Option<BookingId>,
    limit: u32,
) -> (Vec<BookingId>, bool) {
    let filter = BookingFilter { status, before, limit };
    let page = backend.store.bookings_of(user, &filter).await.unwrap();
    (page.items.into_iter().map(|stored| stored.state.id).collect(), page.more)
}
