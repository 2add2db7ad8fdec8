//! Random histories against a small model that knows the rules and nothing of the code.

use proptest::prelude::*;

use super::wire::assert_legal;
use super::*;

/// What a vehicle is, in the plainest terms. Instants are seconds.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    registered: bool,
    range: u32,
    /// Booking, rider, and whether the ride has begun.
    holder: Option<(u128, u128, bool)>,
    blocked_until: Option<i64>,
    online: bool,
    /// None in service.
    repair: Option<MaintenanceReason>,
    retired: bool,
    /// How often somebody took or left it.
    handovers: u64,
}

#[derive(Clone, Debug)]
enum Step {
    Register(u32),
    Reserve(u128, u128),
    Start(u128),
    Release(u128, Option<i64>),
    End(u128, Option<i64>, bool),
    Offline,
    Online,
    Repair(MaintenanceReason),
    Service,
    Retire,
    Open,
    Tick,
}

impl Step {
    fn command(&self, now: i64) -> Command {
        let at = |delay: &Option<i64>| delay.map(|delay| seconds(now + delay));
        match self {
            Self::Register(range) => Command::Register { id: vehicle_id(), spec: spec(*range) },
            Self::Reserve(b, r) => Command::Reserve { booking_id: booking(*b), user_id: rider(*r) },
            Self::Start(b) => Command::StartUse { booking_id: booking(*b) },
            Self::Release(b, delay) => {
                Command::Release { booking_id: booking(*b), quarantine_until: at(delay) }
            }
            Self::End(b, delay, inspect) => Command::EndUse {
                booking_id: booking(*b),
                quarantine_until: at(delay),
                needs_inspection: *inspect,
            },
            Self::Offline => Command::WentOffline { last_reported: seconds(now - 300) },
            Self::Online => Command::CameOnline,
            Self::Repair(reason) => Command::EnterMaintenance { reason: *reason },
            Self::Service => Command::EnterService,
            Self::Retire => Command::Retire,
            Self::Open => Command::FoundUnlocked,
            Self::Tick => Command::Tick,
        }
    }
}

impl Model {
    /// The state afterwards, or None for a refusal.
    fn step(&self, step: &Step, now: i64) -> Option<Self> {
        let mut next = self.clone();
        if !self.registered {
            let Step::Register(range) = step else { return None };
            next.registered = true;
            next.range = *range;
            return Some(next);
        }
        let held_by = |b: &u128| self.holder.filter(|(holder, _, _)| holder == b);
        match step {
            Step::Register(_)
            | Step::Reserve(..)
            | Step::Start(_)
            | Step::Repair(_)
            | Step::Service
            | Step::Open
                if self.retired =>
            {
                return None;
            }
            Step::Register(range) => next.range = *range,
            Step::Reserve(b, r) => {
                if self.holder.is_none_or(|(holder, rider, _)| (holder, rider) != (*b, *r)) {
                    let blocked = self.blocked_until.is_some_and(|until| now < until);
                    if self.holder.is_some() || blocked || !self.online || self.repair.is_some() {
                        return None;
                    }
                    next.holder = Some((*b, *r, false));
                    next.blocked_until = None;
                    next.handovers += 1;
                }
            }
            Step::Start(b) => next.holder = held_by(b).map(|(b, r, _)| Some((b, r, true)))?,
            Step::Release(b, delay) => match held_by(b) {
                Some((_, _, true)) => return None,
                Some((_, _, false)) => next.leave(*delay, now),
                None => {}
            },
            Step::End(b, delay, inspect) => match held_by(b) {
                Some((_, _, false)) => return None,
                Some((_, _, true)) => {
                    next.leave(*delay, now);
                    if *inspect {
                        next.repair = self.repair.or(Some(MaintenanceReason::Inspection));
                    }
                }
                None => {}
            },
            Step::Offline => next.online = false,
            Step::Online => next.online = true,
            Step::Repair(reason) => next.repair = Some(*reason),
            Step::Service => next.repair = None,
            Step::Retire if self.holder.is_some() => return None,
            Step::Retire => {
                next.retired = true;
                next.repair = None;
            }
            Step::Open => {
                if self.holder.is_none_or(|(_, _, riding)| !riding) {
                    next.repair = self.repair.or(Some(MaintenanceReason::FoundUnlocked));
                }
            }
            Step::Tick => next.blocked_until = self.blocked_until.filter(|until| now < *until),
        }
        Some(next)
    }

    fn leave(&mut self, delay: Option<i64>, now: i64) {
        self.holder = None;
        self.handovers += 1;
        self.blocked_until = delay.filter(|delay| *delay > 0).map(|delay| now + delay);
    }

