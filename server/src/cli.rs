//! The command line: what can be asked for, and who answers.
//!
//! Exit codes: 0 done, 1 done and something was found (an audit's violation), 2 it could not be done:
//! usage, configuration or environment.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use rideplane_core::ids::UserId;
use rideplane_core::time::Timestamp;

use crate::commands;
use crate::config::{self, Flag, Loaded, StoreUrl};
use crate::replay::faults::Faults;
use crate::replay::fold::Fold;
use crate::replay::trips::Format;
use crate::replay::world::StoreKind;
use crate::token::token;

mod replay;

/// The booking data plane of shared mobility: search, reserve, pay, unlock, ride, end, capture.
#[derive(Debug, Parser)]
#[command(name = "rideplane", version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `rideplane` can be asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the data plane: HTTP, workers, relay, notifier, vehicles
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Import or list vehicles
    #[command(subcommand)]
    Fleet(FleetCommand),
    /// Prove that a store's books add up
    #[command(after_help = AUDIT_HELP)]
    Audit(AuditArgs),
    /// Print a bearer token of this installation's own key
    #[command(after_help = TOKEN_HELP)]
    Token(TokenArgs),
    /// Take real trips through the whole journey and report what came of them
    #[command(after_help = REPLAY_HELP)]
    Replay(ReplayArgs),
    /// Bring a Postgres store's schema up to date
    #[command(after_help = MIGRATE_HELP)]
    Migrate(MigrateArgs),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// What can be asked about the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration and print what is in effect, with where each value came from
    #[command(after_help = CONFIG_HELP)]
    Check(ConfigCheckArgs),
}

const AFTER_HELP: &str = "\
Settings come from rideplane.toml, RIDEPLANE_* variables over it, and flags over both.
Exit codes: 0 done, 1 something was found, 2 usage, configuration or environment.";

const MIGRATE_HELP: &str = "\
Examples:
  RIDEPLANE_STORE=postgres://rideplane:secret@db/rideplane rideplane migrate
  rideplane migrate --store postgres://rideplane@db/rideplane

It may run twice, and on several machines at once. A schema that is newer than this build is refused. Other stores bring
themselves up to date.";

const TOKEN_HELP: &str = "\
Examples:
  rideplane token --user rider-1
  curl -H \"Authorization: Bearer $(rideplane token --user rider-1)\" http://127.0.0.1:8080/me
  rideplane token --user ops-1 --role operator --ttl-s 600

The token is signed with jwt.key of the data directory, which is made on first use.";

const CONFIG_HELP: &str = "\
Examples:
  rideplane config check
  rideplane config check --config /etc/rideplane.toml
  RIDEPLANE_POLICY__HOLD_S=600 rideplane config check

rideplane.example.toml explains every setting; `auth.audience` is RIDEPLANE_AUTH__AUDIENCE.";

/// Help for `serve`.
pub const SERVE_HELP: &str = "\
Examples:
  rideplane serve
  rideplane serve --listen 0.0.0.0:8080 --data /var/lib/rideplane
  rideplane serve --demo-fleet 500 --around 48.1374,11.5755

With nothing else installed it brings a SQLite store, vehicles that answer signed commands, and a payment
gateway that behaves like Stripe's test mode. Ctrl-C lets requests under way end.";

/// Help for `replay`.
pub const REPLAY_HELP: &str = "\
Examples:
  rideplane replay
  rideplane replay --store memory --faults storm --seed 7
  rideplane replay --trips my-trips.csv --format rideplane --fold none --report out/

Each trip becomes a whole journey: search, reserve, authorise, confirm, unlock, ride, end, capture.
The same seed gives the same report but for times.";

/// Help for `fleet import`.
pub const FLEET_IMPORT_HELP: &str = "\
CSV columns (or GeoJSON properties of a Point): vehicle_id, vehicle_type, lat, lon, and as you have them
form_factor, propulsion_type, plan_id, current_fuel_percent (0 to 1), max_range_meters, public_key (hex).
Or a GBFS feed as it is: vehicle_status.json (version 3), free_bike_status.json (version 2).

