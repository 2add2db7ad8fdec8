//! Both indexes against the plainest possible search, through histories of upserts, moves and removals.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::distance_m;
use super::*;

fn at(lat: f64, lon: f64) -> Point {
    Point::new(lat, lon).unwrap()
}

fn kind(number: u8) -> VehicleTypeId {
    VehicleTypeId::new(format!("type-{number}")).unwrap()
}

fn vehicle(number: u16) -> VehicleId {
    VehicleId::new(format!("v{number}")).unwrap()
}

/// Every vehicle, asked one by one.
#[derive(Default)]
struct Plain(BTreeMap<VehicleId, IndexEntry>);

impl Plain {
    fn nearest(&self, query: &NearestQuery<'_>) -> Vec<(u64, VehicleId)> {
        let mut all: Vec<_> = self
            .0
            .values()
            .filter(|e| query.vehicle_type.is_none_or(|kind| *kind == e.vehicle_type))
            .filter(|e| match query.min_charge {
                None => true,
                Some(least) => e.charge >= Some(least),
            })
            .filter(|e| match query.min_range_m {
                None => true,
                Some(least) => e.range_m >= Some(least),
            })
            .map(|e| (distance_m(query.center, e.point), e.id.clone()))
            .filter(|(distance, _)| *distance <= query.radius_m)
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all.truncate(query.limit);
        all.into_iter().map(|(distance, id)| (distance.to_bits(), id)).collect()
    }
}

fn bits(found: Vec<Neighbour>) -> Vec<(u64, VehicleId)> {
    found.into_iter().map(|n| (n.distance_m.to_bits(), n.id)).collect()
}

#[derive(Default)]
struct All {
    plain: Plain,
    cells: CellIndex,
    rstar: RstarIndex,
}

impl All {
    fn upsert(&mut self, entry: IndexEntry) {
        self.cells.upsert(entry.clone());
        self.rstar.upsert(entry.clone());
        self.plain.0.insert(entry.id.clone(), entry);
    }

    fn remove(&mut self, id: &VehicleId) {
        let there = self.plain.0.remove(id).is_some();
        assert_eq!((self.cells.remove(id), self.rstar.remove(id)), (there, there));
    }

    fn agree_on(&self, query: &NearestQuery<'_>) {
        let expected = self.plain.nearest(query);
        assert_eq!(bits(self.cells.nearest(query)), expected, "cells: {query:?}");
        assert_eq!(bits(self.rstar.nearest(query)), expected, "rstar: {query:?}");
    }

    fn check(&self) {
        self.cells.check();
        assert_eq!((self.cells.len(), self.rstar.len()), (self.plain.0.len(), self.plain.0.len()));
        assert_eq!(self.cells.is_empty(), self.plain.0.is_empty());
        for (id, entry) in &self.plain.0 {
            assert_eq!((self.cells.get(id), self.rstar.get(id)), (Some(entry), Some(entry)));
        }
    }
}

#[test]
fn an_index_is_made_of_many_at_once() {
    let entry = |number| IndexEntry {
        id: vehicle(number),
        point: at(1.0, f64::from(number)),
        vehicle_type: kind(0),
        charge: None,
        range_m: None,
    };
    let cells: CellIndex = (0..100).map(entry).collect();
    let rstar: RstarIndex = (0..100).map(entry).collect();
    assert_eq!((cells.len(), rstar.len()), (100, 100));
    assert_eq!((cells.get(&vehicle(42)), rstar.get(&vehicle(42))), (Some(&entry(42)), Some(&entry(42))));
}

/// Places that hurt: poles, antimeridian, one spot, a lattice of equal distances, a street, the whole earth.
fn any_place() -> impl Strategy<Value = Point> {
    let spot = prop::sample::select(vec![
        at(90.0, 0.0),
        at(90.0, 77.0),
        at(-90.0, -180.0),
        at(0.0, 180.0),
        at(0.0, -180.0),
        at(0.0, 0.0),
        at(0.0, 90.0),
        at(52.52, 13.405),
    ]);
    prop_oneof![
        3 => spot,
        3 => (-5..=5_i32, -5..=5_i32).prop_map(|(y, x)| at(f64::from(y) * 1e-3, f64::from(x) * 1e-3)),
        3 => (-0.01..0.01_f64, -0.01..0.01_f64).prop_map(|(y, x)| at(52.52 + y, 13.405 + x)),
        2 => (-0.02..0.02_f64, -0.02..0.02_f64)
            .prop_map(|(y, x)| at(16.8 + y, if x < 0.0 { 180.0 + x } else { x - 180.0 })),
        2 => (0.0..0.05_f64, -180.0..=180.0_f64).prop_map(|(y, x)| at(90.0 - y, x)),
        1 => (0.0..0.05_f64, -180.0..=180.0_f64).prop_map(|(y, x)| at(y - 90.0, x)),
        2 => (-90.0..=90.0_f64, -180.0..=180.0_f64).prop_map(|(y, x)| at(y, x)),
    ]
}

fn any_charge() -> impl Strategy<Value = Option<Charge>> {
    prop::option::weighted(0.8, prop_oneof![0..=10_000_u16, Just(5_000)].prop_map(Charge::from_basis_points))
}

