//! The fleet and what it says.

use rideplane_core::fleet;
use rideplane_core::ids::VehicleId;
use rideplane_core::time::Timestamp;

use super::{Backend, Factory, commit};
use crate::conformance::fixtures::{Journey, at, place, telemetry, vehicle_id};
use crate::{Telemetry, VehicleRecord};

/// "What is older than what is known changes nothing of that."
pub async fn telemetry_never_goes_back(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    registered(&backend, 1).await;
    let second = telemetry(1, at(20));
    record(&backend, std::slice::from_ref(&second)).await;
    assert_eq!(said(&backend, 1).await, Some(second.clone()), "every field is kept");
    let older = Telemetry { position: Some(place(500.0)), range_m: Some(1), ..telemetry(1, at(10)) };
    record(&backend, std::slice::from_ref(&older)).await;
    assert_eq!(said(&backend, 1).await, Some(second), "an older report changes nothing");
    let newest = Telemetry { position: Some(place(700.0)), ..telemetry(1, at(40)) };
    let newer = Telemetry { position: Some(place(600.0)), ..telemetry(1, at(30)) };
    record(&backend, &[newest.clone(), newer, older]).await;
    assert_eq!(said(&backend, 1).await, Some(newest), "nor within one batch");
}

/// "`None` leaves the last known", field by field.
pub async fn telemetry_keeps_what_is_not_said(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    registered(&backend, 1).await;
    let full = telemetry(1, at(10));
    record(&backend, std::slice::from_ref(&full)).await;
    let silent = Telemetry { position: None, charge: None, range_m: None, ..telemetry(1, at(20)) };
    record(&backend, &[silent]).await;
    let kept = Telemetry { last_reported: at(20), ..full.clone() };
    assert_eq!(said(&backend, 1).await, Some(kept), "a bare heartbeat only moves the time");
    let moved =
        Telemetry { position: Some(place(10.0)), charge: None, range_m: None, ..telemetry(1, at(30)) };
    record(&backend, std::slice::from_ref(&moved)).await;
    let expected = Telemetry { charge: full.charge, range_m: full.range_m, ..moved };
    assert_eq!(said(&backend, 1).await, Some(expected));
}

/// "Fills only what nobody has said yet": a bare heartbeat that overtakes the first position does not leave it unknown.
pub async fn telemetry_fills_what_nobody_has_said(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    registered(&backend, 1).await;
    let bare = Telemetry { position: None, charge: None, range_m: None, ..telemetry(1, at(20)) };
    let older = Telemetry { charge: None, ..telemetry(1, at(10)) };
    record(&backend, &[bare, older.clone()]).await;
    let filled = Telemetry { last_reported: at(20), ..older };
    assert_eq!(
        said(&backend, 1).await,
        Some(filled.clone()),
        "an older report is all that is known of the place"
    );
    let oldest = Telemetry { position: Some(place(500.0)), range_m: Some(1), ..telemetry(1, at(5)) };
    record(&backend, std::slice::from_ref(&oldest)).await;
    let expected = Telemetry { charge: oldest.charge, ..filled };
    assert_eq!(
        said(&backend, 1).await,
        Some(expected),
        "and a still older one adds nothing but what is missing"
    );
}

/// "Touches no version": a heartbeat never competes with a claim.
pub async fn telemetry_touches_no_version(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let mut journey = registered(&backend, 1).await;
    record(&backend, &[telemetry(1, at(10))]).await;
    let stored = backend.store.vehicle(&vehicle_id(1)).await.unwrap();
    assert_eq!(stored.as_ref(), Some(&journey.vehicle), "the vehicle is as it was");
    commit(&backend, journey.reserve(1, at(11))).await;
    assert_eq!(said(&backend, 1).await, Some(telemetry(1, at(10))), "a commit leaves telemetry alone");
}

/// "Online, unretired vehicles that last reported before `before`, or never did."
pub async fn silent_vehicles_are_online_and_overdue(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    for n in 1..=5 {
        let mut journey = registered(&backend, n).await;
        let command = match n {
            4 => fleet::Command::WentOffline { last_reported: at(5) },
            5 => fleet::Command::Retire,
            _ => continue,
        };
        commit(&backend, journey.vehicle_command(&command, at(6))).await;
    }
    // 1 never reported, 2 reported at 100, 3 at 200; 4 is offline, 5 retired.
    record(&backend, &[telemetry(2, at(100)), telemetry(3, at(200))]).await;
    for (before, expected) in [(50, vec![1]), (100, vec![1]), (101, vec![1, 2]), (201, vec![1, 2, 3])] {
        assert_eq!(silent(&backend, at(before), 10).await, ids(&expected), "silent before {before}");
    }
    assert_eq!(silent(&backend, at(201), 2).await.len(), 2, "at most as many as were asked for");
    record(&backend, &[telemetry(1, at(300)), telemetry(2, at(300))]).await;
    assert_eq!(silent(&backend, at(201), 10).await, ids(&[3]), "who reports is not silent");
    record(&backend, &[telemetry(4, at(1)), telemetry(5, at(1))]).await;
    assert_eq!(
        silent(&backend, at(201), 10).await,
        ids(&[3]),
        "offline and retired ones are not asked about"
    );
}

/// "Vehicles in order of id, after `after`", with what they last said.
pub async fn vehicles_page_in_order_of_id(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let mut expected = Vec::new();
    for n in [4, 2, 5, 1, 3] {
        let journey = registered(&backend, n).await;
        let telemetry = (n != 2).then(|| telemetry(n, at(i64::from(n))));
        if let Some(telemetry) = &telemetry {
            record(&backend, std::slice::from_ref(telemetry)).await;
        }
        expected.push(VehicleRecord { vehicle: journey.vehicle, telemetry });
    }
    expected.sort_by(|a, b| a.vehicle.state.id.cmp(&b.vehicle.state.id));
    assert_eq!(backend.store.vehicles(None, 10).await.unwrap(), expected);
    let mut after: Option<VehicleId> = None;
    for chunk in [0..2, 2..4, 4..5, 5..5] {
        let page = backend.store.vehicles(after.as_ref(), 2).await.unwrap();
        assert_eq!(page, expected[chunk], "a page begins after the one before");
        after = page.last().map(|record| record.vehicle.state.id.clone()).or(after);
    }
    let between = VehicleId::new("sc-00002-and-a-half").unwrap();
    let page = backend.store.vehicles(Some(&between), 1).await.unwrap();
    assert_eq!(page, expected[2..3], "the page begins after an id whether or not it exists");
}

async fn registered(backend: &Backend, n: u32) -> Journey {
    let (journey, registered) = Journey::register(n, at(0));
    commit(backend, registered).await;
    journey
}

async fn record(backend: &Backend, reports: &[Telemetry]) {
    backend.store.record_telemetry(reports).await.unwrap();
}

async fn said(backend: &Backend, n: u32) -> Option<Telemetry> {
    backend.store.telemetry(&vehicle_id(n)).await.unwrap()
}

async fn silent(backend: &Backend, before: Timestamp, limit: usize) -> Vec<VehicleId> {
    let mut found = backend.store.silent_vehicles(before, limit).await.unwrap();
    found.sort();
    found
}

fn ids(numbers: &[u32]) -> Vec<VehicleId> {
    numbers.iter().map(|n| vehicle_id(*n)).collect()
}
