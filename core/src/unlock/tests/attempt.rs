//! The attempt: every state against every command, and long histories against a model.

use core::fmt::Write as _;

use super::*;
use crate::machine::{Context, Machine as _};
use crate::policy::Policy;
use crate::time::Span;
use proptest::prelude::*;

fn decide_at(
    state: &Commands,
    command: &AttemptCommand,
    now: Timestamp,
) -> Result<Vec<AttemptEvent>, AttemptRejection> {
    let policy = Policy::default();
    Attempt::decide(state, command, &Context::new(now, now.as_micros() as u128, &policy))
}

fn apply(state: Commands, command: &AttemptCommand, now: Timestamp) -> Commands {
    decide_at(&state, command, now).unwrap().iter().fold(state, Attempt::evolve)
}

fn request(action: Action, deadline: Option<Timestamp>) -> AttemptCommand {
    AttemptCommand::Request {
        action,
        vehicle_id: scooter(),
        booking_id: booking(),
        epoch: Epoch(7),
        deadline,
    }
}

fn answer(command: &CommandClaims, result: AckResult, now: Timestamp) -> AttemptCommand {
    AttemptCommand::Ack(ack_of(command, result, now))
}

const JAMMED: AckResult = AckResult::Refused(Refusal::Jammed);

/// Every state, reached as a booking reaches it. The last command was given at 0 s.
fn states() -> Vec<(&'static str, Commands)> {
    let given = |action| apply(Commands::default(), &request(action, None), at(0));
    let settled = |command: &dyn Fn(&CommandClaims) -> AttemptCommand, now| {
        let pending = given(Action::Unlock);
        let command = command(pending.due_command().unwrap());
        apply(pending, &command, now)
    };
    let unknown = settled(&|_| AttemptCommand::Tick, at(45));
    vec![
        ("idle, fresh", Commands::default()),
        ("idle, unlock done", settled(&|claims| answer(claims, AckResult::Done, at(2)), at(2))),
        ("idle, unlock refused", settled(&|claims| answer(claims, JAMMED, at(2)), at(2))),
        ("idle, unlock unknown", unknown.clone()),
        ("pending unlock", given(Action::Unlock)),
        ("pending lock", given(Action::Lock)),
        ("pending again, unlock unknown", apply(unknown, &request(Action::Unlock, None), at(46))),
    ]
}

/// Acks answer the first command the state remembers, which is the older one where there are two. Times count
/// from the latest command.
fn commands(state: &Commands) -> Vec<(&'static str, AttemptCommand, Timestamp)> {
    let first = state.settled().first().map(|settled| settled.command.clone());
    let first = first.or_else(|| state.due_command().cloned()).unwrap_or_else(command);
    let latest = state.due_command().or(state.settled().last().map(|settled| &settled.command));
    let given = latest.map_or(at(0), |command| command.issued_at);
    let after = |seconds| given.plus(Span::from_seconds(seconds));
    let mut forged = ack_of(&first, AckResult::Done, after(10));
    forged.request_hash = RequestHash::from_bytes([0; 32]);
    let mut stranger = command();
    stranger.command_id = CommandId::from_uuid(Uuid::nil());
    let now = after(10);
    vec![
        ("request unlock", request(Action::Unlock, None), now),
        ("request lock", request(Action::Lock, None), now),
        ("request unlock, deadline in 20 s", request(Action::Unlock, Some(after(30))), now),
        ("request unlock, deadline in 15 s", request(Action::Unlock, Some(after(25))), now),
        ("request unlock, when given up", request(Action::Unlock, None), after(45)),
        ("request lock, when given up", request(Action::Lock, None), after(45)),
        ("ack done", answer(&first, AckResult::Done, now), now),
        ("ack done, when given up", answer(&first, AckResult::Done, after(45)), after(45)),
        ("ack jammed", answer(&first, JAMMED, now), now),
        ("ack with another hash", AttemptCommand::Ack(forged), now),
        ("ack of a stranger", answer(&stranger, AckResult::Done, now), now),
        ("tick after 44 s", AttemptCommand::Tick, after(44)),
        ("tick after 45 s", AttemptCommand::Tick, after(45)),
    ]
}

/// A change of shape must not compile until the table has a row or column for it.
fn is_in_the_table(current: &Current, command: &AttemptCommand) {
    match current {
        Current::Idle | Current::Pending { .. } => match command {
            AttemptCommand::Request { .. } | AttemptCommand::Ack(_) | AttemptCommand::Tick => {}
        },
    }
}