    /// What the model sees of a real state.
    fn of(state: &Option<Vehicle>) -> Self {
        let Some(vehicle) = state else { return Self::default() };
        let holder = |holder: &Holder, riding| {
            let rider = holder.user_id.as_str().trim_start_matches("rider-").parse().unwrap();
            Some((holder.booking_id.as_uuid().as_u128(), rider, riding))
        };
        let (holder, blocked_until) = match &vehicle.rental {
            Rental::Available => (None, None),
            Rental::Reserved(by) => (holder(by, false), None),
            Rental::InUse(by) => (holder(by, true), None),
            Rental::Quarantined { until } => (None, Some(until.since(NOW).as_seconds())),
        };
        Self {
            registered: true,
            range: vehicle.spec.max_range_m.unwrap(),
            holder,
            blocked_until,
            online: vehicle.presence == Presence::Online,
            repair: match vehicle.service {
                Service::Maintenance { reason } => Some(reason),
                Service::InService | Service::Retired => None,
            },
            retired: vehicle.service == Service::Retired,
            handovers: vehicle.epoch.0,
        }
    }
}

/// Few bookings and riders, so that they meet.
fn steps() -> impl Strategy<Value = Vec<(i64, Step)>> {
    let b = 1_u128..=3;
    let delay = || prop_oneof![Just(None), (-5_i64..40).prop_map(Some)];
    let reason = prop_oneof![
        Just(MaintenanceReason::Operator),
        Just(MaintenanceReason::Damage),
        Just(MaintenanceReason::LowCharge)
    ];
    let step = prop_oneof![
        2 => (1_u32..3).prop_map(Step::Register),
        10 => (b.clone(), 1_u128..=2).prop_map(|(b, odd)| Step::Reserve(b, if odd == 1 { b } else { 9 })),
        8 => b.clone().prop_map(Step::Start),
        6 => (b.clone(), delay()).prop_map(|(b, d)| Step::Release(b, d)),
        8 => (b, delay(), prop::bool::weighted(0.2)).prop_map(|(b, d, i)| Step::End(b, d, i)),
        2 => Just(Step::Offline),
        5 => Just(Step::Online),
        1 => reason.prop_map(Step::Repair),
        4 => Just(Step::Service),
        1 => prop::bool::weighted(0.2).prop_map(|retire| if retire { Step::Retire } else { Step::Tick }),
        1 => Just(Step::Open),
        4 => Just(Step::Tick),
    ];
    prop::collection::vec((0_i64..20, step), 1..60).prop_map(|mut steps| {
        steps.splice(0..0, [(0, Step::Register(1)), (0, Step::Online)]);
        steps
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_history_follows_the_model(steps in steps(), skip_registration in prop::bool::weighted(0.05)) {
        let (mut model, mut state, mut history, mut now) = (Model::default(), None, Vec::new(), 0);
        for (wait, step) in steps.iter().skip(usize::from(skip_registration)) {
            now += wait;
            let command = step.command(now);
            let decided = decide_at(&state, &command, seconds(now));
            let expected = model.step(step, now);
            prop_assert_eq!(decided.is_ok(), expected.is_some(), "{:?} of {:?} gave {:?}", step, model, decided);
            let Ok(events) = decided else { continue };
            for event in &events {
                assert_legal(&state, event);
                let before = state.as_ref().and_then(Vehicle::holder).map(|holder| holder.booking_id);
                let epoch_before = state.as_ref().map_or(Epoch(0), |vehicle| vehicle.epoch);
                state = Vehicle::evolve(state, event);
                let after = state.as_ref().and_then(Vehicle::holder).map(|holder| holder.booking_id);
                let epoch = state.as_ref().map_or(Epoch(0), |vehicle| vehicle.epoch);
                prop_assert!(before.is_none() || after.is_none() || before == after, "handed over while held");
                prop_assert_eq!(epoch > epoch_before, before != after, "the fence moves with the holder: {:?}", event);
            }
            model = expected.unwrap();
            prop_assert_eq!(Model::of(&state), model.clone(), "after {:?}", step);
            prop_assert_eq!(decide_at(&state, &command, seconds(now)), Ok(vec![]), "{:?} twice", step);
            history.extend(events);
        }
        prop_assert_eq!(fold(None, &history), state.clone());
        let stored = serde_json::to_string(&history).unwrap();
        let read: Vec<Event> = serde_json::from_str(&stored).unwrap();
        prop_assert_eq!(fold(None, &read), state);
    }
}
