//! The journeys that have a name.

use super::gateway::{CAUTIOUS, GOOD, POOR, STOLEN};
use super::lock::ack;
use super::world::{World, at};
use crate::booking::journey::{Rejection, holds};
use crate::booking::{Command, Party, Rejection as BookingRejection, Status};
use crate::fleet::{self, MaintenanceReason, Rental, Service, Unavailability};
use crate::ids::{BookingId, Epoch};
use crate::money::{Currency, Money};
use crate::payment::{Fact, IntentSnapshot, IntentStatus, PaymentStatus};
use crate::reservation::ReleaseReason;
use crate::time::Span;
use crate::unlock::{AckResult, Refusal};

fn confirmed() -> World {
    let mut world = World::new(2);
    world.reserve(0, 0).unwrap();
    world.settle(0);
    world.pay(0, GOOD).unwrap();
    world.settle(0);
    assert_eq!(world.status(0), Status::Confirmed);
    world
}

fn unlocking() -> World {
    let mut world = confirmed();
    world.pass(60);
    world.unlock(0).unwrap();
    world
}

fn declined() -> World {
    let mut world = World::new(2);
    world.reserve(0, 0).unwrap();
    world.settle(0);
    world.pay(0, POOR).unwrap();
    world.settle(0);
    world
}

fn unavailable(rejection: Rejection) -> Unavailability {
    match rejection {
        Rejection::Vehicle(fleet::Rejection::Unavailable { why, .. }) => why,
        other => panic!("{other}"),
    }
}

fn found_unlocked(world: &World) -> bool {
    world.vehicles[0].service == Service::Maintenance { reason: MaintenanceReason::FoundUnlocked }
}

#[test]
fn a_whole_journey_pays_once_and_frees_the_vehicle() {
    let mut world = unlocking();
    world.pass(2);
    world.obey(0);
    assert_eq!(world.status(0), Status::Active);
    world.pass(600);
    world.end(0, Party::Rider).unwrap();
    world.pass(3);
    world.obey(0);
    assert_eq!((world.status(0), &world.vehicles[0].rental), (Status::Ended, &Rental::Available));
    world.settle(0);
    assert_eq!(world.status(0), Status::Completed);
    // 1.00 to unlock, 2 minutes reserved at 0.05, 11 minutes begun at 0.20: the rider pays until the lock was asked for.
    let end = world.bookings[0].trip_end().unwrap();
    assert_eq!((end.fare.total.to_minor(), end.distance_m), (330, 700));
    assert_eq!(world.bookings[0].trip_duration(), Some(end.ended_at.since(at(62))), "from the open lock on");
    let money = &world.bookings[0].payment;
    assert_eq!((money.captured().to_minor(), money.open().to_minor()), (330, 0));
    assert_eq!(
        world.told[&world.bookings[0].id].join(" "),
        "BookingCreated PaymentIntentRequested PaymentIntentCreated PaymentMethodChosen PaymentConfirmationRequested \
         PaymentAuthorized BookingConfirmed UnlockRequested UnlockAcknowledged TripStarted LockRequested \
         LockAcknowledged TripEnded PaymentSettlementDecided PaymentCaptureRequested PaymentCompleted PaymentReleased"
    );
}

#[test]
fn what_is_due_is_told_by_kind() {
    let mut world = World::new(1);
    world.reserve(0, 0).unwrap();
    let due = world.bookings[0].effects(world.now);
    assert!(due.gateway_call().is_some() && due.command.is_none() && !due.is_empty(), "{due:?}");
    world.settle(0);
    let idle = world.bookings[0].effects(world.now);
    assert!(idle.gateway_call().is_none() && idle.is_empty(), "{idle:?}");
    let unlocking = unlocking();
    let due = unlocking.bookings[0].effects(unlocking.now);
    assert!(due.gateway_call().is_none() && due.command.is_some() && !due.is_empty(), "{due:?}");
    assert_eq!(world.bookings[0].trip_duration(), None);
}