fn describe(before: &Commands, answer: &Result<Vec<AttemptEvent>, AttemptRejection>) -> String {
    let events = match answer {
        Ok(events) if events.is_empty() => return "nothing".to_owned(),
        Ok(events) => events,
        Err(error) => return format!("refused: {error}"),
    };
    let mut line: Vec<String> = vec![];
    for event in events {
        line.push(match event {
            AttemptEvent::Requested { command, .. } => format!(
                "{} counter {:#x} expires {:+} s",
                event.name(),
                command.counter,
                command.life().as_seconds()
            ),
            AttemptEvent::Acknowledged(_) | AttemptEvent::LateAcknowledged(_) => event.name().to_owned(),
            AttemptEvent::Refused { reason, .. } => format!("{} ({reason:?})", event.name()),
            AttemptEvent::TimedOut { .. } => format!("{} (no answer)", event.name()),
        });
    }
    let after = events.iter().fold(before.clone(), Attempt::evolve);
    format!("{} -> {}", line.join(", "), summary(&after))
}

fn summary(state: &Commands) -> String {
    let mut text = match state.due_command() {
        None => "idle".to_owned(),
        Some(command) => format!("pending {:?}", command.action),
    };
    for settled in state.settled() {
        write!(text, ", {:?} {:?}", settled.command.action, settled.outcome).unwrap();
    }
    text
}

#[test]
fn what_a_vehicle_may_still_accept_ends_with_an_answer() {
    let first = apply(Commands::default(), &request(Action::Unlock, None), at(0));
    assert_eq!(first.outstanding_until(), Some(at(30)), "it is out");
    let unknown = apply(first.clone(), &AttemptCommand::Tick, at(45));
    assert_eq!(unknown.outstanding_until(), Some(at(30)), "nobody knows what became of it");
    let again = apply(unknown, &request(Action::Unlock, None), at(46));
    assert_eq!(again.outstanding_until(), Some(at(76)), "the later of two");
    let second = again.due_command().unwrap().clone();
    let done = apply(again, &answer(&second, AckResult::Done, at(47)), at(47));
    assert_eq!(done.outstanding_until(), None, "the vehicle's counter has passed the first");
    let refused = apply(first.clone(), &answer(first.due_command().unwrap(), JAMMED, at(2)), at(2));
    assert_eq!(refused.outstanding_until(), None);
}

#[test]
fn commands_are_found_by_id_and_the_last_outcome_is_known() {
    let pending = apply(Commands::default(), &request(Action::Unlock, None), at(0));
    let command = pending.due_command().unwrap().clone();
    assert_eq!((pending.find(command.command_id), pending.last_outcome()), (Some(&command), None));
    let done = apply(pending, &answer(&command, AckResult::Done, at(2)), at(2));
    assert_eq!(done.find(command.command_id), Some(&command));
    assert_eq!(done.find(CommandId::from_uuid(Uuid::nil())), None);
    assert_eq!(done.last_outcome(), Some((Action::Unlock, Outcome::Done)));
}

#[test]
fn counters_end_where_epoch_and_number_no_longer_fit() {
    assert_eq!(counter(Epoch((1 << 48) - 1), u16::MAX), Some(u64::MAX));
    assert_eq!(counter(Epoch(1 << 48), 0), None);
}

