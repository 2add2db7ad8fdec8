//! Which faults met which request while the booking was in which status.

use rideplane_core::booking::Status;
use serde::{Deserialize, Serialize};

use crate::faults::Fault;

/// What a server is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Nothing that a server does.
    World,
    /// `GET /vehicles/search`
    Search,
    /// `POST /bookings`
    Create,
    /// `POST /bookings/{id}/confirm-payment`
    Pay,
    /// `POST /bookings/{id}/cancel`
    Cancel,
    /// `POST /vehicles/{id}/unlock`
    Unlock,
    /// `POST /bookings/{id}/end-trip`
    EndTrip,
    /// `GET /bookings/{id}`
    View,
    /// A vehicle's signed ack.
    Ack,
    /// A vehicle's telemetry.
    Telemetry,
    /// The worker.
    Tick,
    /// The provider's webhook.
    Webhook,
    /// The operator.
    Operator,
    /// The relay.
    Relay,
    /// The notifier.
    Notify,
}

impl Task {
    /// Every task.
    pub const ALL: [Self; 15] = [
        Self::World,
        Self::Search,
        Self::Create,
        Self::Pay,
        Self::Cancel,
        Self::Unlock,
        Self::EndTrip,
        Self::View,
        Self::Ack,
        Self::Telemetry,
        Self::Tick,
        Self::Webhook,
        Self::Operator,
        Self::Relay,
        Self::Notify,
    ];

    /// The name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::World => "world",
            Self::Search => "search",
            Self::Create => "create",
            Self::Pay => "pay",
            Self::Cancel => "cancel",
            Self::Unlock => "unlock",
            Self::EndTrip => "end trip",
            Self::View => "view",
            Self::Ack => "vehicle ack",
            Self::Telemetry => "telemetry",
            Self::Tick => "tick",
            Self::Webhook => "webhook",
            Self::Operator => "operator",
            Self::Relay => "relay",
            Self::Notify => "notify",
        }
    }
}

const FAULTS: usize = 8;
const STATUSES: usize = Status::ALL.len() + 1;

/// Counts by task, status and fault. The faults are those of port calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    struck: Vec<u64>,
    begun: Vec<u64>,
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            struck: vec![0; Task::ALL.len() * STATUSES * FAULTS],
            begun: vec![0; Task::ALL.len() * STATUSES],
        }
    }
}

fn place(task: Task, status: Option<Status>) -> usize {
    task as usize * STATUSES + status.map_or(0, |status| status as usize + 1)
}

impl Coverage {
    /// The statuses of a row, `None` for "no booking yet".
    pub fn statuses() -> impl Iterator<Item = Option<Status>> {
        std::iter::once(None).chain(Status::ALL.into_iter().map(Some))
    }

    /// The faults that are counted.
    #[must_use]
    pub fn faults() -> &'static [Fault] {
        &Fault::ALL[..FAULTS]
    }

    pub(crate) fn begin(&mut self, task: Task, status: Option<Status>) {
        self.begun[place(task, status)] += 1;
    }

    pub(crate) fn strike(&mut self, task: Task, status: Option<Status>, fault: Fault) {
        self.struck[place(task, status) * FAULTS + fault as usize] += 1;
    }

    /// How often the task met a booking in this status.
    #[must_use]
    pub fn met(&self, task: Task, status: Option<Status>) -> u64 {
        self.begun[place(task, status)]
    }

    /// How often the fault met that.
    #[must_use]
    pub fn of(&self, task: Task, status: Option<Status>, fault: Fault) -> u64 {
        self.struck[place(task, status) * FAULTS + fault as usize]
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        self.struck.iter_mut().zip(&other.struck).for_each(|(sum, more)| *sum += more);
        self.begun.iter_mut().zip(&other.begun).for_each(|(sum, more)| *sum += more);
    }

    /// What was met by a task and never by a fault that strikes others: where to look for what the seeds don't reach.
    #[must_use]
    pub fn gaps(&self) -> Vec<(Task, Option<Status>, Fault)> {
        let mut gaps = Vec::new();
        for task in Task::ALL.into_iter().filter(|task| *task != Task::World) {
            for status in Self::statuses().filter(|status| self.met(task, *status) > 0) {
                let missing = Self::faults().iter().filter(|fault| self.of(task, status, **fault) == 0);
                gaps.extend(missing.map(|fault| (task, status, *fault)));
            }
        }
        gaps
    }

    /// Cells of the table that were reached, and all that could be.
    #[must_use]
    pub fn reached(&self) -> (usize, usize) {
        let (mut reached, mut all) = (0, 0);
        for task in Task::ALL.into_iter().filter(|task| *task != Task::World) {
            for status in Self::statuses().filter(|status| self.met(task, *status) > 0) {
                all += FAULTS;
                reached += Self::faults().iter().filter(|fault| self.of(task, status, **fault) > 0).count();
            }
        }
        (reached, all)
    }
}
