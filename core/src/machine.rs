//! The shape that every machine of the core has.

use core::fmt::Debug;

use crate::policy::Policy;
use crate::time::Timestamp;
use uuid::Uuid;

/// All ambient input of a decision, by value: equal arguments give equal answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context<'a> {
    /// The instant at which the command is judged.
    pub now: Timestamp,
    /// 128 fresh random bits, from which every id of this decision is made.
    pub fresh_id: u128,
    /// The numbers of the rules. Deadlines made from them are written into events, so that a later change of
    /// policy never rewrites a promise.
    pub policy: &'a Policy,
}

impl<'a> Context<'a> {
    /// A context at `now` with `fresh_id` as its source of ids.
    #[must_use]
    pub const fn new(now: Timestamp, fresh_id: u128, policy: &'a Policy) -> Self {
        Self { now, fresh_id, policy }
    }

    /// The `n`-th UUIDv7 (RFC 9562, section 5.7) of this decision: `now` in milliseconds and 74 bits
    /// mixed from `fresh_id` and `n`. Ids of one decision differ for different `n`; they name things and are
    /// never a secret.
    ///
    /// ```
    /// use rideplane_core::{Context, policy::Policy, time::Timestamp};
    /// let policy = Policy::default();
    /// let cx = Context::new(Timestamp::from_unix_seconds(1_700_000_000), 7, &policy);
    /// assert_eq!(cx.uuid(0), cx.uuid(0));
    /// assert_ne!(cx.uuid(0), cx.uuid(1));
    /// assert_eq!(cx.uuid(0).get_version_num(), 7);
    /// ```
    #[must_use]
    pub fn uuid(&self, n: u8) -> Uuid {
        let high = (self.fresh_id >> 64) as u64;
        let low = self.fresh_id as u64;
        let a = mix(high ^ mix(low ^ u64::from(n)));
        let b = mix(low.wrapping_add(a));
        let mut bytes = [0_u8; 10];
        for (slot, byte) in bytes.iter_mut().zip(a.to_be_bytes().into_iter().chain(b.to_be_bytes())) {
            *slot = byte;
        }
        let millis = u64::try_from(self.now.as_micros().div_euclid(1_000)).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection that spreads every input bit.
const fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A decider: state, commands judged into events, events folded into state, and the next deadline.
pub trait Machine {
    /// What is remembered.
    type State: Clone + Debug + Eq;
    /// What is asked.
    type Command: Debug;
    /// What happened, past tense.
    type Event: Clone + Debug + Eq;
    /// Why a command is refused: one closed enum per machine.
    type Rejection: core::error::Error;
    /// Why the next deadline exists.
    type DeadlineReason: Copy + Debug + Eq;

    /// Judges a command. A repeat of something already true is `Ok` with no events.
    ///
    /// # Errors
    /// The rejection that names why this state does not admit this command.
    fn decide(
        state: &Self::State,
        command: &Self::Command,
        cx: &Context<'_>,
    ) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// Applies a fact in place. Total: an event that does not belong to the state leaves it unchanged, so any
    /// history replays.
    fn apply(state: &mut Self::State, event: &Self::Event);

    /// [`apply`](Self::apply) as a fold takes it: the state before to the state after.
    #[must_use]
    fn evolve(mut state: Self::State, event: &Self::Event) -> Self::State {
        Self::apply(&mut state, event);
        state
    }

    /// When the host must next send the machine its `Tick`, and why.
    fn next_deadline(state: &Self::State) -> Option<(Timestamp, Self::DeadlineReason)>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_mixed_from_both_halves_of_the_entropy_and_the_number() {
        let policy = Policy::default();
        let id = |fresh, n| Context::new(Timestamp::from_unix_seconds(1_700_000_000), fresh, &policy).uuid(n);
        // Computed by another program from the words of the documentation. 0x10 is in the entropy's last byte too.
        let expected = "018bcfe5-6800-7e9e-8e40-8fe0c050e550";
        assert_eq!(id(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210, 0x15).to_string(), expected);
        assert_ne!(id(1 << 64, 0), id(0, 0), "the upper half counts");
    }
}
