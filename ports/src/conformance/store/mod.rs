//! The suite of [`Store`], with the [`AuditSource`], [`Outbox`] and [`Inbox`] over the same data.

mod aggregates;
mod atomicity;
mod lists;
mod races;
mod requests;
mod timers;
mod vehicles;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use rideplane_core::ids::Version;

use super::{Racer, checks};
use crate::{AggregateDump, AggregateKey, AuditSource, Commit, CommitError, Envelope, Inbox, Outbox, Store};

pub use aggregates::{
    audit_pages_in_order_of_key, audit_shows_what_was_written, bookings_round_trip, events_have_no_gap,
    ledger_rows_are_kept_in_order, unknown_aggregates_are_none, vehicles_round_trip,
};
pub use atomicity::{
    a_dropped_commit_is_all_or_nothing, an_empty_commit_succeeds, one_bad_change_stops_all,
    stale_booking_is_a_version_conflict, stale_vehicle_is_a_version_conflict,
    the_same_aggregate_is_created_once,
};
pub use lists::{booking_of_hides_others, bookings_of_filters_by_status, bookings_of_pages_newest_first};
pub use races::{
    one_idempotency_key_wins_once, one_of_32_racers_claims_the_vehicle, quota_holds_under_concurrency,
    racers_on_different_vehicles_all_win,
};
pub use requests::{
    idempotency_records_are_expected, profiles_round_trip, quota_counts_the_window,
    reopening_keeps_everything,
};
pub use timers::{deadlines_move_and_go, due_in_order_of_deadline, next_deadline_is_the_earliest};
pub use vehicles::{
    silent_vehicles_are_online_and_overdue, telemetry_fills_what_nobody_has_said,
    telemetry_keeps_what_is_not_said, telemetry_never_goes_back, telemetry_touches_no_version,
    vehicles_page_in_order_of_id,
};

/// A store with the other views of the same data.
#[derive(Clone)]
pub struct Backend {
    /// The aggregates.
    pub store: Arc<dyn Store>,
    /// Their events on the way out.
    pub outbox: Arc<dyn Outbox>,
    /// What was handled.
    pub inbox: Arc<dyn Inbox>,
    /// Everything.
    pub audit: Arc<dyn AuditSource>,
}

impl Backend {
    /// One value that implements all four.
    #[must_use]
    pub fn of<S: Store + Outbox + Inbox + AuditSource + 'static>(store: Arc<S>) -> Self {
        Self { store: store.clone(), outbox: store.clone(), inbox: store.clone(), audit: store }
    }
}

/// Makes stores for the suite.
#[async_trait]
pub trait Factory: Send + Sync {
    /// A store with nothing in it, apart from every other.
    async fn fresh(&self) -> Backend;

    /// Closes the store as a restart of the process would and opens its data again; `None` when it is not durable.
    async fn reopen(&self, _backend: Backend) -> Option<Backend> {
        None
    }

    /// Runs all at once and returns when all have ended. Here in turns on the calling thread; a runtime that has threads
    /// should spawn them, and pass panics on.
    async fn race(&self, racers: Vec<Racer>) {
        join_all(racers).await;
    }
}

/// Runs every check on stores of the factory, those of [`outbox`](super::outbox) and [`inbox`](super::inbox) too.
pub async fn run_all(factory: &dyn Factory) {
    checks!(
        "store",
        factory,
        unknown_aggregates_are_none,
        vehicles_round_trip,
        bookings_round_trip,
        events_have_no_gap,
        ledger_rows_are_kept_in_order,
        audit_shows_what_was_written,
        audit_pages_in_order_of_key,
        an_empty_commit_succeeds,
        stale_vehicle_is_a_version_conflict,
        stale_booking_is_a_version_conflict,
        the_same_aggregate_is_created_once,
        one_bad_change_stops_all,
        a_dropped_commit_is_all_or_nothing,
        one_of_32_racers_claims_the_vehicle,
        racers_on_different_vehicles_all_win,
        quota_holds_under_concurrency,
        one_idempotency_key_wins_once,
        quota_counts_the_window,
        idempotency_records_are_expected,
        profiles_round_trip,
        reopening_keeps_everything,
        booking_of_hides_others,
        bookings_of_pages_newest_first,
        bookings_of_filters_by_status,
        due_in_order_of_deadline,
        next_deadline_is_the_earliest,
        deadlines_move_and_go,
        telemetry_never_goes_back,
        telemetry_fills_what_nobody_has_said,
        telemetry_keeps_what_is_not_said,
        telemetry_touches_no_version,
        silent_vehicles_are_online_and_overdue,
        vehicles_page_in_order_of_id,
    );
    super::outbox::run_all(factory).await;
    super::inbox::run_all(factory).await;
}

/// Commits what must succeed.
pub(super) async fn commit(backend: &Backend, commit: Commit) {
    backend.store.commit(commit).await.expect("the commit succeeds");
}

/// Commits several in turn.
pub(super) async fn commit_all(backend: &Backend, commits: impl IntoIterator<Item = Commit>) {
    for next in commits {
        commit(backend, next).await;
    }
}

/// Commits what must fail for a version.
async fn conflict(backend: &Backend, commit: Commit, at: &AggregateKey, was: Version) {
    match backend.store.commit(commit).await {
        Err(CommitError::VersionConflict { key, expected }) => {
            assert_eq!((&key, expected), (at, was), "the conflict names the aggregate and what was expected");
        }
        other => panic!("a stale expectation is a version conflict, not {other:?}"),
    }
}

/// Every aggregate.
pub(super) async fn dumps(backend: &Backend) -> Vec<AggregateDump> {
    backend.audit.aggregates(None, 10_000).await.expect("the audit reads")
}

/// All that waits for the bus.
pub(super) async fn pending(backend: &Backend) -> Vec<Envelope> {
    backend.outbox.pending(100_000).await.expect("the outbox reads")
}

/// All there is, comparable.
async fn picture(backend: &Backend) -> String {
    let next = backend.store.next_deadline().await.expect("the store reads");
    format!("{:#?}\n{:#?}\n{next:?}", dumps(backend).await, pending(backend).await)
}
