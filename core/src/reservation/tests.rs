//! The whole table, and a model written from the rules.

use super::*;
use crate::machine::{Context, Machine as _};
use crate::policy::Policy;
use crate::time::Span;
use proptest::prelude::*;
use std::fmt::Write as _;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_unix_seconds(minute * 60)
}

fn commands() -> Vec<Command> {
    let mut all = vec![
        Command::Extend,
        Command::Confirm { start_time: at(0) },
        Command::Confirm { start_time: at(14) },
        Command::Start,
        Command::Close,
        Command::Reclaim,
        Command::VehicleWentOffline { since: at(1) },
        Command::VehicleCameOnline,
        Command::Tick,
    ];
    all.extend(ReleaseReason::ALL.map(Command::Release));
    all
}

fn phases() -> Vec<Phase> {
    let mut all = vec![
        Phase::Held { reserve_until: at(5), extended: false },
        Phase::Held { reserve_until: at(10), extended: true },
        Phase::Confirmed { unlock_expires_at: at(20), offline_expires_at: None },
        Phase::Confirmed { unlock_expires_at: at(20), offline_expires_at: Some(at(12)) },
        Phase::InUse,
        Phase::Closed,
    ];
    all.extend(ReleaseReason::ALL.map(|reason| Phase::Released { reason, at: at(2) }));
    all
}

#[test]
fn table_of_every_phase_and_command() {
    let policy = Policy::default();
    let mut table = String::new();
    for phase in phases() {
        for offline in [None, Some(at(1))] {
            writeln!(table, "{phase:?} offline={offline:?}").unwrap();
            let state = Reservation { since: at(0), phase: phase.clone(), vehicle_offline_since: offline };
            for minute in [3, 30] {
                for command in commands() {
                    let cx = Context::new(at(minute), 0, &policy);
                    let answer = match Reservation::decide(&state, &command, &cx) {
                        Ok(events) if events.is_empty() => "-".to_owned(),
                        Ok(events) => format!("{events:?}"),
                        Err(rejection) => format!("REFUSED {rejection}"),
                    };
                    writeln!(table, "  {minute:>2} min {command:?} => {answer}").unwrap();
                }
            }
        }
    }
    insta::assert_snapshot!(table.replace("Timestamp(", "t("));
}

/// The rules again, as a person would say them: who may do what, by name of phase.
#[derive(Clone, Debug)]
struct Model {
    phase: &'static str,
    deadline: Option<i64>,
    offline_deadline: Option<i64>,
    offline: bool,
    extended: bool,
    since: i64,
    reclaimable: bool,
}

impl Model {
    // tidy: allow-long-fn one arm for each command of the model
    fn step(&mut self, command: &Command, now: i64) -> bool {
        let live = ["held", "confirmed", "in use"].contains(&self.phase);
        match command {
            Command::VehicleWentOffline { .. } => {
                if live && !self.offline {
                    self.offline = true;
                    self.offline_deadline = Some(now + 10);
                }
                true
            }
            Command::VehicleCameOnline => {
                if live {
                    self.offline = false;
                }
                true
            }
            Command::Extend if self.phase == "held" => {
                let until = (now + 5).min(self.since + 10);
                if !self.extended && now < self.deadline.unwrap() && until > self.deadline.unwrap() {
                    self.deadline = Some(until);
                    self.extended = true;
                }
                true
            }
            Command::Confirm { start_time } if self.phase == "held" => {
                if now >= self.deadline.unwrap() {
                    return false;
                }
                self.phase = "confirmed";
                self.deadline = Some(now.max(start_time.as_unix_seconds() / 60) + 15);
                self.offline_deadline = Some(now + 10);
                true
            }
            Command::Start => {
                if self.phase == "confirmed" {
                    self.phase = "in use";
                }
                ["in use", "closed"].contains(&self.phase)
            }
            Command::Close => {
                if self.phase == "in use" {
                    self.phase = "closed";
                }
                self.phase == "closed"
            }
            Command::Release(reason) => {
                if ["held", "confirmed"].contains(&self.phase) {
                    self.phase = "released";
                    self.reclaimable = *reason == ReleaseReason::PaymentDeclined;
                }
                self.phase == "released"
            }
            Command::Reclaim if self.phase == "released" => {
                if !self.reclaimable {
                    return false;
                }
                *self = Self::held(now);
                true
            }
            Command::Reclaim => self.phase != "closed",
            Command::Tick => {
                let over = match self.phase {
                    "held" => now >= self.deadline.unwrap(),
                    "confirmed" => {
                        now >= self.deadline.unwrap() || self.offline && now >= self.offline_deadline.unwrap()
                    }
                    _ => false,
                };
                if over {
                    self.phase = "released";
                    self.reclaimable = false;
                }
                true
            }
            Command::Extend | Command::Confirm { .. } => self.phase != "released",
        }
    }