fn any_entry(ids: u16) -> impl Strategy<Value = IndexEntry> {
    let range = prop::option::weighted(0.8, prop_oneof![0..60_000_u32, Just(20_000)]);
    (0..ids, any_place(), 0..3_u8, any_charge(), range).prop_map(|(id, point, number, charge, range_m)| {
        IndexEntry { id: vehicle(id), point, vehicle_type: kind(number), charge, range_m }
    })
}

#[derive(Clone, Debug)]
enum Step {
    Upsert(IndexEntry),
    /// A vehicle moves this many degrees north and east.
    Move(u16, f64, f64),
    Remove(u16),
}

fn any_step(ids: u16) -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any_entry(ids).prop_map(Step::Upsert),
        3 => (0..ids, -1e-3..1e-3_f64, -1e-3..1e-3_f64).prop_map(|(id, y, x)| Step::Move(id, y, x)),
        2 => (0..ids).prop_map(Step::Remove),
    ]
}

#[derive(Clone, Debug)]
struct Ask {
    center: Point,
    radius_m: f64,
    limit: usize,
    kind: Option<VehicleTypeId>,
    min_charge: Option<Charge>,
    min_range_m: Option<u32>,
}

impl Ask {
    fn query(&self) -> NearestQuery<'_> {
        NearestQuery {
            center: self.center,
            radius_m: self.radius_m,
            limit: self.limit,
            vehicle_type: self.kind.as_ref(),
            min_charge: self.min_charge,
            min_range_m: self.min_range_m,
        }
    }
}

fn any_ask() -> impl Strategy<Value = Ask> {
    let radius = prop_oneof![
        Just(f64::INFINITY),
        Just(0.0),
        0.0..2_000.0_f64,
        0.0..20_100_000.0_f64,
        Just(111.195_080_233_532_9),
    ];
    let limit = prop_oneof![4 => 1..30_usize, 1 => Just(0), 1 => Just(1_000), 1 => Just(usize::MAX)];
    let filters =
        (prop::option::of((0..4_u8).prop_map(kind)), any_charge(), prop::option::of(Just(20_000_u32)));
    (any_place(), radius, limit, filters).prop_map(
        |(center, radius_m, limit, (kind, min_charge, min_range_m))| Ask {
            center,
            radius_m,
            limit,
            kind,
            min_charge,
            min_range_m,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn every_history_gives_the_plain_answer(
        steps in prop::collection::vec(any_step(150), 0..500),
        asks in prop::collection::vec(any_ask(), 12),
    ) {
        let mut all = All::default();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Upsert(entry) => all.upsert(entry),
                Step::Move(id, north, east) => {
                    if let Some(entry) = all.plain.0.get(&vehicle(id)).cloned() {
                        let (lat, lon) = (entry.point.lat() + north, entry.point.lon() + east);
                        let point = at(lat.clamp(-90.0, 90.0), lon.clamp(-180.0, 180.0));
                        all.upsert(IndexEntry { point, ..entry });
                    }
                }
                Step::Remove(id) => all.remove(&vehicle(id)),
            }
            if number % 128 == 0 {
                all.check();
            }
        }
        all.check();
        for ask in &asks {
            all.agree_on(&ask.query());
            // The distance of an answer as the radius: the edge belongs to it, what is closer than it does not
            // fall out, and the next smaller number leaves it out.
            if let Some((edge, _)) = all.plain.nearest(&ask.query()).last() {
                let edge = f64::from_bits(*edge);
                for radius_m in [edge, edge.next_down(), edge.next_up()] {
                    all.agree_on(&NearestQuery { radius_m, ..ask.query() });
                }
            }
        }
    }

    /// Distances that differ by nothing or by an ulp: the order must still be that of the distance, then the id.
    #[test]
    fn near_ties_are_ordered_by_distance_and_then_id(
        center in any_place(),
        spread in prop::sample::select(vec![0.0, 1e-13, 1e-12, 1e-9]),
        offsets in prop::collection::vec((-1.0..1.0_f64, -1.0..1.0_f64), 1..120),
        far in any::<bool>(),
        limit in 1..40_usize,
    ) {
        let mut all = All::default();
        let base = if far { at(-center.lat(), center.lon()) } else { center };
        for (number, (y, x)) in offsets.iter().enumerate() {
            let point = at(
                (base.lat() + y * spread).clamp(-90.0, 90.0),
                (base.lon() + x * spread).clamp(-180.0, 180.0),
            );
            let id = vehicle((number * 7_919 % 1_000) as u16);
            all.upsert(IndexEntry { id, point, vehicle_type: kind(0), charge: None, range_m: None });
        }
        all.check();
        let ask = Ask { center, radius_m: f64::INFINITY, limit, kind: None, min_charge: None, min_range_m: None };
        all.agree_on(&ask.query());
        let opposite = if center.lon() > 0.0 { center.lon() - 180.0 } else { center.lon() + 180.0 };
        all.agree_on(&Ask { center: at(-base.lat(), opposite), ..ask }.query());
    }
}

