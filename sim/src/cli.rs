//! The command line of `rideplane-sim`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::bare::bare;
use crate::bulk::Bulk;
use crate::corpus::{Corpus, Entry};
use crate::defects::Defect;
use crate::episode::{Outcome, Plan, run};
use crate::faults::{Fault, Profile};
use crate::hunt::{Hunt, hunt};
use crate::report;
use crate::shrink::shrink;
use crate::signatures::Scheme;
use crate::totals::Totals;

/// Simulates riders, vehicles, servers and everything that can go wrong between them, from one seed.
#[derive(Parser)]
#[command(name = "rideplane-sim", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run seeds until so many bookings were made; stop at the first that breaks a rule
    Run(RunArgs),
    /// Run one seed again and show what happened
    Replay(ReplayArgs),
    /// Make a failing seed smaller and show what is left
    Shrink(ReplayArgs),
    /// Run the committed seeds
    Corpus,
    /// Plant every known defect and see it found
    Defects(DefectsArgs),
    /// Write a page about a run and the planted defects
    Report(ReportArgs),
    /// Run the app alone: no wires, faults, heartbeats or oracles. A simulation can't be faster
    Bare(BareArgs),
}

#[derive(Args)]
struct RunArgs {
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many bookings
    #[arg(long, default_value_t = 100_000)]
    bookings: u64,
    /// The mix of faults
    #[arg(long, value_enum, default_value_t = Profile::Swarm)]
    faults: Profile,
    /// On how many threads; as many as there are cores unless told otherwise. The sums do not depend on it
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// How messages are signed; a keyed hash, and Ed25519 in one seed of 32, unless told otherwise
    #[arg(long, value_enum)]
    signatures: Option<Scheme>,
    /// Write what was run and what came of it into this file, as JSON
    #[arg(long, value_name = "FILE")]
    result: Option<PathBuf>,
    /// Keep the sums here, and go on from them when the file exists
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Print what no seed reached
    #[arg(long)]
    gaps: bool,
}

#[derive(Args)]
struct ReplayArgs {
    /// The seed
    seed: u64,
    /// The mix of faults
    #[arg(long, value_enum, default_value_t = Profile::Swarm)]
    faults: Profile,
    /// Leave a fault out (may be given more than once)
    #[arg(long, value_name = "FAULT", value_parser = fault)]
    without: Vec<Fault>,
    /// At most so many servers
    #[arg(long)]
    servers: Option<usize>,
    /// At most so many vehicles
    #[arg(long)]
    vehicles: Option<usize>,
    /// At most so many riders
    #[arg(long)]
    riders: Option<usize>,
    /// At most so many journeys
    #[arg(long)]
    journeys: Option<u64>,
    /// Plant a defect
    #[arg(long, value_enum)]
    defect: Option<Defect>,
    /// Write the whole event log and the sequence diagram into this folder
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

#[derive(Args)]
struct DefectsArgs {
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Within how many bookings each must be found
    #[arg(long, default_value_t = 10_000)]
    bookings: u64,
    /// Only this one (may be given more than once)
    #[arg(long, value_enum)]
    only: Vec<Defect>,
}

#[derive(Args)]
struct ReportArgs {
    /// The page
    #[arg(long, value_name = "FILE", default_value = "rideplane-report/simulation.html")]
    out: PathBuf,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Args)]
struct BareArgs {
    /// How many bookings
    #[arg(long, default_value_t = 100_000)]
    bookings: u64,
}

fn fault(text: &str) -> Result<Fault, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|_| {
        let names: Vec<String> = Fault::ALL.iter().filter_map(|fault| slug(*fault)).collect();
        format!("the faults are {}", names.join(", "))
    })
}

fn slug(fault: Fault) -> Option<String> {
    serde_json::to_value(fault).ok()?.as_str().map(str::to_owned)
}

