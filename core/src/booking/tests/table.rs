//! Every state against every command, as a table to be read.

use std::fmt::Write as _;

use super::gateway::{CAUTIOUS, GOOD, POOR, STOLEN};
use super::lock::ack;
use super::world::{World, at, method};
use crate::booking::journey::{self, Outcome, Rejection};
use crate::booking::{Booking, Command, Create, Event, Party};
use crate::fleet;
use crate::ids::CommandId;
use crate::machine::{Context, Machine as _};
use crate::payment::{CallId, Fact, Op};
use crate::reservation::ReleaseReason;
use crate::unlock::{AckResult, Action, CommandClaims, Refusal};

fn reserved() -> World {
    let mut world = World::new(1);
    world.reserve(0, 0).unwrap();
    world
}

fn created() -> World {
    let mut world = reserved();
    world.call(0, true);
    world
}

fn paid_with(name: &str) -> World {
    let mut world = created();
    world.pay(0, name).unwrap();
    world.settle(0);
    world
}

fn confirmed() -> World {
    paid_with(GOOD)
}

fn unlocking() -> World {
    let mut world = confirmed();
    world.pass(60);
    world.unlock(0).unwrap();
    world
}

fn active() -> World {
    let mut world = unlocking();
    world.obey(0);
    world
}

fn locking() -> World {
    let mut world = active();
    world.pass(600);
    world.end(0, Party::Rider).unwrap();
    world
}

fn ended() -> World {
    let mut world = locking();
    world.obey(0);
    world
}

fn made(start: fn() -> World, change: impl Fn(&mut World)) -> World {
    let mut world = start();
    change(&mut world);
    world
}

fn pending_states() -> Vec<(&'static str, World)> {
    vec![
        ("pending: intent being created", reserved()),
        ("pending: intent created", created()),
        ("pending: authorising", made(created, |world| drop(world.pay(0, GOOD)))),
        ("pending: 3-D Secure", paid_with(CAUTIOUS)),
        (
            "pending: outcome of the confirmation unknown",
            made(created, |world| {
                world.pay(0, GOOD).unwrap();
                world.call(0, false);
            }),
        ),
    ]
}

fn open_states() -> Vec<(&'static str, World)> {
    vec![
        ("confirmed", confirmed()),
        ("confirmed: unlock pending", unlocking()),
        (
            "confirmed: unlock timed out",
            made(unlocking, |world| {
                world.pass(45);
                world.tick(0);
            }),
        ),
        (
            "confirmed: unlock refused",
            made(unlocking, |world| {
                world.refuse(0, Refusal::Expired);
            }),
        ),
        (
            "confirmed: vehicle offline",
            made(confirmed, |world| {
                let last_reported = world.now;
                world.tell(0, &fleet::Command::WentOffline { last_reported }).unwrap();
            }),
        ),
        ("active", active()),
        ("active: lock pending", locking()),
        (
            "active: lock timed out",
            made(locking, |world| {
                world.pass(45);
                world.tick(0);
            }),
        ),
        ("ended: capturing", ended()),
        (
            "ended: capture unknown",
            made(ended, |world| {
                world.call(0, false);
            }),
        ),
        ("completed", made(ended, |world| world.settle(0))),
    ]
}

fn dead_states() -> Vec<(&'static str, World)> {
    let cancelled = |reason: ReleaseReason, start: fn() -> World| {
        made(start, |world| {
            world.send(0, &Command::Cancel(reason)).unwrap();
            world.settle(0);
        })
    };
    vec![
        ("cancelled: declined, may be paid again", paid_with(POOR)),
        ("cancelled: declined for good", paid_with(STOLEN)),
        (
            "cancelled: declined, quote over",
            made(
                || paid_with(POOR),
                |world| {
                    world.pass(900);
                    world.tick(0);
                    world.settle(0);
                },
            ),
        ),
        ("cancelled: payment lost", cancelled(ReleaseReason::PaymentLost, confirmed)),
        ("cancelled: by the rider, void due", made(confirmed, |world| drop(world.cancel(0)))),
        ("cancelled: by the rider", cancelled(ReleaseReason::CancelledByRider, confirmed)),
        ("cancelled: by the operator", cancelled(ReleaseReason::CancelledByOperator, created)),
        (
            "cancelled: by the operator, unlock pending",
            cancelled(ReleaseReason::CancelledByOperator, unlocking),
        ),
        ("cancelled: vehicle withdrawn", cancelled(ReleaseReason::VehicleWithdrawn, confirmed)),
        ("expired: payment deadline", expired(created, 300)),
        ("expired: unlock window over", expired(confirmed, 900)),
        ("expired: vehicle offline", {
            let offline = || {
                made(confirmed, |world| {
                    let last_reported = world.now;
                    world.tell(0, &fleet::Command::WentOffline { last_reported }).unwrap();
                })
            };
            expired(offline, 600)
        }),
    ]
}

