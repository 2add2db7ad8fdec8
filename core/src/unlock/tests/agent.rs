//! The vehicle: every reason to refuse, and adversarial streams with power failures against a model.

use std::collections::BTreeMap;

use super::*;
use crate::time::Span;
use proptest::prelude::*;

fn agent() -> Agent {
    Agent::new(scooter(), trusted(), Limits::default(), AgentMemory::default())
}

fn telemetry(now: Timestamp) -> Telemetry {
    Telemetry { at: now, odometer_m: 12_345, position: None, charge: Some(Charge::FULL) }
}

fn command_with(id: u128, epoch: u64, counter: u64) -> CommandClaims {
    CommandClaims {
        command_id: CommandId::from_uuid(Uuid::from_u128(id)),
        epoch: Epoch(epoch),
        counter,
        ..command()
    }
}

fn execute(agent: &mut Agent, claims: &CommandClaims, now: Timestamp) -> AckClaims {
    let verdict = agent.judge(&sign_command(claims, &server_key()), now);
    let Verdict::Execute { claims, memory } = verdict else { panic!("{verdict:?}") };
    agent.adopt(memory);
    let report = agent.report(&claims, AckResult::Done, telemetry(now));
    agent.adopt(report.memory);
    report.ack
}

fn refusal(agent: &Agent, claims: &CommandClaims, now: Timestamp) -> Option<Refusal> {
    match agent.judge(&sign_command(claims, &server_key()), now) {
        Verdict::Refuse { reason, .. } => Some(reason),
        Verdict::Execute { .. } => None,
        other @ (Verdict::Repeat { .. } | Verdict::Interrupted { .. } | Verdict::Ignore(_)) => {
            panic!("{other:?}")
        }
    }
}

#[test]
fn each_refusal_has_its_edge() {
    let mut agent = agent();
    let fresh = command_with(1, 7, 70);
    assert_eq!(refusal(&agent, &fresh, at(30)), Some(Refusal::Expired));
    assert_eq!(refusal(&agent, &fresh, at(30).minus(Span::from_micros(1))), None);
    assert_eq!(refusal(&agent, &fresh, at(-15)), None);
    assert_eq!(refusal(&agent, &fresh, at(-15).minus(Span::from_micros(1))), Some(Refusal::NotYetValid));
    let long = CommandClaims { expires_at: at(30).plus(Span::from_micros(1)), ..fresh.clone() };
    assert_eq!(refusal(&agent, &long, at(1)), Some(Refusal::LifeTooLong));

    execute(&mut agent, &fresh, at(1));
    assert_eq!(refusal(&agent, &command_with(2, 7, 70), at(2)), Some(Refusal::StaleCounter));
    assert_eq!(refusal(&agent, &command_with(2, 6, 71), at(2)), Some(Refusal::StaleEpoch));
    assert_eq!(refusal(&agent, &command_with(1, 7, 71), at(2)), Some(Refusal::CommandIdReused));
    assert_eq!(refusal(&agent, &command_with(2, 7, 71), at(2)), None);
    assert_eq!(refusal(&agent, &command_with(2, 8, 71), at(2)), None);
}

#[test]
fn a_repeat_gets_the_first_answer_even_when_expired_and_signed_anew() {
    let mut agent = agent();
    let first = command_with(1, 7, 70);
    let ack = execute(&mut agent, &first, at(1));
    for n in 1..AGENT_REMEMBERS as u64 {
        execute(&mut agent, &command_with(1 + u128::from(n), 7, 70 + n), at(2));
    }
    assert_eq!(
        agent.judge(&sign_command(&first, &server_key()), at(900)),
        Verdict::Repeat { ack: ack.clone() }
    );
    let changed_mind = agent.report(&first, AckResult::Refused(Refusal::Jammed), telemetry(at(3)));
    assert_eq!(&changed_mind.memory, agent.memory());
    // Under the next key of a rotation the bytes differ, the command does not.
    let (next, key) = (KeyId::new("next").unwrap(), SigningKey::from_bytes(&[3; 32]));
    agent.trust(trusted().and(next.clone(), key.verifying_key().to_bytes()).unwrap());
    let unsigned = Unsigned::command(&first, &next);
    let signature = key.sign(unsigned.to_be_signed()).to_bytes();
    assert_eq!(agent.judge(&unsigned.finish(signature), at(900)), Verdict::Repeat { ack });
    // Once forgotten it is stale, not new.
    execute(&mut agent, &command_with(99, 7, 99), at(2));
    assert_eq!(refusal(&agent, &first, at(2)), Some(Refusal::StaleCounter));
}

#[test]
fn a_refusal_is_final() {
    let mut agent = agent();
    let claims = command_with(1, 7, 70);
    let bytes = sign_command(&claims, &server_key());
    // The vehicle's clock is a minute behind; then it is put right while the command is alive.
    let behind = at(-60);
    assert_eq!(refusal(&agent, &claims, behind), Some(Refusal::NotYetValid));
    let report = agent.report(&claims, AckResult::Refused(Refusal::NotYetValid), telemetry(behind));
    agent.adopt(report.memory);
    assert_eq!(agent.judge(&bytes, at(1)), Verdict::Repeat { ack: report.ack });

    // A refusal of something stale leaves no trace that could push out an answer.
    let before = agent.memory().clone();
    let report =
        agent.report(&command_with(2, 6, 71), AckResult::Refused(Refusal::StaleEpoch), telemetry(at(2)));
    assert_eq!(report.memory, before);
}

