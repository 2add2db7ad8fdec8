//! The table that others read, against the state machine that MDS publishes.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::*;

/// Rows of "Vehicle State Events", MDS 2.0 `modes/micromobility.md`: from, to, `event_type`. Of rows that another
/// party causes (agency, border, weather) none is here; of those between the states we use, all are, including
/// legal ones that our events do not take.
const MDS_ROWS: &[(&str, &str, &str)] = &[
    ("available", "non_operational", "battery_low"),
    ("available", "non_operational", "maintenance"),
    ("available", "non_operational", "off_hours"),
    ("available", "reserved", "reservation_start"),
    ("available", "non_operational", "system_suspend"),
    ("available non_operational on_trip removed reserved", "non_contactable", "comms_lost"),
    ("available non_operational on_trip removed reserved", "non_contactable", "unspecified"),
    ("available non_contactable", "non_operational", "unspecified"),
    ("available non_operational", "removed", "compliance_pick_up"),
    ("available non_operational", "removed", "maintenance_pick_up"),
    ("available non_operational", "removed", "rebalance_pick_up"),
    ("available non_operational non_contactable", "removed", "agency_pick_up"),
    ("available non_operational non_contactable", "removed", "decommissioned"),
    ("available reserved", "on_trip", "trip_start"),
    ("non_contactable", "available", "comms_restored"),
    ("non_contactable", "non_operational", "comms_restored"),
    ("non_contactable", "on_trip", "comms_restored"),
    ("non_contactable", "removed", "comms_restored"),
    ("non_contactable", "reserved", "comms_restored"),
    ("non_contactable", "on_trip", "unspecified"),
    ("non_contactable", "reserved", "unspecified"),
    ("non_contactable non_operational available", "removed", "unspecified"),
    ("non_operational", "available", "battery_charged"),
    ("non_operational", "available", "maintenance"),
    ("non_operational", "available", "on_hours"),
    ("non_operational", "available", "system_resume"),
    ("non_operational non_contactable", "available", "unspecified"),
    ("on_trip", "available", "trip_cancel"),
    ("on_trip", "available", "trip_end"),
    ("removed non_contactable", "available", "agency_drop_off"),
    ("removed non_contactable", "available", "provider_drop_off"),
    ("reserved", "available", "reservation_cancel"),
];

/// The states that the published table allows after these types.
fn walked(from: &'static str, types: &[MdsEventType]) -> BTreeSet<&'static str> {
    types.iter().fold(BTreeSet::from([from]), |states, event_type| {
        MDS_ROWS
            .iter()
            .filter(|(_, _, row_type)| *row_type == event_type.as_str())
            .filter(|(row_from, _, _)| row_from.split(' ').any(|from| states.contains(from)))
            .map(|(_, to, _)| *to)
            .collect()
    })
}

fn mds(state: &Option<Vehicle>) -> &'static str {
    state.as_ref().map_or("removed", |v| wire(&v.rental, &v.presence, &v.service).mds_state.as_str())
}

/// Checks one step and says it. Also called for every step of the random histories.
pub(super) fn assert_legal(before: &Option<Vehicle>, event: &Event) -> String {
    let after = Vehicle::evolve(before.clone(), event);
    let types = mds_events(before, event);
    let (from, to) = (mds(before), mds(&after));
    assert!(walked(from, &types).contains(to), "{from} -{types:?}-> {to} for {event:?} on {before:?}");
    let types: Vec<&str> = types.iter().map(|event_type| event_type.as_str()).collect();
    format!("{:<26} {from:>15} -> {to:<15} [{}]", event.name(), types.join(", "))
}

