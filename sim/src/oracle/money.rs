//! Money: the ledger's accounts, the provider's books, and what the two must have in common.

use std::collections::BTreeMap;

use rideplane_core::ids::BookingId;
use rideplane_core::time::{Span, Timestamp};
use rideplane_ports::{Commit, LedgerAccount};

use super::{Oracle, Phase, Rule};
use crate::ports::provider::{Books, Intent};

/// The postings of one booking, minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    authorized: i64,
    captured: i64,
    released: i64,
    refunded: i64,
}

/// The same, as the provider has it.
#[derive(Clone, Copy, Debug, Default)]
struct Statement {
    held: i64,
    received: i64,
    refunded: i64,
    intents: u32,
}

impl Oracle {
    pub(super) fn posted(&mut self, commit: &Commit, now: Timestamp) {
        for entry in &commit.ledger {
            let account = self.accounts.entry(entry.booking_id).or_default();
            let minor = entry.amount.to_minor();
            match entry.account {
                LedgerAccount::Authorized => account.authorized += minor,
                LedgerAccount::Captured => account.captured += minor,
                LedgerAccount::Released => account.released += minor,
                LedgerAccount::Refunded => account.refunded += minor,
            }
            let Account { authorized, captured, released, refunded } = *account;
            let sound = captured + released <= authorized && refunded <= captured;
            let id = entry.booking_id;
            self.require(Rule::Bank, sound, now, || vec![id.to_string()], || {
                format!("authorized {authorized}, captured {captured}, released {released}, refunded {refunded}")
            });
        }
    }

    /// The provider's books moved.
    pub(crate) fn provider_moved(&mut self, before: &Intent, after: &Intent, now: Timestamp) {
        if after.received == before.received {
            return;
        }
        let id = after.booking;
        self.require(
            Rule::OneCapture,
            after.captures <= 1,
            now,
            || vec![id.to_string()],
            || format!("captured {} times", after.captures),
        );
        let fare = self.model.bookings.get(&id).and_then(|booked| booked.fare);
        let ridden = fare.is_some_and(|fare| fare > 0);
        self.require(
            Rule::OneCapture,
            ridden,
            now,
            || vec![id.to_string()],
            || format!("{} was captured for a ride that has no price", after.received),
        );
        let owed = fare.unwrap_or(0).min(after.amount);
        self.require(
            Rule::Bank,
            after.received <= owed,
            now,
            || vec![id.to_string()],
            || format!("{} was captured of {owed} that the ride costs", after.received),
        );
    }

    /// So many intents of one booking hold money at once.
    pub(crate) fn held(&mut self, id: BookingId, holds: usize, now: Timestamp) {
        let name = || vec![id.to_string()];
        self.require(Rule::OneHold, holds <= 1, now, name, || format!("{holds} holds stand at once"));
    }

    /// No hold stands on a booking that has been over for `bound`.
    pub(crate) fn dead_holds(&mut self, books: &Books, bound: Span, now: Timestamp) {
        let holding = books.intents.values().filter(|intent| intent.held > 0);
        let over: Vec<(BookingId, i64)> = holding
            .filter(|intent| {
                let booked = self.model.bookings.get(&intent.booking);
                booked.and_then(|booked| booked.over_since).is_some_and(|since| since.plus(bound) < now)
            })
            .map(|intent| (intent.booking, intent.held))
            .collect();
        self.check(Rule::NoHoldLeft);
        for (id, held) in over {
            let found = format!("{held} are held for a booking that was over {} s ago", bound.as_seconds());
            self.broken(Rule::NoHoldLeft, now, vec![id.to_string()], found);
        }
    }

    /// At the end both books say the same.
    pub(crate) fn books_agree(&mut self, books: &Books, now: Timestamp) {
        let mut statements: BTreeMap<BookingId, Statement> = BTreeMap::new();
        for intent in books.intents.values() {
            let statement = statements.entry(intent.booking).or_default();
            statement.held += intent.held;
            statement.received += intent.received;
            statement.refunded += intent.refunded;
            statement.intents += 1;
        }
        let ids: Vec<BookingId> = self.model.bookings.keys().copied().collect();
        for id in ids {
            let account = self.accounts.get(&id).copied().unwrap_or_default();
            let statement = statements.remove(&id).unwrap_or_default();
            let mut wrong = Vec::new();
            if (account.captured, account.refunded) != (statement.received, statement.refunded) {
                wrong.push(format!(
                    "the ledger has {} captured and {} refunded, the provider {} and {}",
                    account.captured, account.refunded, statement.received, statement.refunded
                ));
            }
            let open = account.authorized - account.captured - account.released;
            if open != statement.held {
                wrong.push(format!("the ledger has {open} open, the provider holds {}", statement.held));
            }
            let booked = &self.model.bookings[&id];
            let asked = booked.created_as.len();
            if statement.intents as usize > asked {
                wrong.push(format!("{} payment intents, asked for {asked} times", statement.intents));
            }
            let net = statement.received - statement.refunded;
            if booked.phase != Phase::Ended && net != 0 {
                wrong.push(format!("{net} were charged without a ride"));
            }
            if let (Phase::Ended, Some(fare)) = (booked.phase, booked.fare)
                && net > fare
            {
                wrong.push(format!("{net} were charged for a ride of {fare}"));
            }
            self.check(Rule::Bank);
            for found in wrong {
                self.broken(Rule::Bank, now, vec![id.to_string()], found);
            }
        }
        for id in statements.into_keys() {
            self.broken(Rule::Bank, now, vec![id.to_string()], "an intent for a booking that does not exist");
        }
    }
}
