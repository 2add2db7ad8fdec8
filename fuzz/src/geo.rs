//! Both vehicle indexes against the plainest search.

use std::collections::BTreeMap;

use rideplane_core::charge::Charge;
use rideplane_core::geo::{
    CellIndex, IndexEntry, NearestQuery, Neighbour, Point, RstarIndex, VehicleIndex, distance_m,
};
use rideplane_core::ids::{VehicleId, VehicleTypeId};

use crate::input::Input;

const MOST_STEPS: usize = 400;
const SPOTS: [(f64, f64); 9] = [
    (52.52, 13.405),
    (90.0, 0.0),
    (90.0, 77.0),
    (-90.0, -180.0),
    (0.0, 180.0),
    (0.0, -180.0),
    (0.0, 0.0),
    (0.0, 90.0),
    (-52.52, -166.595),
];

/// Bytes are upserts, removals and searches.
///
/// # Panics
/// When an index answers otherwise than asking every vehicle does.
pub fn geo_index(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut plain: BTreeMap<VehicleId, IndexEntry> = BTreeMap::new();
    let (mut cells, mut rstar) = (CellIndex::default(), RstarIndex::default());
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        match input.byte() % 8 {
            0..=3 => {
                let entry = entry(&mut input);
                cells.upsert(entry.clone());
                rstar.upsert(entry.clone());
                plain.insert(entry.id.clone(), entry);
            }
            4 | 5 => {
                let id = vehicle(input.byte());
                let there = plain.remove(&id).is_some();
                assert_eq!((cells.remove(&id), rstar.remove(&id)), (there, there), "{id}");
            }
            _ => search(&mut input, &plain, &cells, &rstar),
        }
    }
    assert_eq!((cells.len(), rstar.len()), (plain.len(), plain.len()));
    for (id, entry) in &plain {
        assert_eq!((cells.get(id), rstar.get(id)), (Some(entry), Some(entry)));
    }
    let center = point(&mut Input::new(&[]));
    let all = NearestQuery {
        center,
        radius_m: f64::INFINITY,
        limit: usize::MAX,
        vehicle_type: None,
        min_charge: None,
        min_range_m: None,
    };
    agree(&all, &plain, &cells, &rstar);
    let (packed, laid): (RstarIndex, CellIndex) =
        (plain.values().cloned().collect(), plain.values().cloned().collect());
    agree(&all, &plain, &laid, &packed);
}

fn vehicle(number: u8) -> VehicleId {
    VehicleId::new(format!("v{}", number % 96)).expect("an id")
}

fn kind(number: u8) -> VehicleTypeId {
    VehicleTypeId::new(format!("t{}", number % 3)).expect("an id")
}

/// A place that hurts, one near it, one of a lattice, or any.
fn point(input: &mut Input<'_>) -> Point {
    let way = input.byte();
    let (lat, lon) = SPOTS[usize::from(way >> 2) % SPOTS.len()];
    let (lat, lon) = match way % 4 {
        0 => (lat, lon),
        1 => (lat + f64::from(input.byte() as i8) * 1e-3, lon + f64::from(input.byte() as i8) * 1e-3),
        2 => (lat + f64::from(input.short() as i16) * 1e-9, lon + f64::from(input.short() as i16) * 1e-9),
        _ => (f64::from_bits(input.long()), f64::from_bits(input.long())),
    };
    let lon = if lon > 180.0 { lon - 360.0 } else { lon };
    let inside = |degrees: f64, most: f64| if degrees.is_nan() { 0.0 } else { degrees.clamp(-most, most) };
    Point::new(inside(lat, 90.0), inside(lon, 180.0)).expect("degrees in range")
}

fn entry(input: &mut Input<'_>) -> IndexEntry {
    let (id, point, known) = (vehicle(input.byte()), point(input), input.byte());
    IndexEntry {
        id,
        point,
        vehicle_type: kind(known),
        charge: (known & 8 == 0).then(|| Charge::from_basis_points(u16::from(known) * 39)),
        range_m: (known & 16 == 0).then(|| u32::from(known) * 200),
    }
}

fn search(
    input: &mut Input<'_>,
    plain: &BTreeMap<VehicleId, IndexEntry>,
    cells: &CellIndex,
    rstar: &RstarIndex,
) {
    let center = point(input);
    let radius_m = match input.byte() % 8 {
        0 | 1 => f64::INFINITY,
        2 => 0.0,
        3 => f64::from(input.short()),
        4 => f64::from(input.short()) * 400.0,
        5 => f64::from_bits(input.long()),
        // A distance that some vehicle has exactly.
        _ => plain.values().next().map_or(0.0, |entry| distance_m(center, entry.point)),
    };
    let limit = input.pick(&[1, 2, 3, 10, 50, 0, usize::MAX]);
    let filter = input.byte();
    let wanted = kind(filter);
    let query = NearestQuery {
        center,
        radius_m,
        limit,
        vehicle_type: (filter & 4 != 0).then_some(&wanted),
        min_charge: (filter & 8 != 0).then(|| Charge::from_basis_points(5_000)),
        min_range_m: (filter & 16 != 0).then_some(20_000),
    };
    agree(&query, plain, cells, rstar);
}

fn agree(
    query: &NearestQuery<'_>,
    plain: &BTreeMap<VehicleId, IndexEntry>,
    cells: &CellIndex,
    rstar: &RstarIndex,
) {
    let mut expected: Vec<(f64, &VehicleId)> = plain
        .values()
        .filter(|entry| query.vehicle_type.is_none_or(|kind| *kind == entry.vehicle_type))
        .filter(|entry| query.min_charge.is_none_or(|least| entry.charge >= Some(least)))
        .filter(|entry| query.min_range_m.is_none_or(|least| entry.range_m >= Some(least)))
        .map(|entry| (distance_m(query.center, entry.point), &entry.id))
        .filter(|(distance, _)| *distance <= query.radius_m)
        .collect();
    expected.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
    expected.truncate(query.limit);
    let expected: Vec<(u64, &VehicleId)> =
        expected.iter().map(|(metres, id)| (metres.to_bits(), *id)).collect();
    for (name, found) in [("cells", cells.nearest(query)), ("rstar", rstar.nearest(query))] {
        assert_eq!(bits(&found), expected, "{name}: {query:?}");
    }
}

fn bits(found: &[Neighbour]) -> Vec<(u64, &VehicleId)> {
    found.iter().map(|neighbour| (neighbour.distance_m.to_bits(), &neighbour.id)).collect()
}
