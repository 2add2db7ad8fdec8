//! The price promise that a booking is made under.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fare::{Fare, LineItem, PricingError, Surge, Usage, fare};
use super::plan::PricingPlan;
use super::version::PlanVersion;
use crate::ids::QuoteId;
use crate::machine::Context;
use crate::money::{Money, Rounding};
use crate::time::Timestamp;

/// Which id of a decision a quote takes, beside those of the booking and its commands.
const QUOTE_ID: u8 = 10;

/// A plan and a surge, locked for one rider, and what the trip will likely cost under them. It carries the plan
/// itself, not a reference: a later change of the catalogue changes no promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quote {
    /// Identifier of the quote.
    pub quote_id: QuoteId,
    /// The plan that the trip will be charged by.
    pub plan: Arc<PricingPlan>,
    /// The surge that the trip will be charged with; none for a plan without `surge_pricing`.
    pub surge: Surge,
    /// The fare of the estimated usage.
    pub estimate: Money,
    /// What is authorised on the rider's card, so that a longer trip is covered.
    pub hold: Money,
    /// When the promise can no longer be taken up.
    pub expires_at: Timestamp,
    /// How the estimate comes about.
    pub line_items: Vec<LineItem>,
    /// The usage that was estimated.
    pub usage: Usage,
}

impl Quote {
    /// Prices an estimated usage and locks plan and surge. The hold is the estimate times
    /// [`hold_headroom`](crate::policy::Policy::hold_headroom), rounded up to a minor unit, and never less than the
    /// estimate; a free trip holds nothing.
    ///
    /// # Errors
    /// As [`fare`], or when the hold does not fit.
    pub fn make(
        plan: &Arc<PricingPlan>,
        usage: Usage,
        surge: Surge,
        expires_at: Timestamp,
        cx: &Context<'_>,
    ) -> Result<Self, PricingError> {
        let surge = if plan.surge_pricing() { surge } else { Surge::NONE };
        let Fare { total: estimate, line_items, .. } = fare(plan, &usage, surge)?;
        let hold = estimate.times(cx.policy.hold_headroom, Rounding::Up)?.max(estimate)?;
        let quote_id = QuoteId::from_uuid(cx.uuid(QUOTE_ID));
        let plan = Arc::clone(plan);
        Ok(Self { quote_id, plan, surge, estimate, hold, expires_at, line_items, usage })
    }

    /// The version of the locked plan.
    #[must_use]
    pub fn plan_version(&self) -> PlanVersion {
        self.plan.version()
    }

    /// The final fare: what was really used, under the locked plan and surge.
    ///
    /// # Errors
    /// As [`fare`].
    pub fn settle(&self, usage: &Usage) -> Result<Fare, PricingError> {
        fare(&self.plan, usage, self.surge)
    }
}
