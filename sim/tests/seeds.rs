//! The simulator in every check: kept seeds, fresh seeds, determinism, and oracles that are not blind.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a seed that breaks a rule fails with the command that replays it"
)]

use std::num::NonZeroUsize;
use std::path::Path;

use rideplane_sim::{
    Bulk, Corpus, Defect, Fault, Plan, Profile, Scheme, Totals, hunt, replay_command, run, shrink,
};

fn passes(plan: &Plan) -> u64 {
    let outcome = run(plan);
    if let Some(violation) = outcome.violations.first() {
        panic!(
            "seed {} broke the rule \"{}\": {}\nreplay it with\n    {}",
            plan.seed,
            violation.rule.as_str(),
            violation.found,
            replay_command(plan)
        );
    }
    outcome.bookings
}

#[test]
fn kept_seeds_end_as_expected() {
    let corpus = Corpus::kept().unwrap();
    assert!(corpus.seed.len() >= 5, "the corpus is there");
    for entry in corpus.seed {
        entry.replay().unwrap_or_else(|why| panic!("{}: {why}", entry.reason));
    }
}

#[test]
fn no_seed_breaks_a_rule() {
    for profile in [Profile::None, Profile::Everyday, Profile::Storm, Profile::Swarm] {
        let bookings: u64 = (1_000..1_020).map(|seed| passes(&Plan::new(seed, profile))).sum();
        assert!(bookings > 50, "{} made {bookings} bookings", profile.as_str());
    }
}

#[test]
fn one_seed_is_one_history() {
    let plan = Plan { traced: true, ..Plan::new(7, Profile::Storm) };
    let histories = [run(&plan), run(&plan)].map(|outcome| {
        let trace = outcome.trace.unwrap();
        assert!(!trace.is_empty());
        (trace.log(&[]), outcome.bookings, outcome.events, outcome.calls, outcome.faults, outcome.checks)
    });
    assert_eq!(histories[0], histories[1]);
}

#[test]
fn writing_a_history_down_does_not_change_it() {
    let plan = Plan::new(11, Profile::Swarm);
    let quiet = run(&plan);
    let traced = run(&Plan { traced: true, ..plan });
    assert_eq!((quiet.events, quiet.calls, quiet.faults), (traced.events, traced.calls, traced.faults));
}

#[test]
fn a_read_that_is_counted_as_stale_was_stale() {
    let others: Vec<_> = Fault::ALL.into_iter().filter(|fault| *fault != Fault::StaleRead).collect();
    let (mut log, mut counted) = (String::new(), 0);
    for seed in 1..=6 {
        let outcome = run(&Plan { traced: true, without: others.clone(), ..Plan::new(seed, Profile::Storm) });
        counted += outcome.faults[Fault::StaleRead as usize];
        log += &outcome.trace.unwrap().log(&[]);
    }
    for read in ["store.booking_of", "availability.nearest", "gateway.fetch_intent"] {
        assert!(log.contains(&format!("{read}: stale read")), "{read} was never stale; take other seeds");
    }
    let happened = log.lines().filter(|line| line.ends_with(": stale read")).count();
    assert_eq!(counted, happened as u64);
}

#[test]
fn planted_defects_are_found() {
    // The quick ones of each place; `rideplane-sim defects` hunts all of them.
    let quick = [
        Defect::LostUpdate,
        Defect::OutboxBeforeClaim,
        Defect::TornCommit,
        Defect::LostIdempotency,
        Defect::InboxMissing,
        Defect::VoidLost,
        Defect::CaptureAfterExpiry,
        Defect::DoubleCapture,
        Defect::RelayReordered,
        Defect::ExpiredAccepted,
        Defect::CommandActsTwice,
        Defect::UnlockForAnybody,
        Defect::UnknownToldAsFailure,
        Defect::IdsRepeat,
        Defect::WorkerAsleep,
    ];
    for defect in quick {
        let found = hunt(defect, 1, 500);
        assert!(found.found_by.is_some(), "{} escaped for {} bookings", defect.as_str(), found.bookings);
    }
}

#[test]
fn a_failing_seed_shrinks_and_still_fails() {
    let plan = Plan { defect: Some(Defect::CommandActsTwice), ..Plan::new(2, Profile::Storm) };
    let rule = run(&plan).violations[0].rule;
    let (smaller, runs) = shrink(&plan);
    assert!(runs > 1);
    assert_eq!(run(&smaller).violations[0].rule, rule);
    assert!(smaller.without.len() > 3, "most faults have nothing to do with it: {smaller:?}");
    let outcome = run(&Plan { traced: true, ..smaller });
    let about: Vec<String> = outcome.violations[0].about.clone();
    let diagram = outcome.trace.unwrap().mermaid(&about);
    assert!(diagram.starts_with("sequenceDiagram\n") && diagram.contains("Vehicle"), "{diagram}");
}

#[test]
fn a_keyed_hash_shows_the_same_histories_as_ed25519() {
    for seed in [3, 7, 32] {
        let histories = [Scheme::Ed25519, Scheme::KeyedHash].map(|signatures| {
            let plan = Plan { signatures, traced: true, ..Plan::new(seed, Profile::Storm) };
            let outcome = run(&plan);
            (outcome.trace.unwrap().log(&[]), outcome.events, outcome.calls, outcome.faults)
        });
        assert!(histories[0].0.contains("ack Done"), "seed {seed} has no answer of a vehicle in it");
        assert_eq!(histories[0], histories[1], "seed {seed}");
    }
}

/// Without the time that it took, and as text: a checkpoint is text too.
fn sums(totals: &Totals) -> String {
    serde_json::to_string(&Totals { wall_s: 0.0, ..totals.clone() }).unwrap()
}

#[test]
fn sums_do_not_depend_on_threads_nor_on_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let whole = Bulk { bookings: 600, ..Bulk::new(1, Profile::Swarm) };
    let wanted = sums(&whole.run(|_| ()).unwrap());
    for threads in [2, 5] {
        let several = Bulk { threads: NonZeroUsize::new(threads).unwrap(), ..whole.clone() };
        assert_eq!(sums(&several.run(|_| ()).unwrap()), wanted, "{threads} threads");
    }
    let checkpoint = Some(folder.path().join("sums.json"));
    let part = Bulk { bookings: 250, checkpoint, ..whole.clone() };
    let seeds = part.run(|_| ()).unwrap().seeds();
    let rest = Bulk { bookings: 600, threads: NonZeroUsize::new(2).unwrap(), ..part.clone() };
    let mut first = None;
    let resumed = rest.run(|totals| _ = first.get_or_insert(totals.next_seed)).unwrap();
    assert!(first.unwrap() > seeds, "what is in the checkpoint is not run again");
    assert_eq!(sums(&resumed), wanted);
    assert_eq!(sums(&saved(part.checkpoint.as_deref().unwrap())), wanted);
    let other = Bulk { seed: 2, ..part };
    let refused = other.run(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("is the checkpoint of seeds from 1 with faults swarm"), "{refused}");
}

fn saved(file: &Path) -> Totals {
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}