#[test]
fn the_table_of_states() {
    let mut text = format!("{:<50} {:<12} {:<16} GBFS vehicle_status\n", "state", "status", "MDS");
    for (title, state) in states() {
        let Some(vehicle) = state else { continue };
        let row = vehicle.wire(NOW);
        let gbfs = match row.gbfs {
            None => "not listed".to_owned(),
            Some(flags) => {
                let mut words = vec!["listed"];
                words.extend(flags.is_reserved.then_some("is_reserved"));
                words.extend(flags.is_disabled.then_some("is_disabled"));
                words.join(" ")
            }
        };
        writeln!(text, "{title:<50} {:<12} {:<16} {gbfs}", row.status.as_str(), row.mds_state.as_str())
            .unwrap();
    }
    insta::assert_snapshot!(text);
}

/// The rules that GBFS 3.1 states, each on its own.
#[test]
fn the_gbfs_rules_hold_in_every_state() {
    for (title, state) in states() {
        let Some(vehicle) = state else { continue };
        let row = vehicle.wire(NOW);
        let in_rental = title.contains("in use");
        let gone = title.contains("retired");
        assert_eq!(
            row.gbfs.is_none(),
            in_rental || gone,
            "{title}: not listed in a rental or out of the fleet"
        );
        let Some(flags) = row.gbfs else { continue };
        assert_eq!(
            flags.is_reserved,
            title.contains("reserved"),
            "{title}: is_reserved during a hold, and only then"
        );
        let hireable = !flags.is_reserved && !flags.is_disabled;
        assert_eq!(
            hireable,
            vehicle.is_claimable(NOW),
            "{title}: a listed vehicle without a flag can be hired"
        );
    }
}

#[test]
fn every_event_is_a_legal_mds_transition() {
    let mut lines = BTreeSet::new();
    for (_, state) in reachable() {
        for (_, command) in commands() {
            let mut before = state.clone();
            for event in decide_at(&state, &command, NOW).unwrap_or_default() {
                lines.insert(assert_legal(&before, &event));
                before = Vehicle::evolve(before, &event);
            }
        }
    }
    let text: Vec<String> = lines.into_iter().collect();
    insta::assert_snapshot!(text.join("\n"));
}

/// A retired vehicle is never held, for one that is held is never retired. To the states of the tables come those
/// withdrawn for another reason, which MDS tells apart.
fn reachable() -> Vec<(String, Option<Vehicle>)> {
    let mut states = states();
    states.retain(|(title, state)| {
        let held = state.as_ref().is_some_and(|vehicle| vehicle.holder().is_some());
        !(held && title.contains("retired"))
    });
    for (title, state) in states.clone() {
        if let Some(vehicle) = state.filter(|_| title.ends_with("maintenance")) {
            let service = Service::Maintenance { reason: MaintenanceReason::LowCharge };
            states.push((format!("{title} low"), Some(Vehicle { service, ..vehicle })));
        }
    }
    states
}

#[test]
fn serde_spells_as_the_standards_do() {
    let quoted = |text: &str| format!("\"{text}\"");
    for (_, state) in states() {
        let Some(vehicle) = state else { continue };
        let row = vehicle.wire(NOW);
        assert_eq!(serde_json::to_string(&row.status).unwrap(), quoted(row.status.as_str()));
        assert_eq!(serde_json::to_string(&row.mds_state).unwrap(), quoted(row.mds_state.as_str()));
        assert_eq!(row.status.to_string(), row.status.as_str());
        assert_eq!(row.mds_state.to_string(), row.mds_state.as_str());
    }
    use MdsEventType::*;
    for event_type in [
        ProviderDropOff,
        ReservationStart,
        ReservationCancel,
        TripStart,
        TripEnd,
        CommsLost,
        CommsRestored,
        Maintenance,
        BatteryLow,
        BatteryCharged,
        Decommissioned,
        Unspecified,
    ] {
        assert_eq!(serde_json::to_string(&event_type).unwrap(), quoted(event_type.as_str()));
        assert_eq!(event_type.to_string(), event_type.as_str());
        assert!(
            MDS_ROWS.iter().any(|(_, _, known)| *known == event_type.as_str()),
            "{event_type} is not of MDS"
        );
    }
}
