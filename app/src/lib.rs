//! The use cases of the booking data plane, one pattern for all:
//! load, decide (in the core), commit with the version that was read, carry out the effects, feed their results back.
//!
//! [`App`] awaits ports and reads a [`Clock`]. It never sleeps, spawns or logs: hosts do. Every
//! method may be called from any number of tasks and processes at once; the store's versions decide who was first.
//!
//! | Module | Use cases |
//! |---|---|
//! | `search` | free vehicles and their prices |
//! | `create` | a new booking, idempotent by key |
//! | `pay` | pay for a booking, hear from the provider |
//! | `ride` | unlock, hear from vehicles, end the trip |
//! | `bookings`, `profile`, `operator` | what is left of the contract |
//! | [`worker`](App::run_due) | deadlines |
//! | [`relay`](App::relay_once) | outbox to bus |
//! | [`notify`](App::notify) | bus to riders |
//! | [`audit`] | proofs over a store |

pub mod audit;
mod bookings;
mod create;
mod effects;
mod error;
mod execute;
mod notify;
mod operator;
mod pay;
mod profile;
mod relay;
mod ride;
mod search;
mod ticket;
pub mod view;
mod worker;

use std::sync::Arc;

use rideplane_core::geo::Zones;
use rideplane_core::policy::Policy;
use rideplane_core::pricing::PlanCatalogue;
use rideplane_core::time::Timestamp;
use rideplane_core::{Context, ids::UserId};
use rideplane_ports::{
    Availability, Clock, CommandSigner, DemandModel, Ids, Inbox, Notifier, Outbox, PaymentGateway, Store,
    VehicleLink,
};

pub use bookings::ListBookings;
pub use create::{Answer, CreateBooking};
pub use error::{AppError, PROBLEM_PREFIX, Problem};
pub use notify::NOTIFIER;
pub use operator::PutVehicle;
pub use pay::Paid;
pub use profile::PutProfile;
pub use relay::Relayed;
pub use ride::{EndTrip, Position, RideCommand, Sent};
pub use search::SearchQuery;
pub use ticket::{CommandEnd, Ticket};
pub use worker::Worked;

/// What the use cases need from the world.
#[derive(Clone)]
pub struct Ports {
    /// Aggregates and commits.
    pub store: Arc<dyn Store>,
    /// Events waiting for the bus.
    pub outbox: Arc<dyn Outbox>,
    /// Events handled already.
    pub inbox: Arc<dyn Inbox>,
    /// Free vehicles.
    pub availability: Arc<dyn Availability>,
    /// The payment provider.
    pub gateway: Arc<dyn PaymentGateway>,
    /// The line to the vehicles.
    pub link: Arc<dyn VehicleLink>,
    /// Messages to riders.
    pub notifier: Arc<dyn Notifier>,
    /// Signatures for commands.
    pub signer: Arc<dyn CommandSigner>,
    /// Surge.
    pub demand: Arc<dyn DemandModel>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Entropy.
    pub ids: Arc<dyn Ids>,
}

/// What the operator decides.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Deadlines and limits.
    pub policy: Policy,
    /// The pricing plans.
    pub plans: PlanCatalogue,
    /// The geofencing zones.
    pub zones: Zones,
}

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub struct App {
    ports: Arc<Ports>,
    settings: Arc<Settings>,
    tickets: Arc<ticket::Tickets>,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The user.
    pub user_id: UserId,
    /// Whether they are an operator.
    pub operator: bool,
}

impl App {
    /// The use cases over these ports.
    #[must_use]
    pub fn new(ports: Ports, settings: Settings) -> Self {
        Self { ports: Arc::new(ports), settings: Arc::new(settings), tickets: Arc::default() }
    }

    /// The ports.
    #[must_use]
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Now, by this app's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    fn context(&self) -> Context<'_> {
        Context::new(self.now(), self.ports.ids.fresh(), &self.settings.policy)
    }
}
