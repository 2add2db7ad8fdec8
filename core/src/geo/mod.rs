//! Where things are: points, great-circle distance, the nearest-vehicle index and geofencing zones.
//!
//! Sines and arcsines come from the `libm` crate and not from the platform, and every other operation used is
//! correctly rounded by IEEE 754, so a distance is the same number, bit for bit, on a server and in a browser.

mod index;
mod point;
mod zones;

pub use index::{CellIndex, IndexEntry, NearestQuery, Neighbour, RstarIndex, VehicleIndex};
pub use point::{EARTH_RADIUS_M, InvalidPoint, Point, distance_m};
pub use zones::{Verdict, ZoneError, ZoneRef, Zones};