    fn held(now: i64) -> Self {
        Self {
            phase: "held",
            deadline: Some(now + 5),
            offline_deadline: None,
            offline: false,
            extended: false,
            since: now,
            reclaimable: false,
        }
    }
}

#[test]
fn a_confirmed_hold_ends_at_the_first_of_its_ends() {
    let next = |offline_expires_at| {
        let phase = Phase::Confirmed { unlock_expires_at: at(20), offline_expires_at };
        Reservation::next_deadline(&Reservation { since: at(0), phase, vehicle_offline_since: Some(at(1)) })
    };
    assert_eq!(next(None), Some((at(20), DeadlineReason::Unlock)));
    assert_eq!(next(Some(at(12))), Some((at(12), DeadlineReason::Offline)));
    assert_eq!(
        next(Some(at(20))),
        Some((at(20), DeadlineReason::Unlock)),
        "the rider's own time comes first"
    );
    assert_eq!(next(Some(at(21))), Some((at(20), DeadlineReason::Unlock)));
}

proptest! {
    #[test]
    fn agrees_with_the_model(steps in proptest::collection::vec((0..17_usize, 0..4_i64), 1..40)) {
        let policy = Policy::default();
        let mut now = 0;
        let mut state = Reservation::hold(&Context::new(at(0), 0, &policy));
        let mut model = Model::held(0);
        for (pick, passed) in steps {
            now += passed;
            let command = commands().swap_remove(pick);
            let cx = Context::new(at(now), 0, &policy);
            let answer = Reservation::decide(&state, &command, &cx);
            prop_assert_eq!(answer.is_ok(), model.step(&command, now), "{:?} at {} on {:?}", command, now, state);
            for event in answer.unwrap_or_default() {
                state = Reservation::evolve(state, &event);
            }
            prop_assert_eq!(state.phase.name(), model.phase);
            if let Some((deadline, _)) = Reservation::next_deadline(&state) {
                let expected = match model.phase {
                    "confirmed" if model.offline => model.deadline.min(model.offline_deadline),
                    _ => model.deadline,
                };
                prop_assert_eq!(deadline, at(expected.unwrap()));
            }
            // A repeat says nothing new.
            if let Ok(again) = Reservation::decide(&state, &command, &cx) {
                prop_assert!(again.is_empty(), "{:?} twice: {:?}", command, again);
            }
        }
    }

    #[test]
    fn a_hold_never_outlasts_its_limit(extend_at in 0..600_i64) {
        let policy = Policy::default();
        let mut state = Reservation::hold(&Context::new(at(0), 0, &policy));
        let now = Timestamp::EPOCH.plus(Span::from_seconds(extend_at));
        for event in Reservation::decide(&state, &Command::Extend, &Context::new(now, 0, &policy)).unwrap() {
            state = Reservation::evolve(state, &event);
        }
        let (deadline, _) = Reservation::next_deadline(&state).unwrap();
        prop_assert!(deadline <= Timestamp::EPOCH.plus(policy.hold_max));
        prop_assert!(deadline >= Timestamp::EPOCH.plus(policy.hold));
    }
}
