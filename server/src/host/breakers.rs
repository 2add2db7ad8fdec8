//! A breaker before each port that may be down, and what `/metrics` says of them.

use std::fmt::Write as _;
use std::sync::Arc;

use rideplane_http::MetricSource;
use rideplane_memory::IndexAvailability;
use rideplane_ports::{Availability, Breaker, BreakerState, Clock, Guarded, PaymentGateway, Store};

use crate::defaults;

/// The ports behind their breakers.
pub(crate) struct Breakers {
    pub(crate) store: Arc<Guarded<dyn Store>>,
    pub(crate) gateway: Arc<Guarded<dyn PaymentGateway>>,
    /// Search in the database; the index in this process is never down.
    search: Option<Arc<Guarded<dyn Availability>>>,
}

impl Breakers {
    /// Puts a breaker before each. Returns search too, which is the index in this process when the store has none.
    pub(crate) fn around(
        store: Arc<dyn Store>,
        search: Option<Arc<dyn Availability>>,
        gateway: Arc<dyn PaymentGateway>,
        clock: &Arc<dyn Clock>,
    ) -> (Self, Arc<dyn Availability>) {
        let breakers = Self {
            store: guarded(store, clock),
            gateway: guarded(gateway, clock),
            search: search.map(|search| guarded(search, clock)),
        };
        let search: Arc<dyn Availability> = match &breakers.search {
            Some(search) => search.clone(),
            None => Arc::new(IndexAvailability::new()),
        };
        (breakers, search)
    }
}

fn guarded<P: ?Sized>(port: Arc<P>, clock: &Arc<dyn Clock>) -> Arc<Guarded<P>> {
    let breaker = Breaker::new(defaults::BREAKER_FAILURES, defaults::BREAKER_OPEN);
    Arc::new(Guarded::new(port, breaker, clock.clone()))
}

impl MetricSource for Breakers {
    fn write(&self, out: &mut String) {
        let mut rows = vec![
            ("store", self.store.state(), self.store.refused()),
            ("gateway", self.gateway.state(), self.gateway.refused()),
        ];
        rows.extend(self.search.iter().map(|search| ("search", search.state(), search.refused())));
        // Writing to a String can't fail.
        let _ = writeln!(
            out,
            "# HELP rideplane_breaker_state 0 calls pass, 1 one call tries, 2 calls fail at once.\n\
             # TYPE rideplane_breaker_state gauge"
        );
        for (port, state, _) in &rows {
            let state = match state {
                BreakerState::Closed { .. } => 0,
                BreakerState::HalfOpen { .. } => 1,
                BreakerState::Open { .. } => 2,
            };
            let _ = writeln!(out, "rideplane_breaker_state{{port=\"{port}\"}} {state}");
        }
        let _ = writeln!(
            out,
            "# HELP rideplane_breaker_refused_total Calls that failed at once.\n\
             # TYPE rideplane_breaker_refused_total counter"
        );
        for (port, _, refused) in &rows {
            let _ = writeln!(out, "rideplane_breaker_refused_total{{port=\"{port}\"}} {refused}");
        }
    }
}