#[test]
fn power_lost_in_the_middle_is_told_and_not_repeated() {
    let mut agent = agent();
    let claims = command_with(1, 7, 70);
    let bytes = sign_command(&claims, &server_key());
    let Verdict::Execute { memory, .. } = agent.judge(&bytes, at(1)) else { panic!() };
    // What was made durable is all that is left; it survives as JSON too.
    let stored = serde_json::to_string(&memory).unwrap();
    agent.adopt(serde_json::from_str(&stored).unwrap());
    assert_eq!(agent.judge(&bytes, at(2)), Verdict::Interrupted { claims: claims.clone() });
    let report = agent.report(&claims, AckResult::Refused(Refusal::Interrupted), telemetry(at(2)));
    agent.adopt(report.memory);
    assert_eq!(agent.judge(&bytes, at(3)), Verdict::Repeat { ack: report.ack });
    assert_eq!(agent.memory().last_done(), None);
}

#[test]
fn the_memory_tells_what_was_seen_and_done() {
    let mut agent = agent();
    let seen = |agent: &Agent| {
        let memory = agent.memory();
        (memory.highest_epoch(), memory.highest_counter(), memory.last_done())
    };
    assert_eq!(seen(&agent), (Epoch(0), 0, None));
    execute(&mut agent, &command_with(1, 7, 70), at(1));
    assert_eq!(seen(&agent), (Epoch(7), 70, Some(Action::Unlock)));
    let lock = CommandClaims { action: Action::Lock, ..command_with(2, 7, 71) };
    execute(&mut agent, &lock, at(2));
    let report = agent.report(&command_with(3, 8, 80), AckResult::Refused(Refusal::Jammed), telemetry(at(3)));
    agent.adopt(report.memory);
    assert_eq!(seen(&agent), (Epoch(8), 80, Some(Action::Lock)), "what was refused was not done");
}

#[test]
fn what_is_not_authentic_gets_no_answer() {
    let agent = agent();
    let stranger = SigningKey::from_bytes(&[9; 32]);
    let forged = sign_command(&command(), &stranger);
    assert_eq!(agent.judge(&forged, at(1)), Verdict::Ignore(WireError::BadSignature));
    assert!(matches!(agent.judge(b"unlock!", at(1)), Verdict::Ignore(WireError::Malformed { .. })));
    let mut other = command();
    other.vehicle_id = VehicleId::new("sc-002").unwrap();
    let elsewhere = sign_command(&other, &server_key());
    assert_eq!(agent.judge(&elsewhere, at(1)), Verdict::Ignore(WireError::BadSignature));
}

/// Where power fails while a command is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    None,
    BeforeMemory,
    BeforeLock,
    BeforeReport,
    BeforeAck,
}

#[derive(Clone, Debug)]
enum Input {
    /// A new command: epoch, counter (freely chosen, so that each is judged alone), issued at, life (seconds).
    Issue { epoch: u64, counter: u64, issued: i64, life: i64, deliver: bool },
    /// Any earlier message again.
    Replay(prop::sample::Index),
    /// Any earlier message with a bit changed.
    Corrupt(prop::sample::Index, prop::sample::Index),
    /// The vehicle's clock moves, forwards or back.
    Clock(i64),
}

fn input() -> impl Strategy<Value = (Input, Crash)> {
    let issue = (1..5_u64, 1..60_u64, -20..20_i64, 1..33_i64, any::<bool>()).prop_map(
        |(epoch, counter, issued, life, deliver)| Input::Issue { epoch, counter, issued, life, deliver },
    );
    let input = prop_oneof![
        4 => issue,
        4 => any::<prop::sample::Index>().prop_map(Input::Replay),
        1 => any::<[prop::sample::Index; 2]>().prop_map(|[which, bit]| Input::Corrupt(which, bit)),
        2 => (-20..30_i64).prop_map(Input::Clock),
    ];
    let crash = prop_oneof![
        6 => Just(Crash::None),
        1 => Just(Crash::BeforeMemory),
        1 => Just(Crash::BeforeLock),
        1 => Just(Crash::BeforeReport),
        1 => Just(Crash::BeforeAck),
    ];
    (input, crash)
}

/// The world around the agent: its lock, its durable memory, and what was sent.
struct World {
    agent: Agent,
    clock: i64,
    /// Every command whose lock movement happened, in order.
    moved: Vec<CommandClaims>,
    acks: BTreeMap<CommandId, Vec<AckResult>>,
    // The model: what a vehicle must remember to be safe, without a limit.
    epoch: u64,
    counter: u64,
    begun: BTreeMap<CommandId, bool>,
}