Example:
  vehicle_id,vehicle_type,lat,lon,current_fuel_percent
  sc-001,scooter,50.1109,8.6821,0.83";

/// Help for `audit`.
pub const AUDIT_HELP: &str = "\
Examples:
  rideplane audit
  rideplane audit --store sqlite:/var/lib/rideplane/rideplane.db

Proves that every state follows from its events, that no vehicle has two holders, that money adds up and that
the outbox has no gap. Exit code 1 and the ids of what is wrong otherwise.";

/// `rideplane token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// The user the token speaks for (`sub`)
    #[arg(long, value_name = "ID")]
    pub user: UserId,
    /// A role to give; without it a rider's token
    #[arg(long, value_enum)]
    pub role: Vec<Role>,
    /// How long the token is valid, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u32).range(1..))]
    pub ttl_s: u32,
    /// The data directory, whose jwt.key signs
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The configuration file [default: rideplane.toml if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// A role of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// May use the operator's calls.
    Operator,
}

/// `rideplane config check`.
#[derive(Debug, Args)]
pub struct ConfigCheckArgs {
    /// The configuration file [default: rideplane.toml if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `rideplane serve`.
#[derive(Debug, Default, Args)]
pub struct ServeArgs {
    /// The address to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// The data directory [default: rideplane-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The configuration file [default: rideplane.toml if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The store: sqlite:FILE, postgres://... or memory: [default: sqlite:rideplane.db]
    #[arg(long, value_name = "URL")]
    pub store: Option<StoreUrl>,
    /// How many vehicles to make when the store holds none; 0 makes none [default: 200]
    #[arg(long, value_name = "N")]
    pub demo_fleet: Option<String>,
    /// Where to make them [default: 50.1109,8.6821, Frankfurt]
    #[arg(long, value_name = "LAT,LON", allow_hyphen_values = true)]
    pub around: Option<String>,
}

/// `rideplane replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The trips [default: the Chicago taxi trips that come with Rideplane]
    #[arg(long, value_name = "FILE")]
    pub trips: Option<PathBuf>,
    /// The form of the trips
    #[arg(long, value_enum, default_value_t = Format::ChicagoTaxi)]
    pub format: Format,
    /// The store to book against: sqlite, memory, or the postgres:// URL of an empty database
    #[arg(long, value_name = "STORE", default_value = "sqlite")]
    pub store: StoreKind,
    /// Keep the store's files in this folder, for `rideplane audit --store sqlite:DIR/replay.db`
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// How many vehicles [default: chosen from the trips]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub fleet: Option<u32>,
    /// What the faults and choices are drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How much goes wrong
    #[arg(long, value_enum, default_value_t = Faults::Everyday)]
    pub faults: Faults,
    /// What span of time all trips are laid into, keeping their place in it
    #[arg(long, value_enum, default_value_t = Fold::Week)]
    pub fold: Fold,
    /// Where report.json and report.html go
    #[arg(long, value_name = "DIR", default_value = "rideplane-report")]
    pub report: PathBuf,
}

/// `rideplane fleet`.
#[derive(Debug, Subcommand)]
pub enum FleetCommand {
    /// Add the vehicles of a CSV or GeoJSON file
    #[command(after_help = FLEET_IMPORT_HELP)]
    Import(FleetImportArgs),
    /// List the vehicles
    List(FleetListArgs),
}

