//! What the provider has on its books: intents, refunds, and the answer to every key.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;

use rideplane_core::ids::{GatewayKey, PaymentIntentId, RefundId};
use rideplane_core::money::{Currency, Money};
use rideplane_core::payment::{GatewayCall, IntentSnapshot, RefundSnapshot, RefundStatus};
use rideplane_core::time::{Span, Timestamp};
use rideplane_ports::{Kind, PortError};
use serde::{Deserialize, Serialize};

use super::intent::Intent;
use super::{GatewayFault, Totals};
use crate::journal::Journal;

/// Stripe may forget a key after this time, so this gateway does.
const KEY_LASTS: Span = Span::from_minutes(24 * 60);

/// The answer to a call, as it is saved under the key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "nearly all are intents")]
pub(super) enum Answer {
    Intent(IntentSnapshot),
    Refund(RefundSnapshot),
    Refused(Refusal),
    /// 500.
    Failed,
}

/// A definite no.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Refusal {
    found: bool,
    message: String,
}

impl Refusal {
    pub(super) const fn rejected(message: String) -> Self {
        Self { found: true, message }
    }

    fn missing(what: &impl std::fmt::Display) -> Self {
        Self { found: false, message: format!("resource_missing: {what} is not known here") }
    }

    pub(super) fn error(self, operation: &'static str) -> PortError {
        let kind = if self.found { Kind::Rejected } else { Kind::NotFound };
        PortError::new(kind, operation, self.message)
    }
}

/// A key that was used.
#[derive(Default)]
struct Known {
    since: Timestamp,
    uses: u32,
    saved: Option<(GatewayCall, Answer)>,
}

/// One line of the journal: what one call changed.
#[derive(Serialize, Deserialize)]
struct Line {
    at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    saved: Option<(GatewayCall, Answer)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    intent: Option<Intent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refund: Option<RefundSnapshot>,
}

#[derive(Default)]
pub(super) struct Book {
    intents: HashMap<PaymentIntentId, Intent>,
    refunds: HashMap<RefundId, RefundSnapshot>,
    keys: HashMap<GatewayKey, Known>,
    ages: VecDeque<(Timestamp, GatewayKey)>,
    journal: Option<Journal>,
}

impl Book {
    pub(super) fn open(path: &Path, now: Timestamp) -> Result<Self, PortError> {
        let mut book = Self::default();
        let mut journal = Journal::open(path, "gateway.open", |line: Line| book.adopt(line))?;
        book.forget_keys(now);
        let live = book.intents.len() + book.refunds.len() + book.keys.len();
        journal.shorten(live, book.lines(now))?;
        book.journal = Some(journal);
        Ok(book)
    }

    fn lines(&self, now: Timestamp) -> impl Iterator<Item = Line> {
        let empty = move || Line { at: now, saved: None, intent: None, refund: None };
        let intents = self.intents.values().cloned();
        let refunds = self.refunds.values().cloned();
        let keys = self.ages.iter().filter_map(|(since, key)| {
            let saved = self.keys.get(key)?.saved.clone()?;
            Some((*since, saved))
        });
        intents
            .map(move |intent| Line { intent: Some(intent), ..empty() })
            .chain(refunds.map(move |refund| Line { refund: Some(refund), ..empty() }))
            .chain(keys.map(move |(at, saved)| Line { at, saved: Some(saved), ..empty() }))
    }

    fn adopt(&mut self, line: Line) {
        if let Some(intent) = line.intent {
            self.intents.insert(intent.id.clone(), intent);
        }
        if let Some(refund) = line.refund {
            self.refunds.insert(refund.refund.clone(), refund);
        }
        if let Some((call, answer)) = line.saved
            && let Some(key) = key_of(&call).cloned()
        {
            self.known(&key, line.at).saved = Some((call, answer));
        }
    }

