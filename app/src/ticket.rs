//! Waiting for a vehicle without a runtime: whoever sends a command takes a ticket, whoever hears the ack settles it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_channel::oneshot;
use rideplane_core::ids::CommandId;

/// How a command to a vehicle ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandEnd {
    /// The vehicle did it.
    Done,
    /// The vehicle refused, or could not.
    Refused,
}

/// Resolves when this process hears how the command ended. A host waits on it with a time limit of its own; when another
/// process hears the ack, the booking's state tells.
pub type Ticket = oneshot::Receiver<CommandEnd>;

#[derive(Default)]
pub(crate) struct Tickets {
    waiting: Mutex<BTreeMap<CommandId, Vec<oneshot::Sender<CommandEnd>>>>,
}

impl Tickets {
    pub(crate) fn take(&self, command: CommandId) -> Ticket {
        let (sender, ticket) = oneshot::channel();
        let mut waiting = self.lock();
        // Whoever gave up waiting leaves a closed channel behind.
        waiting.retain(|_, senders| {
            senders.retain(|sender| !sender.is_canceled());
            !senders.is_empty()
        });
        waiting.entry(command).or_default().push(sender);
        ticket
    }

    pub(crate) fn settle(&self, command: CommandId, end: CommandEnd) {
        let senders = self.lock().remove(&command);
        for sender in senders.into_iter().flatten() {
            // A waiter that is gone needs no answer.
            let _ = sender.send(end);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<CommandId, Vec<oneshot::Sender<CommandEnd>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
