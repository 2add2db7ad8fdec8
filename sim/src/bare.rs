//! The app on its own: the same store, provider, vehicles and signatures, and nothing that can go wrong between them.
//!
//! A simulation is this and all that it adds: wires, a clockwork, heartbeats, oracles. So it can't be faster, and where the
//! time goes is seen by comparing the two.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use parking_lot::Mutex;
use rideplane_app::{App, CreateBooking, EndTrip, NOTIFIER, Ports, SearchQuery, Sent, Settings};
use rideplane_core::booking::Status;
use rideplane_core::ids::{PaymentMethodId, UserId};
use rideplane_memory::{LogNotifier, MemoryBus, MemoryStore, NoSurge};
use rideplane_ports::{EventSource as _, FromVehicle, IdempotencyKey};

use crate::actors::fleet::Fleet;
use crate::episode::now_or_never;
use crate::faults::Profile;
use crate::net::{Happening, Net};
use crate::oracle::Oracle;
use crate::ports::host::{Broker, ServerClock, SimIds, SimSigner};
use crate::ports::provider::{GOOD, Provider};
use crate::ports::search::ListSearch;
use crate::rng::Rng;
use crate::signatures::{Scheme, Signatures};
use crate::world::{START, plans, registration};

const S: i64 = 1_000_000;
/// As many as a middling seed of the simulation has.
const VEHICLES: usize = 4;
const BOOKINGS: u64 = 80;

/// Runs so many journeys from search to receipt, and tells how long they took.
///
/// # Errors
/// When a journey does not end in a receipt.
///
/// ```
/// let took = rideplane_sim::bare(10)?;
/// assert!(!took.is_zero());
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn bare(bookings: u64) -> Result<Duration> {
    let began = Instant::now();
    for first in (0..bookings).step_by(BOOKINGS as usize) {
        let world = Bare::new(first)?;
        for number in first..bookings.min(first + BOOKINGS) {
            world.journey(number).with_context(|| format!("journey {number}"))?;
        }
    }
    Ok(began.elapsed())
}

struct Bare {
    net: Arc<Net>,
    fleet: Arc<Fleet>,
    app: App,
    bus: MemoryBus,
}

/// What a call answers when nothing behind it waits.
fn at_once<T, E>(call: impl Future<Output = Result<T, E>>) -> Result<T>
where
    anyhow::Error: From<E>,
{
    Ok(now_or_never(call).context("a port that answers at once has waited")??)
}

impl Bare {
    fn new(seed: u64) -> Result<Self> {
        let net = Net::new(seed, Profile::None.rates(seed), 1, START, false);
        let oracle = Arc::new(Mutex::new(Oracle::default()));
        let signatures = Signatures::shared(Scheme::KeyedHash);
        let fleet = Arc::new(Fleet::new(
            Arc::clone(&net),
            Arc::clone(&oracle),
            Arc::clone(&signatures),
            VEHICLES,
            None,
        ));
        let store = Arc::new(MemoryStore::new());
        let ports = Ports {
            store: Arc::clone(&store) as _,
            outbox: Arc::clone(&store) as _,
            inbox: store,
            availability: Arc::new(ListSearch::default()),
            gateway: Arc::new(Provider::new(Arc::clone(&net), oracle, None)),
            link: Arc::new(Broker { fleet: Arc::clone(&fleet) }),
            notifier: Arc::new(LogNotifier),
            signer: Arc::new(SimSigner { signatures: Arc::clone(&signatures) }),
            demand: Arc::new(NoSurge),
            clock: Arc::new(ServerClock { net: Arc::clone(&net), server: 0 }),
            ids: Arc::new(SimIds { rng: Mutex::new(Rng::new(seed, 1)) }),
        };
        let app = App::new(ports, Settings { plans: plans(), ..Settings::default() });
        for n in 0..VEHICLES {
            let (id, put) = registration(&fleet, &signatures, n);
            at_once(app.put_vehicle(&id, &put))?;
            if let Some(report) = fleet.heartbeat(n) {
                at_once(app.vehicle_said(&FromVehicle::Telemetry(report)))?;
            }
        }
        Ok(Self { net, fleet, app, bus: MemoryBus::new(0) })
    }

    fn journey(&self, number: u64) -> Result<()> {
        let user = UserId::new(format!("rider-{}", number % 7))?;
        let query = SearchQuery { lat: 50.11, lon: 8.68, limit: Some(3), ..SearchQuery::default() };
        let found = at_once(self.app.search(&query))?;
        let vehicle_id = found.vehicles.first().context("no vehicle is free")?.vehicle_id.clone();
        let body =
            CreateBooking { vehicle_id: vehicle_id.clone(), start_time: None, estimated_duration: Some(600) };
        let key = IdempotencyKey::new(number.to_string())?;
        let made = at_once(self.app.create_booking(&user, key, [number as u8; 32], &body, None))?;
        let booking = made.booking_id.context("nothing was booked")?;
        at_once(self.app.confirm_payment(&user, booking, Some(PaymentMethodId::new(GOOD)?)))?;
        self.pass(60 * S)?;
        let Sent::Pending(command) = at_once(self.app.unlock(&user, &vehicle_id))? else {
            anyhow::bail!("the vehicle is open already");
        };
        self.pass(2 * S)?;
        at_once(self.app.unlock_result(&user, &command))?.context("the vehicle stays locked")?;
        self.pass(400 * S)?;
        let at = EndTrip { lat: Some(50.11), lon: Some(8.68) };
        if let Sent::Pending(command) = at_once(self.app.end_trip(&user, booking, &at))? {
            self.pass(2 * S)?;
            at_once(self.app.end_trip_result(&user, &command))?;
        }
        self.pass(10 * S)?;
        at_once(self.app.run_due(20, 2))?;
        let status = at_once(self.app.booking(&user, booking))?.status;
        ensure!(status == Status::Completed, "the booking is {}", status.as_str());
        self.publish()
    }

    /// Time passes, and what was on its way arrives.
    fn pass(&self, micros: i64) -> Result<()> {
        let end = self.net.now().as_micros() + micros;
        while let Some((at, what)) = self.net.next(end) {
            self.net.advance_to(at);
            match what {
                Happening::Reaches { vehicle, bytes } => self.fleet.reached(vehicle, &bytes),
                Happening::Ack { vehicle, bytes, .. } => {
                    let said = FromVehicle::Ack { vehicle_id: self.fleet.ids[vehicle].clone(), bytes };
                    at_once(self.app.vehicle_said(&said))?;
                }
                Happening::Hint { reference, .. } => drop(at_once(self.app.payment_hint(reference))?),
                other => anyhow::bail!("{other:?} is nobody's"),
            }
        }
        self.net.advance_to(end);
        Ok(())
    }

    fn publish(&self) -> Result<()> {
        at_once(self.app.relay_once(&self.bus, 200))?;
        while let Some(next) = now_or_never(self.bus.next(NOTIFIER)) {
            let delivery = next?.context("the bus is closed")?;
            at_once(self.app.notify(&delivery.envelope))?;
            at_once(self.bus.acknowledge(NOTIFIER, &delivery))?;
        }
        Ok(())
    }
}
