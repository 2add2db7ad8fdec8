//! The tiny scope holds, every planted defect is found in the scope that shows it, and a search is a function of its scope.
//! That the other scopes hold is for the release binary to say (`cargo xtask test --only model`).

use rideplane_model::{Defect, Rule, Scope, search};

#[test]
fn no_history_of_the_tiny_scope_breaks_a_rule() {
    let report = search(Scope::Tiny, None);
    if let Some(found) = &report.counterexample {
        panic!(
            "{:?}, replay with `cargo run --release -p rideplane-model -- check --scope tiny`:\n{}",
            found.rule,
            found.steps.join("\n")
        );
    }
    assert!(report.at_rest > 0 && report.transitions > report.states, "{report:?}");
}

#[test]
fn every_planted_defect_is_found() {
    for defect in Defect::ALL {
        let report = search(defect.scope(), Some(defect));
        assert!(report.counterexample.is_some(), "{defect:?} escapes");
    }
}

#[test]
fn a_search_twice_is_the_same() {
    let run = || {
        let report = search(Scope::Small, Some(Defect::ClaimWithoutPredicate));
        (report.states, report.transitions, report.at_rest, report.depth, report.counterexample)
    };
    let first = run();
    assert_eq!(first, run());
    let found = first.4.unwrap();
    assert_eq!(found.rule, Rule::OneHolder);
    assert!(found.steps.last().unwrap().contains("commits the claim"), "{found:?}");
}