#[test]
fn every_state_answers_every_command() {
    let mut table = String::new();
    for (name, state) in states() {
        let deadline = Attempt::next_deadline(&state).map(|(at, reason)| format!("{reason:?} at {at}"));
        let deadline = deadline.unwrap_or_else(|| "no deadline".to_owned());
        writeln!(table, "{name} [{}; {deadline}]", summary(&state)).unwrap();
        for (title, command, now) in commands(&state) {
            is_in_the_table(state.current(), &command);
            let answer = decide_at(&state, &command, now);
            writeln!(table, "  {title:32} {}", describe(&state, &answer)).unwrap();
            if let Ok(events) = answer {
                let json = serde_json::to_string(&events).unwrap();
                assert_eq!(serde_json::from_str::<Vec<AttemptEvent>>(&json).unwrap(), events);
                let after = events.iter().fold(state.clone(), Attempt::evolve);
                let json = serde_json::to_string(&after).unwrap();
                assert_eq!(serde_json::from_str::<Commands>(&json).unwrap(), after);
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_foreign_event_changes_nothing() {
    let (command_id, action) = (CommandId::from_uuid(Uuid::nil()), Action::Unlock);
    let ack = ack_of(&command(), AckResult::Done, at(1));
    let executed = Execution {
        command_id,
        action,
        executed_at: at(1),
        odometer_m: ack.odometer_m,
        position: ack.position,
        charge: ack.charge,
    };
    for (name, state) in states() {
        let mut events = vec![
            AttemptEvent::Acknowledged(executed.clone()),
            AttemptEvent::LateAcknowledged(executed.clone()),
            AttemptEvent::Refused { command_id, action, reason: Refusal::Jammed },
            AttemptEvent::TimedOut { command_id, action },
        ];
        if state.due_command().is_some() {
            events.push(AttemptEvent::Requested { command: command(), gives_up_at: at(99) });
        }
        for event in events {
            assert_eq!(Attempt::evolve(state.clone(), &event), state, "{name}, {event:?}");
        }
    }
}

#[test]
fn an_ack_must_fit_in_every_field() {
    let pending = states().swap_remove(4).1;
    let good = ack_of(pending.due_command().unwrap(), AckResult::Done, at(1));
    type Change = fn(&mut AckClaims);
    let changes: [(&str, Change); 6] = [
        ("vehicle", |ack| ack.vehicle_id = VehicleId::new("sc-002").unwrap()),
        ("booking", |ack| ack.booking_id = BookingId::from_uuid(Uuid::nil())),
        ("action", |ack| ack.action = Action::Lock),
        ("epoch", |ack| ack.epoch = Epoch(8)),
        ("counter", |ack| ack.counter += 1),
        ("request hash", |ack| ack.request_hash = RequestHash::from_bytes([9; 32])),
    ];
    assert!(decide_at(&pending, &AttemptCommand::Ack(good.clone()), at(1)).is_ok());
    for (field, change) in changes {
        let mut ack = good.clone();
        change(&mut ack);
        let mismatch = AttemptRejection::AckMismatch { command_id: good.command_id, field };
        assert_eq!(decide_at(&pending, &AttemptCommand::Ack(ack), at(1)), Err(mismatch));
    }
}

#[test]
fn the_vehicles_clock_does_not_move_the_bill() {
    let pending = states().swap_remove(4).1;
    for (claimed, counted) in [(at(-3_600), at(0)), (at(3), at(3)), (at(3_600), at(5))] {
        let ack = answer(pending.due_command().unwrap(), AckResult::Done, claimed);
        let events = decide_at(&pending, &ack, at(5)).unwrap();
        let [AttemptEvent::Acknowledged(execution)] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(execution.executed_at, counted);
    }
}

#[test]
fn counters_run_out_as_rejections() {
    let mut state = Commands::default();
    for n in 0..u16::MAX {
        let now = at(i64::from(n) * 100);
        state = apply(state, &request(Action::Unlock, None), now);
        state = apply(state, &AttemptCommand::Tick, now.plus(Span::from_seconds(45)));
    }
    assert_eq!(state.seq(), u16::MAX);
    assert_eq!(state.settled().len(), REMEMBERED);
    let end = at(10_000_000);
    let refused = decide_at(&state, &request(Action::Lock, None), end);
    assert_eq!(refused, Err(AttemptRejection::SequenceExhausted));
    let too_high = AttemptCommand::Request {
        action: Action::Unlock,
        vehicle_id: scooter(),
        booking_id: booking(),
        epoch: Epoch(1 << 48),
        deadline: None,
    };
    let refused = decide_at(&Commands::default(), &too_high, end);
    assert_eq!(refused, Err(AttemptRejection::EpochOutOfRange(Epoch(1 << 48))));
}

#[derive(Clone, Debug)]
enum Step {
    Wait(i64),
    Request { unlock: bool, deadline_in: Option<i64>, epoch_up: bool },
    Ack { back: usize, done: bool },
    Tick,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..60_i64).prop_map(Step::Wait),
        (any::<bool>(), proptest::option::of(0..60_i64), proptest::bool::weighted(0.1))
            .prop_map(|(unlock, deadline_in, epoch_up)| Step::Request { unlock, deadline_in, epoch_up }),
        (0..11_usize, any::<bool>()).prop_map(|(back, done)| Step::Ack { back, done }),
        Just(Step::Tick),
    ]
}

/// The rules, said a second time: seconds, indices and words instead of the machine's types.
#[derive(Default)]
struct Model {
    now: i64,
    epoch: u64,
    /// Per command: unlock?, epoch, expiry, "pending" | "done" | "refused" | "unknown".
    given: Vec<(bool, u64, i64, &'static str)>,
}

impl Model {
    fn pending(&mut self) -> Option<&mut (bool, u64, i64, &'static str)> {
        self.given.last_mut().filter(|last| last.3 == "pending")
    }

    fn tick(&mut self) -> Vec<&'static str> {
        let now = self.now;
        match self.pending() {
            Some(last) if now >= last.2 + 15 => {
                last.3 = "unknown";
                vec![if last.0 { "UnlockFailed" } else { "LockFailed" }]
            }
            Some(_) | None => vec![],
        }
    }

    fn request(&mut self, unlock: bool, deadline_in: Option<i64>) -> Result<Vec<&'static str>, ()> {
        let (now, epoch) = (self.now, self.epoch);
        let life = deadline_in.map_or(30, |left| (left - 15).min(30));
        if let Some(last) = self.pending()
            && now < last.2 + 15
        {
            return if (last.0, last.1) == (unlock, epoch) { Ok(vec![]) } else { Err(()) };
        }
        if life <= 0 {
            return Err(());
        }
        let mut names = self.tick();
        names.push(if unlock { "UnlockRequested" } else { "LockRequested" });
        self.given.push((unlock, epoch, now + life, "pending"));
        Ok(names)
    }

    fn ack(&mut self, index: usize, done: bool) -> Result<Vec<&'static str>, ()> {
        let over = self.given.iter().filter(|given| given.3 != "pending").count();
        if index + REMEMBERED < over {
            return Err(());
        }
        let given = &mut self.given[index];
        let late = given.3 != "pending";
        if late && (!done || given.3 == "done") {
            return Ok(vec![]);
        }
        given.3 = if done { "done" } else { "refused" };
        Ok(vec![match (given.0, done, late) {
            (true, true, false) => "UnlockAcknowledged",
            (true, true, true) => "UnlockAcknowledgedLate",
            (true, false, _) => "UnlockFailed",
            (false, true, false) => "LockAcknowledged",
            (false, true, true) => "LockAcknowledgedLate",
            (false, false, _) => "LockFailed",
        }])
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn histories_agree_with_the_model(steps in proptest::collection::vec(step(), 1..60)) {
        let mut model = Model { epoch: 7, ..Model::default() };
        let (mut state, mut given, mut history) = (Commands::default(), Vec::<CommandClaims>::new(), vec![]);
        for step in steps {
            let now = at(model.now);
            let (command, expected) = match step {
                Step::Wait(seconds) => {
                    model.now += seconds;
                    continue;
                }
                Step::Request { unlock, deadline_in, epoch_up } => {
                    model.epoch += u64::from(epoch_up);
                    let command = AttemptCommand::Request {
                        action: if unlock { Action::Unlock } else { Action::Lock },
                        vehicle_id: scooter(),
                        booking_id: booking(),
                        epoch: Epoch(model.epoch),
                        deadline: deadline_in.map(|left| at(model.now + left)),
                    };
                    (command, model.request(unlock, deadline_in))
                }
                Step::Ack { back, done } => {
                    let Some(index) = given.len().checked_sub(back + 1) else { continue };
                    let result = if done { AckResult::Done } else { JAMMED };
                    (answer(&given[index], result, now), model.ack(index, done))
                }
                Step::Tick => (AttemptCommand::Tick, Ok(model.tick())),
            };
            let policy = Policy::default();
            let cx = Context::new(now, history.len() as u128 + 1, &policy);
            let events = Attempt::decide(&state, &command, &cx);
            let names = events.as_ref().map(|events| events.iter().map(AttemptEvent::name).collect());
            prop_assert_eq!(names.map_err(drop), expected);
            for event in events.into_iter().flatten() {
                if let AttemptEvent::Requested { command, .. } = &event {
                    // What a vehicle will ask of it: newer than all before, alive, and not too long.
                    prop_assert!(given.last().is_none_or(|last| last.counter < command.counter));
                    prop_assert!(given.iter().all(|other| other.command_id != command.command_id));
                    prop_assert!(command.validate().is_ok() && command.life() <= Span::from_seconds(30));
                    given.push(command.clone());
                }
                history.push(event.clone());
                state = Attempt::evolve(state, &event);
            }
            prop_assert_eq!(state.last_expiry(), given.iter().map(|command| command.expires_at).max());
            prop_assert_eq!(state.due_command().is_some(), model.pending().is_some());
            prop_assert_eq!(Attempt::next_deadline(&state).is_some(), state.due_command().is_some());
            prop_assert!(state.settled().len() <= REMEMBERED);
        }
        prop_assert_eq!(history.iter().fold(Commands::default(), Attempt::evolve), state);
    }
}