#[test]
fn a_journey_is_over_when_nothing_can_come_but_money() {
    let over = Status::ALL.map(|status| (status.as_str(), status.is_terminal()));
    let ends = over.iter().filter(|(_, over)| *over).map(|(name, _)| *name);
    assert_eq!(ends.collect::<Vec<_>>(), ["completed", "cancelled", "expired"]);
}

#[test]
fn a_hold_that_ends_too_soon_opens_nothing() {
    let mut world = World::new(1);
    // Good for an unlock for five minutes.
    world.policy.capture_margin = Span::from_seconds(world.policy.capture_validity.as_seconds() - 300);
    world.reserve(0, 0).unwrap();
    world.settle(0);
    world.pay(0, GOOD).unwrap();
    world.settle(0);
    world.pass(299);
    let asked = world.bookings[0].clone();
    world.unlock(0).unwrap();
    world.bookings[0] = asked;
    world.pass(1);
    let refusal = world.unlock(0).unwrap_err();
    assert!(refusal.to_string().contains("its payment no longer holds"), "{refusal}");
}

#[test]
fn a_hold_that_the_provider_gave_up_ends_the_booking() {
    let mut world = confirmed();
    let intent = world.bookings[0].payment.intent().unwrap().clone();
    let canceled = IntentSnapshot {
        status: IntentStatus::Canceled,
        amount_capturable: Money::zero(Currency::EUR),
        ..world.gateway.show(&intent)
    };
    world.observe(0, Fact::Fetched(canceled));
    assert_eq!((world.status(0), &world.vehicles[0].rental), (Status::Cancelled, &Rental::Available));
}

#[test]
fn a_vehicle_is_held_by_one_booking_under_one_fence() {
    let world = confirmed();
    let (vehicle, booking) = (&world.vehicles[0], &world.bookings[0]);
    assert!(holds(vehicle, booking));
    assert!(!holds(&world.vehicles[1], booking), "another vehicle, that nobody has");
    let mut fenced = booking.clone();
    fenced.epoch = Epoch(booking.epoch.0 - 1);
    assert!(!holds(vehicle, &fenced), "the vehicle has been somebody else's since");
    let mut other = booking.clone();
    other.id = BookingId::from_uuid(uuid::Uuid::from_u128(7));
    assert!(!holds(vehicle, &other));
}

#[test]
fn the_second_rider_is_told_why_and_learns_nobodys_name() {
    let mut world = confirmed();
    let refusal = world.reserve(1, 0).unwrap_err();
    assert!(!refusal.to_string().contains("rider-0"), "{refusal}");
    assert_eq!(unavailable(refusal), Unavailability::Reserved);
    world.reserve(1, 1).unwrap();
}

#[test]
fn a_start_time_is_from_now_to_a_quarter_of_an_hour() {
    for (start, taken) in [(-16, false), (-15, true), (0, true), (900, true), (901, false)] {
        let mut world = World::new(1);
        let judged = world.reserve_at(0, 0, Some(at(start)));
        assert_eq!(judged.is_ok(), taken, "{start} s: {judged:?}");
    }
    let mut world = World::new(1);
    world.reserve_at(0, 0, Some(at(600))).unwrap();
    world.settle(0);
    world.pay(0, GOOD).unwrap();
    world.settle(0);
    assert_eq!(world.bookings[0].unlock_expires_at(), Some(at(600 + 900)));
}

#[test]
fn after_a_decline_the_same_booking_takes_the_same_vehicle_again() {
    let mut world = declined();
    assert_eq!((world.status(0), &world.vehicles[0].rental), (Status::Cancelled, &Rental::Available));
    let first = world.bookings[0].epoch;
    world.pass(120);
    world.pay(0, GOOD).unwrap();
    assert_eq!(world.status(0), Status::PendingPayment);
    assert!(world.bookings[0].epoch > first);
    assert!(world.pay(0, GOOD).unwrap().is_empty());
    world.settle(0);
    assert_eq!(world.status(0), Status::Confirmed);
    assert_eq!(world.gateway.intents.len(), 1);
}

