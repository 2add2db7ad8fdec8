//! What a cell's key holds: positions and flags, no prices.

use rideplane_core::charge::Charge;
use rideplane_core::fleet::{FormFactor, PropulsionType};
use rideplane_core::geo::{Point, distance_m};
use rideplane_core::ids::{PlanId, VehicleId, VehicleTypeId};
use rideplane_core::time::Timestamp;
use rideplane_ports::{Listing, Nearest};
use serde::{Deserialize, Serialize};

/// The first byte. Another number is another layout, which reads as no entry.
const LAYOUT: u8 = 1;

/// The complete content of a cell at one time.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Content<'a> {
    /// When it was read from the inner search, microseconds of Unix time.
    pub(crate) as_of: i64,
    /// Until when it may be served, by the host's clock. Redis has a time of its own besides.
    pub(crate) expires_at: i64,
    #[serde(borrow)]
    vehicles: Vec<Entry<'a>>,
}

/// A vehicle that borrows from what was read, so that one that is not shown costs no allocation.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry<'a> {
    id: &'a str,
    vehicle_type: &'a str,
    form_factor: FormFactor,
    propulsion_type: PropulsionType,
    plan_id: &'a str,
    lat: f64,
    lon: f64,
    charge: Option<u16>,
    range_m: Option<u32>,
    last_reported: i64,
}

impl<'a> Entry<'a> {
    fn new(listing: &'a Listing) -> Self {
        Self {
            id: listing.vehicle_id.as_str(),
            vehicle_type: listing.vehicle_type.as_str(),
            form_factor: listing.form_factor,
            propulsion_type: listing.propulsion_type,
            plan_id: listing.plan_id.as_str(),
            lat: listing.position.lat(),
            lon: listing.position.lon(),
            charge: listing.charge.map(Charge::as_basis_points),
            range_m: listing.range_m,
            last_reported: listing.last_reported.as_micros(),
        }
    }

    fn listing(&self) -> Option<Listing> {
        Some(Listing {
            vehicle_id: VehicleId::new(self.id).ok()?,
            vehicle_type: VehicleTypeId::new(self.vehicle_type).ok()?,
            form_factor: self.form_factor,
            propulsion_type: self.propulsion_type,
            plan_id: PlanId::new(self.plan_id).ok()?,
            position: Point::new(self.lat, self.lon).ok()?,
            charge: self.charge.map(Charge::from_basis_points),
            range_m: self.range_m,
            last_reported: Timestamp::from_micros(self.last_reported),
        })
    }
}

/// The bytes of a cell.
pub(crate) fn encode(vehicles: &[Listing], as_of: Timestamp, expires_at: Timestamp) -> Option<Vec<u8>> {
    let content = Content {
        as_of: as_of.as_micros(),
        expires_at: expires_at.as_micros(),
        vehicles: vehicles.iter().map(Entry::new).collect(),
    };
    postcard::to_extend(&content, vec![LAYOUT]).ok()
}

/// The content of a cell, if the bytes are one.
pub(crate) fn decode(bytes: &[u8]) -> Option<Content<'_>> {
    let (layout, rest) = bytes.split_first()?;
    (*layout == LAYOUT).then(|| postcard::from_bytes(rest).ok()).flatten()
}

/// The best of what was offered: nearest first, ties by id, filtered, within radius and limit.
pub(crate) struct Ranking<'q, 'a> {
    query: &'q Nearest,
    found: Vec<(f64, Entry<'a>)>,
}

impl<'q, 'a> Ranking<'q, 'a> {
    pub(crate) fn new(query: &'q Nearest) -> Self {
        Self { query, found: Vec::new() }
    }

    pub(crate) fn offer(&mut self, content: Content<'a>) {
        content.vehicles.into_iter().for_each(|entry| self.consider(entry));
    }

    pub(crate) fn offer_listings(&mut self, listings: &'a [Listing]) {
        listings.iter().for_each(|listing| self.consider(Entry::new(listing)));
    }

    fn consider(&mut self, entry: Entry<'a>) {
        let query = self.query;
        let kind = query.vehicle_type.as_ref().is_none_or(|kind| kind.as_str() == entry.vehicle_type);
        let full = query.min_charge.is_none_or(|least| {
            entry.charge.is_some_and(|charge| Charge::from_basis_points(charge) >= least)
        });
        let far = query.min_range_m.is_none_or(|least| entry.range_m.is_some_and(|range| range >= least));
        if !(kind && full && far) {
            return;
        }
        let Ok(position) = Point::new(entry.lat, entry.lon) else { return };
        let distance = distance_m(query.center, position);
        if distance <= query.radius_m {
            self.found.push((distance, entry));
        }
    }

    /// How many were found, beyond the limit too.
    pub(crate) fn len(&self) -> usize {
        self.found.len()
    }

    /// The result. `None` when an entry is none of ours.
    pub(crate) fn finish(mut self) -> Option<Vec<(Listing, f64)>> {
        let order = |(a, x): &(f64, Entry<'_>), (b, y): &(f64, Entry<'_>)| {
            a.total_cmp(b).then_with(|| x.id.cmp(y.id))
        };
        let limit = self.query.limit;
        if limit > 0 && self.found.len() > limit {
            self.found.select_nth_unstable_by(limit - 1, order);
        }
        self.found.truncate(limit);
        self.found.sort_unstable_by(order);
        self.found.iter().map(|(distance, entry)| Some((entry.listing()?, *distance))).collect()
    }
}