#[test]
fn a_vehicle_of_unknown_charge_or_range_does_not_meet_a_minimum() {
    let mut all = All::default();
    let base = IndexEntry {
        id: vehicle(0),
        point: at(0.0, 0.0),
        vehicle_type: kind(0),
        charge: None,
        range_m: None,
    };
    all.upsert(base.clone());
    all.upsert(IndexEntry { id: vehicle(1), charge: Some(Charge::EMPTY), range_m: Some(0), ..base.clone() });
    all.upsert(IndexEntry { id: vehicle(2), charge: Some(Charge::FULL), range_m: Some(9), ..base });
    let query = NearestQuery {
        center: at(0.0, 0.0),
        radius_m: 0.0,
        limit: 10,
        vehicle_type: None,
        min_charge: None,
        min_range_m: None,
    };
    let ids = |query: &NearestQuery<'_>| {
        all.agree_on(query);
        all.cells.nearest(query).iter().map(|n| n.id.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids(&query), "v0 v1 v2");
    assert_eq!(ids(&NearestQuery { min_charge: Some(Charge::EMPTY), ..query }), "v1 v2");
    assert_eq!(ids(&NearestQuery { min_charge: Some(Charge::FULL), ..query }), "v2");
    assert_eq!(ids(&NearestQuery { min_range_m: Some(0), ..query }), "v1 v2");
    assert_eq!(ids(&NearestQuery { min_range_m: Some(10), ..query }), "");
    assert_eq!(ids(&NearestQuery { radius_m: f64::NAN, ..query }), "");
    assert_eq!(ids(&NearestQuery { radius_m: -1.0, ..query }), "");
    assert_eq!(ids(&NearestQuery { limit: 0, ..query }), "");
}

#[test]
fn the_way_over_the_antimeridian_and_over_the_pole_is_the_short_one() {
    let mut all = All::default();
    for (number, point) in [
        (0, at(0.0, 179.999)),
        (1, at(0.0, -179.998)),
        (2, at(0.0, 179.9)),
        (3, at(89.999, 10.0)),
        (4, at(89.998, -170.0)),
    ] {
        all.upsert(IndexEntry {
            id: vehicle(number),
            point,
            vehicle_type: kind(0),
            charge: None,
            range_m: None,
        });
    }
    let ids = |center, radius_m| {
        let ask = Ask { center, radius_m, limit: 9, kind: None, min_charge: None, min_range_m: None };
        all.agree_on(&ask.query());
        all.cells.nearest(&ask.query()).iter().map(|n| n.id.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids(at(0.0, -179.999), 1_000.0), "v1 v0");
    assert_eq!(ids(at(89.999, -170.0), 1_000.0), "v4 v3");
}

#[test]
fn thousands_on_one_spot_and_their_departure_leave_the_cells_in_order() {
    let mut all = All::default();
    let entry = |number: u16, point| IndexEntry {
        id: vehicle(number),
        point,
        vehicle_type: kind(0),
        charge: None,
        range_m: None,
    };
    let depot = at(48.1, 11.5);
    for number in 0..2_000 {
        all.upsert(entry(number, depot));
    }
    all.check();
    let ask =
        Ask { center: depot, radius_m: 1.0, limit: 20, kind: None, min_charge: None, min_range_m: None };
    all.agree_on(&ask.query());
    for number in 0..2_000_u16 {
        let step = f64::from(number) * 1e-4;
        all.upsert(entry(number, at(48.0 + step % 0.03, 11.5 + step)));
    }
    all.check();
    all.agree_on(&Ask { radius_m: 9_000.0, ..ask.clone() }.query());
    for number in 0..2_000 {
        if number % 401 != 0 {
            all.remove(&vehicle(number));
        }
    }
    all.check();
    all.agree_on(&Ask { radius_m: f64::INFINITY, ..ask }.query());
}

#[test]
fn a_city_in_motion_gives_the_plain_answer() {
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut all = All::default();
    for number in 0..2_000 {
        // Over the edge between two faces of the cube, which runs along the meridian of 45 degrees.
        let point = at(10.0 + 0.05 * random(), 44.975 + 0.05 * random());
        let vehicle_type = kind((number % 2) as u8);
        all.upsert(IndexEntry { id: vehicle(number), point, vehicle_type, charge: None, range_m: None });
    }
    for _ in 0..2 {
        for number in 0..2_000 {
            let entry = all.plain.0[&vehicle(number)].clone();
            let (north, east) = (1e-3 * (random() - 0.5), 1e-3 * (random() - 0.5));
            let point = at(entry.point.lat() + north, entry.point.lon() + east);
            all.upsert(IndexEntry { point, ..entry });
        }
        all.check();
        for _ in 0..30 {
            let (center, limit) =
                (at(10.0 + 0.05 * random(), 44.975 + 0.05 * random()), 1 + (random() * 60.0) as usize);
            let wanted = Some(kind(0)).filter(|_| random() < 0.7);
            let radius_m = 2_000.0 * random();
            let ask = Ask { center, radius_m, limit, kind: wanted, min_charge: None, min_range_m: None };
            all.agree_on(&ask.query());
        }
    }
}