    /// Writes it down, then makes it so.
    fn commit(&mut self, line: Line) -> Result<(), PortError> {
        if let Some(journal) = &mut self.journal {
            journal.append(&line)?;
        }
        self.adopt(line);
        Ok(())
    }

    fn known(&mut self, key: &GatewayKey, now: Timestamp) -> &mut Known {
        self.keys.entry(key.clone()).or_insert_with(|| {
            self.ages.push_back((now, key.clone()));
            Known { since: now, uses: 0, saved: None }
        })
    }

    fn forget_keys(&mut self, now: Timestamp) {
        while self.ages.front().is_some_and(|(since, _)| since.plus(KEY_LASTS) <= now) {
            if let Some((since, key)) = self.ages.pop_front()
                && self.keys.get(&key).is_some_and(|known| known.since == since)
            {
                self.keys.remove(&key);
            }
        }
    }

    /// Counts a try, and says how many there were before it.
    pub(super) fn count(&mut self, call: &GatewayCall, now: Timestamp) -> u32 {
        self.forget_keys(now);
        let uses = match (key_of(call), call) {
            (Some(key), _) => Some(&mut self.known(key, now).uses),
            (None, GatewayCall::FetchIntent { intent }) => {
                self.intents.get_mut(intent).map(|intent| &mut intent.reads)
            }
            (None, _) => None,
        };
        uses.map_or(0, |uses| std::mem::replace(uses, uses.saturating_add(1)))
    }

    /// Carries a call out, one with a key only once. Of the faults only the provider's own matter here.
    pub(super) fn carry_out(
        &mut self,
        call: GatewayCall,
        now: Timestamp,
        fault: GatewayFault,
        effect: impl FnOnce(&Self, &GatewayCall) -> Result<Change, Refusal>,
    ) -> Result<Answer, PortError> {
        self.forget_keys(now);
        let saved = key_of(&call).and_then(|key| self.keys.get(key)?.saved.as_ref());
        if let Some((first, answer)) = saved {
            if *first == call {
                return Ok(answer.clone());
            }
            let message = "idempotency_error: this key was used for another request, use a new one";
            return Err(PortError::new(Kind::Rejected, operation(&call), message));
        }
        check_amount(&call)?;
        let change = match fault {
            GatewayFault::ServerError { after_effect: false } => Ok(Change::none(Answer::Failed)),
            GatewayFault::ServerError { after_effect: true } => {
                effect(self, &call).map(|change| Change { answer: Answer::Failed, ..change })
            }
            GatewayFault::None
            | GatewayFault::Unavailable
            | GatewayFault::RateLimited
            | GatewayFault::KeyInUse
            | GatewayFault::LoseAnswer => effect(self, &call),
        };
        let Change { answer, intent, refund } =
            change.unwrap_or_else(|refusal| Change::none(Answer::Refused(refusal)));
        // A read leaves no trace.
        if key_of(&call).is_some() {
            self.commit(Line { at: now, saved: Some((call, answer.clone())), intent, refund })?;
        }
        Ok(answer)
    }

    /// Changes an intent on behalf of the customer's device: no key.
    pub(super) fn change(
        &mut self,
        id: &PaymentIntentId,
        now: Timestamp,
        operation: &'static str,
        change: impl FnOnce(&mut Intent) -> Result<(), Refusal>,
    ) -> Result<IntentSnapshot, PortError> {
        let mut intent = self.intent(id, now).map_err(|refusal| refusal.error(operation))?;
        change(&mut intent).map_err(|refusal| refusal.error(operation))?;
        let snapshot = intent.snapshot();
        self.commit(Line { at: now, saved: None, intent: Some(intent), refund: None })?;
        Ok(snapshot)
    }

    pub(super) fn intent(&self, id: &PaymentIntentId, now: Timestamp) -> Result<Intent, Refusal> {
        self.intents.get(id).map(|intent| intent.clone().at(now)).ok_or_else(|| Refusal::missing(id))
    }