/// The one command that runs a plan again.
#[must_use]
pub fn replay_command(plan: &Plan) -> String {
    let mut line = format!("cargo run --release -p rideplane-sim -- replay {}", plan.seed);
    line += &format!(" --faults {}", plan.profile.as_str());
    for fault in &plan.without {
        line += &slug(*fault).map_or_else(String::new, |name| format!(" --without {name}"));
    }
    let limits = [
        ("servers", plan.servers.map(|n| n as u64)),
        ("vehicles", plan.vehicles.map(|n| n as u64)),
        ("riders", plan.riders.map(|n| n as u64)),
        ("journeys", plan.journeys),
    ];
    for (name, most) in limits {
        line += &most.map_or_else(String::new, |most| format!(" --{name} {most}"));
    }
    if let Some(name) = plan.defect.and_then(|defect| clap::ValueEnum::to_possible_value(&defect)) {
        line += &format!(" --defect {}", name.get_name());
    }
    line
}

impl ReplayArgs {
    fn plan(&self) -> Plan {
        Plan {
            without: self.without.clone(),
            servers: self.servers,
            vehicles: self.vehicles,
            riders: self.riders,
            journeys: self.journeys,
            defect: self.defect,
            traced: true,
            ..Plan::new(self.seed, self.faults)
        }
    }
}

impl Cli {
    /// Does what is asked.
    ///
    /// # Errors
    /// When a rule was broken, a defect escaped, or a file can't be read or written.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Run(args) => {
                let totals = run_many(&args)?;
                println!("{totals}");
                verdict(&totals)
            }
            Command::Replay(args) => replay(&args.plan(), args.out.as_deref()),
            Command::Shrink(args) => {
                let (smaller, runs) = shrink(&args.plan());
                println!("after {runs} runs:\n    {}\n", replay_command(&smaller));
                replay(&Plan { traced: true, ..smaller }, args.out.as_deref())
            }
            Command::Corpus => corpus(),
            Command::Defects(args) => defects(&args).map(drop),
            Command::Report(args) => write_report(&args),
            Command::Bare(BareArgs { bookings }) => {
                let took = bare(bookings)?.as_secs_f64();
                println!("{bookings} bookings in {took:.1} s: {:.0} bookings/s", bookings as f64 / took);
                Ok(())
            }
        }
    }
}

fn run_many(args: &RunArgs) -> Result<Totals> {
    let bulk = Bulk {
        seed: args.seed,
        faults: args.faults,
        bookings: args.bookings,
        threads: args.threads.map_or_else(available_parallelism, Ok).unwrap_or(NonZeroUsize::MIN),
        signatures: args.signatures,
        checkpoint: args.checkpoint.clone(),
    };
    let bar = ProgressBar::new(args.bookings);
    let style = "{bar:40} {human_pos}/{human_len} bookings  {per_sec}  {eta} left";
    bar.set_style(ProgressStyle::with_template(style)?);
    let totals = bulk.run(|totals| bar.set_position(totals.bookings))?;
    bar.finish_and_clear();
    if let Some(file) = &args.result {
        let text = serde_json::to_string_pretty(&totals.result(bulk.threads.get()))?;
        std::fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    }
    if args.gaps {
        for (task, status, fault) in totals.coverage.gaps() {
            let status = status.map_or("no booking", |status| status.as_str());
            println!("gap: {} while {status} never met: {}", task.as_str(), fault.as_str());
        }
    }
    Ok(totals)
}

fn verdict(totals: &Totals) -> Result<()> {
    let Some((seed, rule, found)) = totals.violations.first() else { return Ok(()) };
    let plan = Plan::new(*seed, totals.faults);
    bail!(
        "seed {seed} broke the rule \"{}\": {found}\nreplay it with\n    {}",
        rule.as_str(),
        replay_command(&plan)
    )
}

