//! Random histories of three riders and two vehicles, with answers lost, late and repeated, and clocks that jump. What
//! must hold after every commit is in [`World`]; what must hold in the end is here.

use proptest::prelude::*;

use super::gateway::METHODS;
use super::world::World;
use crate::booking::journey::{Outcome, Rejection};
use crate::booking::{Booking, Command, Party, Status};
use crate::fleet::{self, MaintenanceReason, Service, Vehicle};
use crate::machine::Machine as _;
use crate::payment::{Fact, IntentStatus};
use crate::reservation::ReleaseReason;
use crate::unlock::{AckClaims, CommandClaims};

#[derive(Clone, Debug)]
enum Step {
    Reserve {
        rider: usize,
        vehicle: usize,
    },
    Pay {
        method: usize,
    },
    /// A call to the provider, whose answer arrives or is lost.
    Call {
        arrives: bool,
    },
    NotSent,
    /// A webhook: somebody reads the intent, whether or not that is due.
    Webhook,
    Authenticate {
        passed: bool,
    },
    Unlock,
    /// The due command goes on the air, where it stays.
    Deliver,
    /// The vehicle hears one of the commands on the air, and its answer goes on the air.
    Hear {
        which: usize,
    },
    /// One of the answers on the air arrives; it may come again.
    Answer {
        which: usize,
    },
    Cancel {
        by: Party,
    },
    End {
        by: Party,
        allowed: bool,
    },
    Tick,
    Pass {
        seconds: i64,
    },
    Offline {
        vehicle: usize,
    },
    Online {
        vehicle: usize,
    },
    Maintenance {
        vehicle: usize,
    },
    Service {
        vehicle: usize,
    },
}

fn party() -> impl Strategy<Value = Party> {
    prop_oneof![3 => Just(Party::Rider), 1 => Just(Party::Operator)]
}

fn step() -> impl Strategy<Value = Step> {
    let vehicle = 0..2_usize;
    prop_oneof![
        6 => (0..3_usize, vehicle.clone()).prop_map(|(rider, vehicle)| Step::Reserve { rider, vehicle }),
        8 => (0..16_usize).prop_map(|n| Step::Pay { method: n.saturating_sub(12) }),
        16 => any::<(bool, bool)>().prop_map(|(a, b)| Step::Call { arrives: a || b }),
        1 => Just(Step::NotSent),
        2 => Just(Step::Webhook),
        2 => any::<bool>().prop_map(|passed| Step::Authenticate { passed }),
        8 => Just(Step::Unlock),
        8 => Just(Step::Deliver),
        8 => any::<usize>().prop_map(|which| Step::Hear { which }),
        8 => any::<usize>().prop_map(|which| Step::Answer { which }),
        2 => party().prop_map(|by| Step::Cancel { by }),
        5 => (party(), any::<bool>()).prop_map(|(by, allowed)| Step::End { by, allowed }),
        4 => Just(Step::Tick),
        8 => prop_oneof![4 => 0..5_i64, 2 => 10..50_i64, 1 => 100..1_000_i64].prop_map(|seconds| Step::Pass { seconds }),
        1 => vehicle.clone().prop_map(|vehicle| Step::Offline { vehicle }),
        2 => vehicle.clone().prop_map(|vehicle| Step::Online { vehicle }),
        1 => vehicle.clone().prop_map(|vehicle| Step::Maintenance { vehicle }),
        3 => vehicle.prop_map(|vehicle| Step::Service { vehicle }),
    ]
}

#[derive(Default)]
struct Air {
    commands: Vec<CommandClaims>,
    answers: Vec<AckClaims>,
}

/// The same again has no second effect.
fn twice(world: &mut World, mut ask: impl FnMut(&mut World) -> Result<Outcome, Rejection>) {
    if ask(world).is_ok() {
        let again = ask(world);
        assert_eq!(again, Ok(Outcome::default()), "the repeat did something");
    }
}

/// Steps on a booking are about one of the last three.
fn carry_out(world: &mut World, air: &mut Air, step: &Step, pick: usize) {
    let count = world.bookings.len();
    let one = count.checked_sub(1).map(|last| last - pick % count.min(3));
    match (step, one) {
        (Step::Reserve { rider, vehicle }, _) => drop(world.reserve(*rider, *vehicle)),
        (Step::Pass { seconds }, _) => world.pass(*seconds),
        (Step::Offline { vehicle }, _) => {
            let last_reported = world.now;
            world.tell(*vehicle, &fleet::Command::WentOffline { last_reported }).unwrap();
        }
        (Step::Online { vehicle }, _) => drop(world.tell(*vehicle, &fleet::Command::CameOnline).unwrap()),
        (Step::Maintenance { vehicle }, _) => {
            let reason = MaintenanceReason::Operator;
            world.tell(*vehicle, &fleet::Command::EnterMaintenance { reason }).unwrap();
        }
        (Step::Service { vehicle }, _) => drop(world.tell(*vehicle, &fleet::Command::EnterService).unwrap()),
        (Step::Hear { which }, _) => {
            if !air.commands.is_empty() {
                let command = air.commands[which % air.commands.len()].clone();
                air.answers.push(world.arrive(&command));
            }
        }
        (Step::Answer { which }, _) => {
            if !air.answers.is_empty() {
                let answer = air.answers[which % air.answers.len()].clone();
                let of = world.bookings.iter().position(|booking| booking.id == answer.booking_id).unwrap();
                world.send(of, &Command::VehicleAck(answer)).unwrap();
            }
        }
        (_, None) => {}
        (step, Some(one)) => on_booking(world, air, step, one),
    }
}

