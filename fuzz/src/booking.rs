//! Journeys of one vehicle, in any order of commands, facts, acks and clocks.

mod checks;
mod world;

use rideplane_core::booking::{Command, Party};
use rideplane_core::fleet::{self, MaintenanceReason};
use rideplane_core::reservation::ReleaseReason;
use rideplane_core::time::Span;

use crate::input::Input;
use crate::provider::Way;
use world::World;

const WAYS: [Way; 8] = [
    Way::Answered,
    Way::Answered,
    Way::Answered,
    Way::LostThere,
    Way::LostBack,
    Way::NotSent,
    Way::Fails,
    Way::Crash,
];
const METHODS: [&str; 5] = ["pm_visa", "pm_action", "pm_slow", "pm_poor", "pm_stolen"];
/// Jumps of the clock, seconds.
const JUMPS: [i64; 12] = [0, 1, 5, 14, 15, 30, 60, 300, 600, 900, 3_600, 86_400];
const MOST_STEPS: usize = 160;

/// Bytes are steps on one vehicle and the bookings that it has one after another. At the end everybody answers: every
/// journey must come to its end, with the money where it belongs.
///
/// # Panics
/// When a promise of the core is broken.
pub fn booking_commands(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut world = World::new();
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        step(&mut world, &mut input);
        world.check();
    }
    world.bring_to_rest();
    world.check_history();
}

fn step(world: &mut World, input: &mut Input<'_>) {
    match input.byte() % 24 {
        0 => {
            let ahead = input.pick(&[None, Some(0), Some(600), Some(900), Some(901), Some(-16), Some(-15)]);
            world.reserve(input.byte(), input.byte(), ahead);
        }
        1 => {
            let method = input.pick(&METHODS);
            world.pay(input.byte(), method);
        }
        2 => world.unlock(input.byte()),
        3 => {
            let ride_end_allowed = !input.flag();
            world.ask(input.byte(), &Command::EndTrip { by: Party::Rider, ride_end_allowed });
        }
        4 => world.ask(input.byte(), &Command::EndTrip { by: Party::Operator, ride_end_allowed: false }),
        5 => {
            let reason = input.pick(&[
                ReleaseReason::CancelledByRider,
                ReleaseReason::CancelledByOperator,
                ReleaseReason::VehicleWithdrawn,
            ]);
            world.ask(input.byte(), &Command::Cancel(reason));
        }
        6 => world.tick(input.byte()),
        7 => world.ask_vehicle(&fleet::Command::Tick),
        8 => {
            let way = input.pick(&WAYS);
            let late = input.flag();
            world.call_gateway(input.byte(), way, late);
        }
        9 => world.open_mail(input.byte(), input.flag()),
        10 => world.webhook(input.byte(), input.flag()),
        11 => world.customers_authenticate(!input.flag()),
        12 => world.provider_processes(!input.flag()),
        13 => world.vehicle_hears(input.byte(), input.byte(), input.flag()),
        14 => world.ack_arrives(input.byte()),
        15 => {
            let last_reported = world.now().minus(Span::from_seconds(input.byte().into()));
            world.ask_vehicle(&fleet::Command::WentOffline { last_reported });
        }
        16 => world.ask_vehicle(&fleet::Command::CameOnline),
        17 => {
            let reason = input.pick(&[MaintenanceReason::Operator, MaintenanceReason::Damage]);
            world.ask_vehicle(&fleet::Command::EnterMaintenance { reason });
        }
        18 => world.ask_vehicle(&fleet::Command::EnterService),
        19 => world.ask_vehicle(&fleet::Command::FoundUnlocked),
        20 => world.ask_vehicle(&fleet::Command::Retire),
        21 => world.advance(Span::from_seconds(input.pick(&JUMPS))),
        22 => world.skip_to_next_deadline(),
        // Another process of ours may have a clock that is behind.
        _ => world.advance(Span::from_seconds(-i64::from(input.byte() % 10))),
    }
}
