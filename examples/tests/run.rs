//! Every example runs to its end and says what it is there to show.

#![allow(clippy::unwrap_used)]

use std::process::Command;

fn run(program: &str) -> String {
    let output = Command::new(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn says(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
}

#[test]
fn core_alone() {
    let text = run(env!("CARGO_BIN_EXE_core_alone"));
    says(&text, &["TripStarted", "completed after 3400 m:", "charged 3.99 EUR"]);
}

#[test]
fn service() {
    let text = run(env!("CARGO_BIN_EXE_service"));
    says(
        &text,
        &[
            "free: sc-1",
            "booked sc-1: 200",
            "paid: confirmed",
            "unlocked: active",
            "3.99 EUR for Some(720) s",
        ],
    );
    says(&text, &["BookingCreated", "TripStarted", "TripEnded"]);
    assert!(!text.contains("sc-3"), "sc-3 is kilometres away:\n{text}");
}

#[test]
fn own_adapter() {
    says(&run(env!("CARGO_BIN_EXE_own_adapter")), &["conformance passed: availability"]);
}
