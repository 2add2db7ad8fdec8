//! `rideplane fleet`.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::ProgressBar;
use rideplane_app::PutVehicle;
use rideplane_core::fleet::{FormFactor, PropulsionType};
use rideplane_core::ids::{PlanId, VehicleId};
use rideplane_core::unlock::VehicleKey;
use rideplane_memory::SystemClock;
use rideplane_ports::Clock as _;

use crate::cli::{FleetCommand, FleetImportArgs, FleetListArgs, data_flag, load_config};
use crate::defaults::KINDS;
use crate::fleet_file::{FleetRow, HeldBack, parse};
use crate::host::demo::PARALLEL;
use crate::host::{AnyStore, Host};

const PAGE: usize = 1_000;

/// Imports or lists.
///
/// # Errors
/// When the file or the store can't be used; a broken row names line, column and value, and nothing is imported.
pub async fn run(command: &FleetCommand) -> anyhow::Result<ExitCode> {
    match command {
        FleetCommand::Import(args) => import(args).await,
        FleetCommand::List(args) => list(args).await,
    }
}

async fn import(args: &FleetImportArgs) -> anyhow::Result<ExitCode> {
    let flags: Vec<_> = data_flag(args.data.as_deref())?.into_iter().collect();
    let mut config = load_config(args.config.as_deref(), &flags)?.config;
    config.store = args.store.clone().unwrap_or(config.store);
    let bytes = std::fs::read(&args.file).with_context(|| format!("{}", args.file.display()))?;
    let rows = parse(&bytes, None).with_context(|| format!("{}", args.file.display()))?;
    let (rows, held_back): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.held_back.is_none());
    let host = Host::open(&config).await?;
    let vehicles = rows.iter().map(vehicle).collect::<anyhow::Result<Vec<_>>>()?;
    for (line, _, put) in &vehicles {
        if host.app.settings().plans.get(&put.plan_id).is_none() {
            anyhow::bail!("{} line {line}, plan_id: {} is not configured", args.file.display(), put.plan_id);
        }
    }
    let bar = ProgressBar::new(vehicles.len() as u64);
    let (app, bar) = (&host.app, &bar);
    stream::iter(vehicles)
        .map(|(line, id, put)| async move {
            let done = app.put_vehicle(&id, &put).await.with_context(|| format!("line {line}, vehicle {id}"));
            bar.inc(1);
            done.map(drop)
        })
        .buffer_unordered(PARALLEL)
        .try_collect::<Vec<()>>()
        .await?;
    bar.finish_and_clear();
    writeln!(std::io::stdout(), "{} vehicles imported into {}", rows.len(), config.data.display())?;
    if !held_back.is_empty() {
        let reserved = held_back.iter().filter(|row| row.held_back == Some(HeldBack::Reserved)).count();
        let disabled = held_back.len() - reserved;
        let said = "not imported: import again when they are free";
        writeln!(std::io::stdout(), "{reserved} reserved and {disabled} disabled ones of the feed {said}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn vehicle(row: &FleetRow) -> anyhow::Result<(u64, VehicleId, PutVehicle)> {
    let (form_factor, propulsion_type) = usual(row.vehicle_type.as_str());
    let put = PutVehicle {
        vehicle_type: row.vehicle_type.clone(),
        form_factor: row.form_factor.unwrap_or(form_factor),
        propulsion_type: row.propulsion_type.unwrap_or(propulsion_type),
        plan_id: match &row.plan_id {
            Some(plan) => plan.clone(),
            None => PlanId::new(row.vehicle_type.as_str())?,
        },
        public_key: row.public_key.map(VehicleKey::from_bytes),
        max_range_meters: row.max_range_meters,
        lat: Some(row.position.lat()),
        lon: Some(row.position.lon()),
        current_fuel_percent: row.current_fuel_percent,
        current_range_meters: None,
    };
    Ok((row.line, row.vehicle_id.clone(), put))
}

/// What a vehicle of that type usually is, when the file does not say.
fn usual(vehicle_type: &str) -> (FormFactor, PropulsionType) {
    let known = KINDS.iter().find(|kind| kind.name == vehicle_type);
    known.map_or((FormFactor::Other, PropulsionType::Human), |kind| (kind.form_factor, kind.propulsion_type))
}

async fn list(args: &FleetListArgs) -> anyhow::Result<ExitCode> {
    let flags: Vec<_> = data_flag(args.data.as_deref())?.into_iter().collect();
    let mut config = load_config(args.config.as_deref(), &flags)?.config;
    config.store = args.store.clone().unwrap_or(config.store);
    let store = AnyStore::open_read_only(&config).await?.store;
    let (now, mut out) = (SystemClock.now(), std::io::stdout().lock());
    let mut after: Option<VehicleId> = None;
    writeln!(
        out,
        "{:<16} {:<10} {:<12} {:>10} {:>11} {:>5}  last_reported",
        "vehicle_id", "type", "status", "lat", "lon", "fuel"
    )?;
    loop {
        let page = store.vehicles(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(ExitCode::SUCCESS) };
        after = Some(last.vehicle.state.id.clone());
        for record in &page {
            let vehicle = &record.vehicle.state;
            let said = record.telemetry.as_ref();
            let at = said.and_then(|said| said.position);
            let degrees =
                |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.5}"));
            let fuel = said.and_then(|said| said.charge);
            writeln!(
                out,
                "{:<16} {:<10} {:<12} {:>10} {:>11} {:>5}  {}",
                vehicle.id.as_str(),
                vehicle.spec.vehicle_type.as_str(),
                vehicle.status(now).as_str(),
                degrees(at.map(|at| at.lat())),
                degrees(at.map(|at| at.lon())),
                fuel.map_or_else(|| "-".to_owned(), |fuel| format!("{:.0}%", fuel.as_fraction() * 100.0)),
                said.map_or_else(|| "never".to_owned(), |said| said.last_reported.to_string()),
            )?;
        }
    }
}