#[test]
fn time_in_which_nobody_held_the_vehicle_is_not_charged() {
    let mut world = declined();
    world.pass(600);
    world.pay(0, GOOD).unwrap();
    world.settle(0);
    world.pass(60);
    world.unlock(0).unwrap();
    world.obey(0);
    world.end(0, Party::Rider).unwrap();
    world.obey(0);
    let fare = &world.bookings[0].trip_end().unwrap().fare;
    // 1.00 to unlock, 1 minute reserved at 0.05, and 0.20 for the minute that began.
    assert_eq!(fare.total.to_minor(), 125, "{:?}", fare.line_items);
}

#[test]
fn a_vehicle_that_another_has_is_not_taken_again() {
    let mut world = declined();
    let other = world.reserve(1, 0).unwrap();
    assert_eq!(unavailable(world.pay(0, GOOD).unwrap_err()), Unavailability::Reserved);
    // Opening for the other, it is withdrawn from them: for as long as it could still open, nobody gets it.
    world.settle(other);
    world.pay(other, GOOD).unwrap();
    world.settle(other);
    world.unlock(other).unwrap();
    world.send(other, &Command::Cancel(ReleaseReason::CancelledByOperator)).unwrap();
    let why = unavailable(world.pay(0, GOOD).unwrap_err());
    assert_eq!(why, Unavailability::Quarantined { until: at(45) });
    world.pass(45);
    world.pay(0, GOOD).unwrap();
    assert_eq!(world.status(0), Status::PendingPayment);
}

#[test]
fn a_card_refused_for_good_and_a_quote_that_is_over_are_not_tried_again() {
    let mut world = World::new(1);
    world.reserve(0, 0).unwrap();
    world.settle(0);
    world.pay(0, STOLEN).unwrap();
    world.settle(0);
    assert_eq!(world.status(0), Status::Cancelled);
    assert!(world.pay(0, GOOD).is_err());
    assert_eq!(world.vehicles[0].rental, Rental::Available);

    let mut world = declined();
    world.pass(900);
    assert!(world.pay(0, GOOD).is_err());
    world.tick(0);
    world.settle(0);
    assert_eq!(world.bookings[0].payment.status(), PaymentStatus::Released);
}

#[test]
fn a_vehicle_is_free_at_once_when_no_command_can_open_it() {
    let mut world = confirmed();
    world.cancel(0).unwrap();
    assert_eq!(world.vehicles[0].rental, Rental::Available);

    // A command that the vehicle refused is as good as none, and one that timed out has expired everywhere.
    let mut world = unlocking();
    world.refuse(0, Refusal::Expired);
    world.cancel(0).unwrap();
    assert_eq!(world.vehicles[0].rental, Rental::Available);
    let mut world = unlocking();
    world.pass(45);
    world.cancel(0).unwrap();
    assert_eq!(world.vehicles[0].rental, Rental::Available);
}

#[test]
fn a_vehicle_is_quarantined_while_a_command_of_the_last_holder_may_open_it() {
    let mut world = unlocking();
    world.send(0, &Command::Cancel(ReleaseReason::CancelledByOperator)).unwrap();
    // 30 s of life and 15 s of clock skew after the request.
    assert_eq!(world.vehicles[0].rental, Rental::Quarantined { until: at(60 + 45) });
    world.pass(44);
    assert_eq!(unavailable(world.reserve(1, 0).unwrap_err()), Unavailability::Quarantined { until: at(105) });
    world.pass(1);
    world.reserve(1, 0).unwrap();
}

#[test]
fn a_rider_cannot_cancel_what_may_be_opening() {
    let mut world = unlocking();
    let refusal = world.cancel(0).unwrap_err();
    assert_eq!(refusal, Rejection::Booking(BookingRejection::CommandPending { until: at(105) }));
    world.pass(45);
    world.cancel(0).unwrap();
    world.settle(0);
    assert_eq!(world.bookings[0].payment.status(), PaymentStatus::Released);
}