fn replay(plan: &Plan, out: Option<&Path>) -> Result<()> {
    let outcome = run(plan);
    let about: Vec<String> =
        outcome.violations.iter().take(1).flat_map(|violation| violation.about.clone()).collect();
    if let (Some(folder), Some(trace)) = (out, &outcome.trace) {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let files = [("log", trace.log(&[])), ("mmd", trace.mermaid(&about))];
        for (extension, text) in files {
            let file = folder.join(format!("seed-{}.{extension}", plan.seed));
            std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
            println!("wrote {}", file.display());
        }
    }
    judge(plan, &outcome, &about)
}

fn judge(plan: &Plan, outcome: &Outcome, about: &[String]) -> Result<()> {
    let Some(violation) = outcome.violations.first() else {
        println!(
            "seed {}: {} bookings, {} events, no rule broken",
            plan.seed, outcome.bookings, outcome.events
        );
        return Ok(());
    };
    if let Some(trace) = &outcome.trace {
        println!("{}\n{}", trace.log(about), trace.mermaid(about));
    }
    bail!(
        "seed {} broke the rule \"{}\" at {}: {}\nreplay it with\n    {}",
        plan.seed,
        violation.rule.as_str(),
        violation.at,
        violation.found,
        replay_command(plan)
    )
}

/// How many seeds are looked at for one that can stand in for a kept one.
const HUNTED: u64 = 3_000;

fn corpus() -> Result<()> {
    let corpus = Corpus::kept().context("corpus/seeds.toml is not as it should be")?;
    let mut failed = Vec::new();
    for entry in &corpus.seed {
        let Err(why) = tried(entry) else { continue };
        let instead = entry.hunt(HUNTED).map_or_else(
            || format!("none of the first {HUNTED} seeds is what it was kept for"),
            |seed| format!("seed {seed} is what it was kept for"),
        );
        failed.push(format!("{why}\n    {instead}: {}", entry.reason));
    }
    if failed.is_empty() {
        println!("{} seeds, each as expected", corpus.seed.len());
        return Ok(());
    }
    bail!("{}", failed.join("\n"))
}

fn tried(entry: &Entry) -> Result<(), String> {
    let outcome = entry.replay()?;
    println!("seed {:>10}  {:>4} bookings  {}", entry.seed, outcome.bookings, entry.reason);
    Ok(())
}

fn defects(args: &DefectsArgs) -> Result<Vec<Hunt>> {
    let all = Defect::ALL.into_iter().filter(|defect| args.only.is_empty() || args.only.contains(defect));
    println!("{:<34} {:<46} {:>8}  {:>6}", "defect", "found by", "bookings", "seed");
    let mut hunts = Vec::new();
    for defect in all {
        let found = hunt(defect, args.seed, args.bookings);
        let rule = found.found_by.map_or("ESCAPED", |rule| rule.as_str());
        println!("{:<34} {rule:<46} {:>8}  {:>6}", defect.as_str(), found.bookings, found.seed);
        hunts.push(found);
    }
    let escaped: Vec<&str> =
        hunts.iter().filter(|hunt| hunt.found_by.is_none()).map(|hunt| hunt.defect.as_str()).collect();
    if escaped.is_empty() {
        println!("all {} found", hunts.len());
        return Ok(hunts);
    }
    bail!("{} escaped within {} bookings: {}", escaped.len(), args.bookings, escaped.join(", "))
}

fn write_report(args: &ReportArgs) -> Result<()> {
    let totals = run_many(&args.run)?;
    println!("{totals}");
    let hunts = defects(&DefectsArgs { seed: args.run.seed, bookings: 10_000, only: Vec::new() })?;
    let broken = totals.violations.first().map(|(seed, _, _)| {
        let plan = Plan { traced: true, ..Plan::new(*seed, totals.faults) };
        run(&plan)
    });
    let page = report::render(&totals, &hunts, broken.as_ref());
    if let Some(folder) = args.out.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    std::fs::write(&args.out, page).with_context(|| format!("cannot write {}", args.out.display()))?;
    println!("wrote {}", args.out.display());
    verdict(&totals)
}