fn expired(start: fn() -> World, seconds: i64) -> World {
    made(start, |world| {
        world.pass(seconds);
        world.tick(0);
        world.settle(0);
    })
}

type Judged = Result<Outcome, Rejection>;

/// The last command of this action that the booking gave.
fn command(booking: &Booking, action: Action) -> Option<CommandClaims> {
    let settled = booking.commands.settled().iter().map(|settled| &settled.command);
    settled.chain(booking.commands.due_command()).rfind(|command| command.action == action).cloned()
}

/// One that nobody gave.
fn strange(booking: &Booking) -> CommandClaims {
    CommandClaims {
        vehicle_id: booking.vehicle_id.clone(),
        booking_id: booking.id,
        command_id: CommandId::from_uuid(uuid::Uuid::from_u128(99)),
        action: Action::Unlock,
        epoch: booking.epoch,
        counter: 1,
        issued_at: at(0),
        expires_at: at(30),
    }
}

fn commands(world: &World) -> Vec<(&'static str, Command)> {
    let booking = &world.bookings[0];
    let answered =
        |command: &CommandClaims, result| Command::VehicleAck(ack(command, result, world.now, 5_000));
    let refusal = AckResult::Refused(Refusal::Expired);
    let call = booking.effects(world.now).gateway.map_or(CallId { op: Op::Fetch, seq: 1 }, |(_, id)| id);
    let create = Create {
        user_id: booking.user_id.clone(),
        vehicle_id: booking.vehicle_id.clone(),
        epoch: booking.epoch,
        start_time: None,
        quote: booking.quote.clone(),
    };
    let same = booking.payment.method().cloned().unwrap_or(method(GOOD));
    let end = |by, ride_end_allowed| Command::EndTrip { by, ride_end_allowed };
    let mut all = vec![
        ("create", Command::Create(Box::new(create))),
        ("pay, same card", Command::ConfirmPayment { method: same }),
        ("pay, other card", Command::ConfirmPayment { method: method("pm_other") }),
        ("provider: no answer", Command::Observe(Fact::Unknown { op: call.op, seq: call.seq })),
        ("provider: not sent", Command::Observe(Fact::NotSent { op: call.op, seq: call.seq })),
        ("cancel, rider", Command::Cancel(ReleaseReason::CancelledByRider)),
        ("cancel, operator", Command::Cancel(ReleaseReason::CancelledByOperator)),
        ("unlock", Command::Unlock),
        ("end, rider", end(Party::Rider, true)),
        ("end, rider, no parking", end(Party::Rider, false)),
        ("end, operator", end(Party::Operator, false)),
        ("ack: unknown command", answered(&strange(booking), AckResult::Done)),
        ("vehicle offline", Command::VehicleWentOffline { since: world.now }),
        ("vehicle online", Command::VehicleCameOnline),
        ("tick", Command::Tick),
    ];
    if let Some(command) = command(booking, Action::Unlock) {
        all.push(("ack: opened", answered(&command, AckResult::Done)));
        all.push(("ack: did not open", answered(&command, refusal)));
    }
    if let Some(command) = command(booking, Action::Lock) {
        all.push(("ack: locked", answered(&command, AckResult::Done)));
        all.push(("ack: did not lock", answered(&command, refusal)));
    }
    if let Some(intent) = booking.payment.intent() {
        let mut shown = world.gateway.show(intent);
        all.push(("provider: as it stands", Command::Observe(Fact::Fetched(shown.clone()))));
        shown.status = crate::payment::IntentStatus::RequiresCapture;
        shown.amount_capturable = shown.amount;
        all.push(("provider: held", Command::Observe(Fact::Fetched(shown))));
    }
    all
}