#[test]
fn a_command_of_a_dead_booking_is_not_sent_any_more() {
    let mut world = unlocking();
    world.send(0, &Command::Cancel(ReleaseReason::CancelledByOperator)).unwrap();
    assert_eq!(world.due_command(0), None);
}

#[test]
fn a_late_ack_on_a_dead_booking_takes_the_vehicle_out_of_service() {
    let mut world = unlocking();
    let command = world.due_command(0).unwrap();
    let answer = world.arrive(&command);
    world.pass(45);
    world.cancel(0).unwrap();
    world.settle(0);
    world.send(0, &Command::VehicleAck(answer.clone())).unwrap();
    assert!(found_unlocked(&world));
    assert_eq!(world.status(0), Status::Cancelled);
    assert_eq!(world.bookings[0].payment.captured().to_minor(), 0);
    assert!(world.send(0, &Command::VehicleAck(answer)).unwrap().is_empty());
}

#[test]
fn a_late_ack_while_the_next_rider_rides_changes_nothing_for_them() {
    let mut world = unlocking();
    let answer = ack(&world.due_command(0).unwrap(), AckResult::Done, world.now, 3);
    world.pass(45);
    world.cancel(0).unwrap();
    let next = world.reserve(1, 0).unwrap();
    world.settle(next);
    world.pay(next, GOOD).unwrap();
    world.settle(next);
    world.unlock(next).unwrap();
    world.obey(next);
    world.send(0, &Command::VehicleAck(answer)).unwrap();
    assert_eq!((world.status(next), &world.vehicles[0].service), (Status::Active, &Service::InService));
}

#[test]
fn a_late_ack_is_recorded_also_when_the_vehicle_was_retired() {
    let mut world = unlocking();
    let answer = ack(&world.due_command(0).unwrap(), AckResult::Done, world.now, 3);
    world.pass(45);
    world.cancel(0).unwrap();
    world.tell(0, &fleet::Command::Retire).unwrap();
    let outcome = world.send(0, &Command::VehicleAck(answer)).unwrap();
    assert_eq!((outcome.vehicle.len(), outcome.booking.len()), (0, 1));
}

#[test]
fn a_late_ack_while_confirmed_starts_the_trip() {
    let mut world = unlocking();
    let command = world.due_command(0).unwrap();
    let answer = world.arrive(&command);
    world.pass(45);
    world.tick(0);
    assert_eq!(world.status(0), Status::Confirmed);
    world.pass(10);
    world.send(0, &Command::VehicleAck(answer)).unwrap();
    assert_eq!(
        (world.status(0), world.bookings[0].trip.as_ref().unwrap().started_at),
        (Status::Active, at(115))
    );
    assert!(matches!(world.vehicles[0].rental, Rental::InUse(_)));
}

#[test]
fn a_repeated_unlock_waits_for_the_command_that_is_out() {
    let mut world = unlocking();
    assert!(world.unlock(0).unwrap().is_empty());
    // What is out may have opened it, so "offline" would be a guess.
    let last_reported = world.now;
    world.tell(0, &fleet::Command::WentOffline { last_reported }).unwrap();
    assert!(world.unlock(0).unwrap().is_empty());
    world.pass(45);
    assert!(matches!(world.unlock(0).unwrap_err(), Rejection::VehicleOffline { .. }));
}

#[test]
fn a_repeated_end_waits_for_the_command_that_is_out() {
    let mut world = unlocking();
    world.obey(0);
    let nowhere = Command::EndTrip { by: Party::Rider, ride_end_allowed: false };
    let refusal = world.send(0, &nowhere).unwrap_err();
    assert_eq!(refusal, Rejection::Booking(BookingRejection::ParkingNotAllowed));
    world.end(0, Party::Rider).unwrap();
    assert!(world.send(0, &nowhere).unwrap().is_empty(), "the vehicle may be locked already");
    world.obey(0);
    assert_eq!(world.status(0), Status::Ended);
    assert!(world.end(0, Party::Rider).unwrap().is_empty());
}

