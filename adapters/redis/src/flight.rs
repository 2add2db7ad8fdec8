//! Single flight: of the searches in this process that miss the same cell, one reads it and the others wait for it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rideplane_core::time::Timestamp;
use rideplane_ports::{Listing, Source};
use tokio::sync::watch;

use crate::cells::Cell;

/// What a flight brought.
pub(crate) struct Landed {
    /// The complete content of each of its cells.
    pub(crate) parts: HashMap<Cell, Vec<Listing>>,
    /// From where.
    pub(crate) source: Source,
    /// As of when.
    pub(crate) as_of: Timestamp,
}

type Landing = watch::Receiver<Option<Arc<Landed>>>;

#[derive(Default)]
pub(crate) struct Flights {
    under_way: Mutex<HashMap<Cell, Landing>>,
}

/// The cells that the caller reads, and those that others are reading.
pub(crate) struct Shares<'f> {
    pub(crate) own: Option<Flight<'f>>,
    pub(crate) others: HashMap<Cell, Landing>,
}

/// Cells that this caller reads. Dropped without landing, who waits reads for itself.
pub(crate) struct Flight<'f> {
    flights: &'f Flights,
    pub(crate) cells: Vec<Cell>,
    landing: watch::Sender<Option<Arc<Landed>>>,
}

impl Flights {
    /// Shares out cells between the caller and the flights that are under way.
    pub(crate) fn share(&self, cells: &[Cell]) -> Shares<'_> {
        let mut under_way = self.under_way.lock();
        let (landing, waiting) = watch::channel(None);
        let mut own = Vec::new();
        let mut others = HashMap::new();
        for cell in cells {
            match under_way.get(cell) {
                Some(flight) => {
                    others.insert(*cell, flight.clone());
                }
                None => {
                    under_way.insert(*cell, waiting.clone());
                    own.push(*cell);
                }
            }
        }
        // Not `then_some`: a flight that is made is dropped, which takes the lock.
        let own = (!own.is_empty()).then(|| Flight { flights: self, cells: own, landing });
        Shares { own, others }
    }

    /// Nobody joins the flights to these cells any more: what they bring may be older than a change.
    pub(crate) fn forget(&self, cells: &[Cell]) {
        let mut under_way = self.under_way.lock();
        for cell in cells {
            under_way.remove(cell);
        }
    }
}

impl Flight<'_> {
    /// Hands what was read to all who wait.
    pub(crate) fn land(&self, landed: &Arc<Landed>) {
        self.landing.send_replace(Some(Arc::clone(landed)));
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut under_way = self.flights.under_way.lock();
        for cell in &self.cells {
            // The cell may be somebody else's by now, after a change.
            if under_way.get(cell).is_some_and(|landing| landing.same_channel(&self.landing.subscribe())) {
                under_way.remove(cell);
            }
        }
    }
}

/// Waits for a flight of somebody else. `None` when it never landed.
pub(crate) async fn wait(mut landing: Landing) -> Option<Arc<Landed>> {
    let landed = landing.wait_for(Option::is_some).await.ok()?;
    landed.clone()
}
