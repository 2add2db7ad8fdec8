//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::defects::Defect;
use crate::scope::Scope;
use crate::search::{Counterexample, Report, search};

/// Tries every history of two riders, one vehicle and two servers within a scope.
#[derive(Debug, Parser)]
#[command(name = "rideplane-model")]
pub struct Cli {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Searches the whole scope; exits 1 with the shortest counterexample when a rule can be broken.
    Check {
        /// How much may happen.
        #[arg(long, value_enum, default_value_t = Scope::Small)]
        scope: Scope,
        /// Every scope, one after the other: some minutes, and 3 GB of memory.
        #[arg(long, conflicts_with = "scope")]
        all: bool,
        /// Plants a defect, to read its counterexample.
        #[arg(long, value_enum)]
        defect: Option<Defect>,
    },
    /// Plants each known defect and searches until a rule objects; exits 1 when one escapes.
    Defects {
        /// How much may happen; without it, as much as each defect needs.
        #[arg(long, value_enum)]
        scope: Option<Scope>,
    },
}

impl Cli {
    /// Runs the command.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let good = match self.command {
            What::Check { all: true, defect, .. } => Scope::ALL.into_iter().all(|scope| check(scope, defect)),
            What::Check { all: false, scope, defect } => check(scope, defect),
            What::Defects { scope } => defects(scope),
        };
        if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn check(scope: Scope, defect: Option<Defect>) -> bool {
    let report = search(scope, defect);
    println!("{}", line(scope, &report));
    match &report.counterexample {
        None => println!("no rule is broken"),
        Some(found) => print!("{}", retold(found)),
    }
    report.counterexample.is_none()
}

fn line(scope: Scope, report: &Report) -> String {
    format!(
        "scope {}: {} distinct states, {} transitions, {} states at rest, depth {}, {:.1} s",
        scope.as_str(),
        report.states,
        report.transitions,
        report.at_rest,
        report.depth,
        report.took.as_secs_f64()
    )
}

fn retold(found: &Counterexample) -> String {
    let mut text = format!("BROKEN in {} steps: {}\n", found.steps.len(), found.rule.as_str());
    for (number, step) in (1..).zip(&found.steps) {
        text.push_str(&format!("{number:>3}. {step}\n"));
    }
    text
}

fn defects(scope: Option<Scope>) -> bool {
    println!(
        "{:<36} {:<48} {:<13} {:>6} {:>9} {:>7}",
        "defect", "broken rule", "scope", "steps", "states", "time"
    );
    let mut escaped = false;
    for defect in Defect::ALL {
        let scope = scope.unwrap_or_else(|| defect.scope());
        let report = search(scope, Some(defect));
        let (rule, steps) = match &report.counterexample {
            Some(found) => (found.rule.as_str(), found.steps.len().to_string()),
            None => ("ESCAPED", "-".to_owned()),
        };
        escaped |= report.counterexample.is_none();
        let took = report.took.as_secs_f64();
        let (defect, scope) = (defect.as_str(), scope.as_str());
        println!("{defect:<36} {rule:<48} {scope:<13} {steps:>6} {:>9} {took:>6.1}s", report.states);
    }
    !escaped
}