    pub(super) fn refund(&self, id: &RefundId) -> Result<RefundSnapshot, Refusal> {
        self.refunds.get(id).cloned().ok_or_else(|| Refusal::missing(id))
    }

    pub(super) fn totals(&self, now: Timestamp) -> BTreeMap<Currency, Totals> {
        let mut sums: BTreeMap<Currency, [i64; 5]> = BTreeMap::new();
        for intent in self.intents.values().filter(|intent| intent.authorized) {
            let intent = intent.clone().at(now);
            let open = intent.open();
            let released = intent.amount - intent.received - open;
            let moved = [intent.amount, intent.received, released, intent.refunded, open];
            let sum = sums.entry(intent.currency).or_default();
            for (sum, moved) in sum.iter_mut().zip(moved) {
                *sum = sum.saturating_add(moved);
            }
        }
        let totals = sums.into_iter().map(|(currency, sum)| {
            let [authorized, captured, released, refunded, open] =
                sum.map(|minor| Money::from_minor(minor, currency));
            (currency, Totals { authorized, captured, released, refunded, open })
        });
        totals.collect()
    }
}

/// What a call leads to.
pub(super) struct Change {
    answer: Answer,
    intent: Option<Intent>,
    refund: Option<RefundSnapshot>,
}

impl Change {
    pub(super) const fn none(answer: Answer) -> Self {
        Self { answer, intent: None, refund: None }
    }

    pub(super) fn intent(intent: Intent) -> Self {
        Self { answer: Answer::Intent(intent.snapshot()), intent: Some(intent), refund: None }
    }

    pub(super) fn refund(refund: RefundId, amount: Money, intent: Intent) -> Self {
        let id = Some(intent.id.clone());
        let refund = RefundSnapshot { refund, intent: id, amount, status: RefundStatus::Succeeded };
        Self { answer: Answer::Refund(refund.clone()), intent: Some(intent), refund: Some(refund) }
    }
}

const fn key_of(call: &GatewayCall) -> Option<&GatewayKey> {
    match call {
        GatewayCall::CreateIntent { key, .. }
        | GatewayCall::ConfirmIntent { key, .. }
        | GatewayCall::CaptureIntent { key, .. }
        | GatewayCall::CancelIntent { key, .. }
        | GatewayCall::CreateRefund { key, .. } => Some(key),
        GatewayCall::FetchIntent { .. } | GatewayCall::FetchRefund { .. } => None,
    }
}

pub(super) const fn operation(call: &GatewayCall) -> &'static str {
    match call {
        GatewayCall::CreateIntent { .. } => "gateway.create_intent",
        GatewayCall::ConfirmIntent { .. } => "gateway.confirm_intent",
        GatewayCall::CaptureIntent { .. } => "gateway.capture_intent",
        GatewayCall::CancelIntent { .. } => "gateway.cancel_intent",
        GatewayCall::CreateRefund { .. } => "gateway.create_refund",
        GatewayCall::FetchIntent { .. } => "gateway.fetch_intent",
        GatewayCall::FetchRefund { .. } => "gateway.fetch_refund",
    }
}

/// A request that is not valid is answered before it begins, so nothing is saved under its key.
fn check_amount(call: &GatewayCall) -> Result<(), PortError> {
    match call {
        GatewayCall::CreateIntent { amount, .. }
        | GatewayCall::CaptureIntent { amount, .. }
        | GatewayCall::CreateRefund { amount, .. }
            if !amount.is_positive() =>
        {
            let message = format!("parameter_invalid_integer: {amount} is not an amount, give more than 0");
            Err(PortError::new(Kind::Rejected, operation(call), message))
        }
        GatewayCall::CreateIntent { .. }
        | GatewayCall::ConfirmIntent { .. }
        | GatewayCall::CaptureIntent { .. }
        | GatewayCall::CancelIntent { .. }
        | GatewayCall::CreateRefund { .. }
        | GatewayCall::FetchIntent { .. }
        | GatewayCall::FetchRefund { .. } => Ok(()),
    }
}