/// `rideplane fleet import`.
#[derive(Debug, Args)]
pub struct FleetImportArgs {
    /// The fleet: CSV, GeoJSON, or a GBFS feed of vehicles
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The data directory [default: rideplane-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The configuration file [default: rideplane.toml if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The store: sqlite:FILE, relative to the data directory, or postgres://... [default: the configuration's]
    #[arg(long, value_name = "URL")]
    pub store: Option<StoreUrl>,
}

/// `rideplane fleet list`.
#[derive(Debug, Args)]
pub struct FleetListArgs {
    /// The data directory [default: rideplane-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The configuration file [default: rideplane.toml if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The store: sqlite:FILE, relative to the data directory, or postgres://... [default: the configuration's]
    #[arg(long, value_name = "URL")]
    pub store: Option<StoreUrl>,
}

/// `rideplane migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// The store, postgres://USER:PASSWORD@HOST/DATABASE [default: the configuration's]
    #[arg(long, value_name = "URL")]
    pub store: Option<StoreUrl>,
    /// The configuration file [default: rideplane.toml if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `rideplane audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// The data directory [default: rideplane-data]
    #[arg(long, value_name = "DIR", conflicts_with = "store")]
    pub data: Option<PathBuf>,
    /// The store, sqlite:FILE or postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(long, value_name = "URL")]
    pub store: Option<StoreUrl>,
    /// The configuration file [default: rideplane.toml if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl ServeArgs {
    /// The flags that were given, as settings.
    ///
    /// # Errors
    /// A path that is not UTF-8.
    pub fn flags(&self) -> anyhow::Result<Vec<Flag>> {
        let text = |key, flag, value: &Option<String>| value.clone().map(|value| Flag { key, flag, value });
        let given = [
            text("listen", "--listen", &self.listen),
            data_flag(self.data.as_deref())?,
            text("demo.count", "--demo-fleet", &self.demo_fleet),
            text("demo.around", "--around", &self.around),
        ];
        Ok(given.into_iter().flatten().collect())
    }
}

/// `--data DIR` as a setting.
///
/// # Errors
/// A path that is not UTF-8.
pub fn data_flag(data: Option<&Path>) -> anyhow::Result<Option<Flag>> {
    let Some(data) = data else { return Ok(None) };
    let value = data.to_str().with_context(|| format!("--data {}: the path is not UTF-8", data.display()))?;
    Ok(Some(Flag { key: "data", flag: "--data", value: value.into() }))
}

/// The configuration for a command: the file named or found, this process's environment, the flags.
///
/// # Errors
/// Every problem of the three.
pub fn load_config(named: Option<&Path>, flags: &[Flag]) -> anyhow::Result<Loaded> {
    let file = config::file_to_read(named);
    Ok(Loaded::read(file.as_deref(), config::process_env()?, flags)?)
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    // A usage error ends the process here, with code 2 and the help that fits.
    let cli = Cli::parse();
    run(&cli.command).unwrap_or_else(|error| {
        // A message that can't be written can't be reported either.
        let _ = writeln!(std::io::stderr(), "rideplane: {error:#}");
        ExitCode::from(2)
    })
}

/// Carries a command out; an error means that it could not be done (exit code 2).
///
/// # Errors
/// Of configuration and environment, said for a person.
pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => block_on(commands::serve::run(args)),
        Command::Fleet(command) => block_on(commands::fleet::run(command)),
        Command::Migrate(args) => block_on(commands::migrate::run(args)),
        Command::Audit(args) => block_on(commands::audit::run(args)),
        Command::Token(args) => {
            let flags = data_flag(args.data.as_deref())?;
            let loaded = load_config(args.config.as_deref(), flags.as_slice())?;
            print(&token(args, &loaded.config, system_time()?)?)
        }
        Command::Replay(args) => replay::run(args),
        Command::Config(ConfigCommand::Check(args)) => {
            let loaded = load_config(args.config.as_deref(), &[])?;
            loaded.config.check_files()?;
            print(loaded.to_string().trim_end())
        }
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("the runtime can't be started")?.block_on(work)
}

fn print(answer: &str) -> anyhow::Result<ExitCode> {
    writeln!(std::io::stdout(), "{answer}").context("the answer can't be written to standard output")?;
    Ok(ExitCode::SUCCESS)
}

fn system_time() -> anyhow::Result<Timestamp> {
    let since_epoch =
        SystemTime::now().duration_since(UNIX_EPOCH).context("the system's clock is before 1970: set it")?;
    let micros =
        i64::try_from(since_epoch.as_micros()).context("the system's clock is out of range: set it")?;
    Ok(Timestamp::from_micros(micros))
}

#[cfg(test)]
mod tests;