#[test]
fn the_operator_ends_a_trip_whose_vehicle_is_silent() {
    let mut world = unlocking();
    world.obey(0);
    world.pass(600);
    world.end(0, Party::Rider).unwrap();
    world.pass(45);
    world.end(0, Party::Operator).unwrap();
    assert_eq!(world.vehicles[0].service, Service::Maintenance { reason: MaintenanceReason::Inspection });
    world.settle(0);
    assert_eq!(world.status(0), Status::Completed);
}

#[test]
fn maintenance_of_a_reserved_vehicle_cancels_the_booking_and_a_ride_goes_on() {
    let maintenance = fleet::Command::EnterMaintenance { reason: MaintenanceReason::Damage };
    let mut world = confirmed();
    world.tell(0, &maintenance).unwrap();
    assert_eq!(world.bookings[0].status_reason(), Some(ReleaseReason::VehicleWithdrawn));
    world.settle(0);
    assert_eq!(world.bookings[0].payment.status(), PaymentStatus::Released);
    let mut world = unlocking();
    world.obey(0);
    world.tell(0, &maintenance).unwrap();
    assert_eq!(world.status(0), Status::Active);
}

#[test]
fn a_vehicle_is_withdrawn_also_when_its_booking_has_just_run_out() {
    let mut world = confirmed();
    world.pass(900);
    world.tell(0, &fleet::Command::EnterMaintenance { reason: MaintenanceReason::Damage }).unwrap();
    assert_eq!(world.vehicles[0].service, Service::Maintenance { reason: MaintenanceReason::Damage });
    assert_eq!(world.bookings[0].status_reason(), Some(ReleaseReason::UnlockWindowOver));
}

#[test]
fn a_confirmed_booking_expires_ten_minutes_after_its_vehicle_was_missed() {
    for back in [true, false] {
        let mut world = confirmed();
        world.pass(100);
        world.tell(0, &fleet::Command::WentOffline { last_reported: at(0) }).unwrap();
        assert!(
            matches!(world.unlock(0).unwrap_err(), Rejection::VehicleOffline { since } if since == at(0))
        );
        world.pass(599);
        world.tick(0);
        assert_eq!(world.status(0), Status::Confirmed);
        if back {
            world.tell(0, &fleet::Command::CameOnline).unwrap();
        }
        world.pass(1);
        world.tick(0);
        assert_eq!(world.status(0), if back { Status::Confirmed } else { Status::Expired });
    }
}

#[test]
fn the_hold_is_extended_once_while_the_customer_authenticates() {
    let mut world = World::new(1);
    world.reserve(0, 0).unwrap();
    world.settle(0);
    world.pass(240);
    world.pay(0, CAUTIOUS).unwrap();
    world.settle(0);
    assert_eq!(world.bookings[0].reserve_until(), Some(at(540)));
    world.pass(299);
    let intent = world.bookings[0].payment.intent().unwrap().clone();
    world.gateway.authenticate(&intent, true);
    world.settle(0);
    assert_eq!(world.status(0), Status::Confirmed);
}

#[test]
fn money_that_comes_after_the_deadline_is_given_back() {
    let mut world = World::new(1);
    world.reserve(0, 0).unwrap();
    world.settle(0);
    world.pay(0, GOOD).unwrap();
    world.call(0, false);
    world.pass(300);
    world.tick(0);
    assert_eq!(world.status(0), Status::Expired);
    world.settle(0);
    let money = &world.bookings[0].payment;
    assert_eq!((money.status(), money.open().to_minor()), (PaymentStatus::Released, 0));
    assert!(money.released().to_minor() > 0);
}