impl World {
    fn new() -> Self {
        let (agent, clock) = (agent(), 0);
        Self {
            agent,
            clock,
            moved: vec![],
            acks: BTreeMap::new(),
            epoch: 0,
            counter: 0,
            begun: BTreeMap::new(),
        }
    }

    /// Whether the rules let this command move the lock now.
    fn may_move(&self, claims: &CommandClaims) -> bool {
        let (now, life) = (at(self.clock), claims.life().as_micros());
        !self.begun.contains_key(&claims.command_id)
            && claims.epoch.0 >= self.epoch
            && claims.counter > self.counter
            && life <= 30_000_000
            && claims.issued_at.as_micros() <= now.as_micros() + 15_000_000
            && now < claims.expires_at
    }

    fn begin(&mut self, claims: &CommandClaims) {
        if claims.epoch.0 >= self.epoch && claims.counter > self.counter {
            (self.epoch, self.counter) = (claims.epoch.0, claims.counter);
            self.begun.insert(claims.command_id, false);
        }
    }

    fn report(&mut self, claims: &CommandClaims, result: AckResult, crash: Crash) {
        if crash == Crash::BeforeReport {
            return;
        }
        let report = self.agent.report(claims, result, telemetry(at(self.clock)));
        self.agent.adopt(report.memory);
        if crash != Crash::BeforeAck {
            self.acks.entry(claims.command_id).or_default().push(report.ack.result);
        }
    }

    fn deliver(&mut self, original: &CommandClaims, bytes: &[u8], crash: Crash) {
        let may = self.may_move(original);
        match self.agent.judge(bytes, at(self.clock)) {
            Verdict::Execute { claims, memory } => {
                assert!(may, "moved against the rules: {claims:?}");
                if crash == Crash::BeforeMemory {
                    return;
                }
                self.agent.adopt(memory);
                self.begin(&claims);
                if crash == Crash::BeforeLock {
                    return;
                }
                self.moved.push(claims.clone());
                self.begun.insert(claims.command_id, true);
                self.report(&claims, AckResult::Done, crash);
            }
            Verdict::Interrupted { claims } => {
                assert!(!may && self.begun.contains_key(&claims.command_id));
                let stands = self.moved.last().is_some_and(|last| last.command_id == claims.command_id);
                let result = if stands { AckResult::Done } else { AckResult::Refused(Refusal::Interrupted) };
                self.report(&claims, result, crash);
            }
            Verdict::Refuse { claims, reason } => {
                assert!(!may, "refused for {reason:?} what the rules allow: {claims:?}");
                if crash != Crash::BeforeReport {
                    self.begin(&claims);
                }
                self.report(&claims, AckResult::Refused(reason), crash);
            }
            Verdict::Repeat { ack } => {
                assert!(!may, "answered without moving: {ack:?}");
                self.acks.entry(ack.command_id).or_default().push(ack.result);
            }
            Verdict::Ignore(error) => panic!("ignored an authentic command: {error}"),
        }
    }

    fn check(&self) {
        for pair in self.moved.windows(2) {
            assert!(pair[0].counter < pair[1].counter && pair[0].epoch <= pair[1].epoch, "{pair:?}");
        }
        for (id, results) in &self.acks {
            let moved = self.moved.iter().any(|claims| claims.command_id == *id);
            // Done is said of what moved and of nothing else, and what was said once is said again, until it
            // is forgotten and called stale.
            assert!(moved || !results.contains(&AckResult::Done), "{id}");
            let forgotten = [Refusal::StaleCounter, Refusal::StaleEpoch].map(AckResult::Refused);
            let mut said = results.iter().filter(|result| !forgotten.contains(result));
            let first = said.next();
            assert!(said.all(|result| Some(result) == first), "{id}: {results:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_stream_moves_the_lock_twice_late_or_for_an_earlier_holder(
        inputs in proptest::collection::vec(input(), 1..50),
    ) {
        let mut world = World::new();
        let mut sent: Vec<(CommandClaims, Vec<u8>)> = vec![];
        for (input, crash) in inputs {
            match input {
                Input::Issue { epoch, counter, issued, life, deliver } => {
                    let mut claims = command_with(sent.len() as u128, epoch, counter);
                    claims.issued_at = at(world.clock + issued);
                    claims.expires_at = claims.issued_at.plus(Span::from_seconds(life));
                    let bytes = sign_command(&claims, &server_key());
                    if deliver {
                        world.deliver(&claims, &bytes, crash);
                    }
                    sent.push((claims, bytes));
                }
                Input::Replay(which) if !sent.is_empty() => {
                    let (claims, bytes) = which.get(&sent).clone();
                    world.deliver(&claims, &bytes, crash);
                }
                Input::Corrupt(which, bit) if !sent.is_empty() => {
                    let mut bytes = which.get(&sent).1.clone();
                    let bit = bit.index(bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    let silent = matches!(world.agent.judge(&bytes, at(world.clock)), Verdict::Ignore(_));
                    prop_assert!(silent);
                }
                Input::Replay(_) | Input::Corrupt(..) => {}
                Input::Clock(seconds) => world.clock += seconds,
            }
            world.check();
        }
    }
}