fn on_booking(world: &mut World, air: &mut Air, step: &Step, one: usize) {
    match step {
        Step::Pay { method } => twice(world, |world| world.pay(one, METHODS[*method])),
        Step::Call { arrives } => drop(world.call(one, *arrives)),
        Step::NotSent => {
            if let Some((_, id)) = world.bookings[one].effects(world.now).gateway {
                world.observe(one, Fact::NotSent { op: id.op, seq: id.seq });
            }
        }
        Step::Webhook => {
            if let Some(intent) = world.bookings[one].payment.intent() {
                let shown = world.gateway.show(intent);
                world.observe(one, Fact::Fetched(shown));
            }
        }
        Step::Authenticate { passed } => {
            if let Some(intent) = world.bookings[one].payment.intent().cloned() {
                world.gateway.authenticate(&intent, *passed);
            }
        }
        Step::Unlock => twice(world, |world| world.unlock(one)),
        Step::Deliver => air.commands.extend(world.due_command(one)),
        Step::Cancel { by } => {
            let reason = match by {
                Party::Rider => ReleaseReason::CancelledByRider,
                Party::Operator => ReleaseReason::CancelledByOperator,
            };
            twice(world, |world| world.send(one, &Command::Cancel(reason)));
        }
        Step::End { by, allowed } => {
            let command = Command::EndTrip { by: *by, ride_end_allowed: *allowed };
            twice(world, |world| world.send(one, &command));
        }
        Step::Tick => {
            world.tick(one);
            assert!(world.tick(one).is_empty(), "a tick without time said something");
        }
        other => panic!("{other:?} is about no booking"),
    }
}

/// Lets everything come to rest: rides are ended, the provider obeys, and each deadline gets its tick. At every deadline
/// the tick, or what it makes due, must move it.
fn come_to_rest(world: &mut World) {
    for one in 0..world.bookings.len() {
        if world.status(one) == Status::Active {
            world.end(one, Party::Operator).unwrap();
        }
        world.settle(one);
    }
    for _ in 0..400 {
        let deadlines = world.bookings.iter().enumerate().filter_map(|(index, booking)| {
            Booking::next_deadline(&Some(booking.clone())).map(|(at, why)| (at, index, why))
        });
        let Some((at, index, why)) = deadlines.min_by_key(|(at, index, _)| (*at, *index)) else { return };
        world.now = world.now.max(at);
        world.tick(index);
        world.settle(index);
        let next = Booking::next_deadline(&Some(world.bookings[index].clone()));
        assert!(
            next.is_none_or(|(next, _)| next > world.now),
            "{why:?} stays due at {at}: {:?}",
            world.bookings[index]
        );
    }
    panic!("it never comes to rest: {:?}", world.bookings);
}

fn at_rest(world: &World) {
    for booking in &world.bookings {
        assert!(booking.status().is_terminal(), "{booking:?}");
        assert!(booking.payment.is_settled(), "{booking:?}");
        assert_eq!(booking.payment.open().to_minor(), 0, "a hold is left standing: {booking:?}");
        assert_eq!(booking.effects(world.now).command, None);
        let price = booking.trip_end().map_or(0, |end| end.fare.total.to_minor());
        let (taken, short) = (booking.payment.captured(), booking.payment.shortfall());
        assert_eq!(taken.to_minor() + short.map_or(0, |sum| sum.to_minor()), price, "{booking:?}");
        let intents = world.gateway.intents.iter().filter(|intent| intent.reference == booking.id);
        assert_eq!(taken.to_minor(), intents.map(|intent| intent.received).sum::<i64>());
    }
    for intent in &world.gateway.intents {
        assert_ne!(
            intent.status,
            IntentStatus::RequiresCapture,
            "the provider still holds money: {intent:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn no_history_breaks_a_promise(steps in proptest::collection::vec((step(), 0..3_usize), 1..120)) {
        let mut world = World::new(2);
        let mut air = Air::default();
        for (step, pick) in &steps {
            carry_out(&mut world, &mut air, step, *pick);
        }
        come_to_rest(&mut world);
        at_rest(&world);
        for vehicle in 0..2 {
            let state = Some(world.vehicles[vehicle].clone());
            if let Some((until, _)) = Vehicle::next_deadline(&state) {
                world.now = world.now.max(until);
            }
            world.tell(vehicle, &fleet::Command::Tick).unwrap();
            world.tell(vehicle, &fleet::Command::EnterService).unwrap();
            world.tell(vehicle, &fleet::Command::CameOnline).unwrap();
            prop_assert_eq!(&world.vehicles[vehicle].service, &Service::InService);
            prop_assert!(world.reserve(2, vehicle).is_ok(), "nobody can take {:?}", world.vehicles[vehicle]);
        }
    }
}