fn judge(world: &mut World, asked: &Command) -> Judged {
    world.ask(0, |vehicle, booking, cx| match asked {
        Command::ConfirmPayment { method } => journey::confirm_payment(vehicle, booking, method, cx),
        Command::Unlock => journey::unlock(vehicle, booking, cx),
        asked => journey::decide(vehicle, booking, asked, cx),
    })
}

fn row(world: &World, judged: &Judged) -> String {
    match judged {
        Err(rejection) => format!("REFUSED {rejection}"),
        Ok(outcome) if outcome.is_empty() => "-".to_owned(),
        Ok(outcome) => {
            let names: Vec<&str> = outcome.booking.iter().map(Event::name).collect();
            let vehicle: Vec<&str> = outcome.vehicle.iter().map(fleet::Event::name).collect();
            let after =
                outcome.booking.iter().fold(Some(world.bookings[0].clone()), Booking::evolve).unwrap();
            let reason =
                after.status_reason().map_or(String::new(), |reason| format!(" ({})", reason.as_str()));
            let mut text = format!("{} => {}{reason}", names.join(" "), after.status().as_str());
            write!(text, ", {:?}", after.payment.status()).unwrap();
            if !vehicle.is_empty() {
                write!(text, " | {}", vehicle.join(" ")).unwrap();
            }
            text
        }
    }
}

/// The answers, each with what is answered so.
fn grouped(world: &mut World) -> Vec<(String, Vec<&'static str>)> {
    let mut rows: Vec<(String, Vec<&'static str>)> = Vec::new();
    let mut add = |answer: String, name| match rows.iter_mut().find(|(known, _)| *known == answer) {
        Some((_, names)) => names.push(name),
        None => rows.push((answer, vec![name])),
    };
    for (name, command) in commands(world) {
        let judged = judge(world, &command);
        add(row(world, &judged), name);
    }
    world.pass(8 * 24 * 3_600);
    let judged = judge(world, &Command::Tick);
    add(row(world, &judged), "tick, 8 days later");
    rows
}

#[test]
fn every_state_answers_every_command() {
    let mut table = String::new();
    for (name, mut world) in pending_states().into_iter().chain(open_states()).chain(dead_states()) {
        let booking = world.bookings[0].clone();
        let deadline = Booking::next_deadline(&Some(booking.clone()));
        let deadline = deadline.map_or("none".to_owned(), |(at, why)| {
            format!("{why:?} in {} s", at.since(world.now).as_seconds())
        });
        let effects = booking.effects(world.now);
        let call = effects.gateway.map(|(_, id)| id.op.as_str());
        let sent = effects.command.map(|command| format!("{:?}", command.action));
        let due: Vec<String> = call.map(str::to_owned).into_iter().chain(sent).collect();
        let (status, money) = (booking.status(), booking.payment.status());
        writeln!(table, "# {name} ({}, {money:?}); deadline {deadline}; due {due:?}", status.as_str())
            .unwrap();
        for (answer, asked) in grouped(&mut world) {
            writeln!(table, "  {answer}\n      <- {}", asked.join("; ")).unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

/// A decision changes its copy as it goes; whoever reads the events must come to the same booking.
#[test]
fn a_decision_leaves_the_booking_that_its_events_make() {
    for (name, world) in pending_states().into_iter().chain(open_states()).chain(dead_states()) {
        let before = world.bookings[0].clone();
        let cx = Context::new(world.now, 1, &world.policy);
        for (asked, command) in commands(&world) {
            let mut after = before.clone();
            if let Ok(events) = after.advance(&command, &cx) {
                let folded = events.iter().fold(Some(before.clone()), Booking::evolve);
                assert_eq!(Some(after), folded, "{name}: {asked}");
            }
        }
    }
}

#[test]
fn nothing_is_asked_of_a_booking_that_does_not_exist() {
    let world = created();
    let cx = Context::new(world.now, 1, &world.policy);
    for (name, command) in commands(&world) {
        let judged = Booking::decide(&None, &command, &cx);
        assert_eq!(judged.is_ok(), name == "create", "{name}: {judged:?}");
    }
}
