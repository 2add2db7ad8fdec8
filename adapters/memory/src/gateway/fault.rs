//! Trouble on request.

use rideplane_core::payment::GatewayCall;
use sha2::{Digest as _, Sha256};

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GatewayFault {
    /// Nothing.
    #[default]
    None,
    /// The provider can't be reached: no effect, nothing saved.
    Unavailable,
    /// Too many requests (429), which Stripe answers before its idempotency layer: no effect, nothing saved.
    RateLimited,
    /// The key is in use by a request that is still under way (409): no effect, nothing saved.
    KeyInUse,
    /// The call is carried out and its answer saved; the answer gets lost on the way back.
    LoseAnswer,
    /// The provider fails (500). The answer is saved under the key, and repeated for ever.
    ServerError {
        /// Whether it fails after the effect or before.
        after_effect: bool,
    },
}

/// Decides what goes wrong. Equal arguments should give equal answers, so that a run can be repeated whatever the order
/// of its calls. It must not call the gateway.
pub trait FaultPlan: Send + Sync {
    /// The fault of this call. `earlier` says how often the same key (or, for a read, the same intent or refund) was
    /// tried before.
    fn decide(&self, call: &GatewayCall, earlier: u32) -> GatewayFault;
}

impl<F: Fn(&GatewayCall, u32) -> GatewayFault + Send + Sync> FaultPlan for F {
    fn decide(&self, call: &GatewayCall, earlier: u32) -> GatewayFault {
        self(call, earlier)
    }
}

/// Faults decided by a hash of the seed, the key and the try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeededFaults {
    /// Another seed, other faults.
    pub seed: u64,
    /// Of a thousand calls so many find nobody.
    pub unavailable_per_mille: u16,
    /// Of a thousand calls so many lose their answer.
    pub lost_answer_per_mille: u16,
    /// Of a thousand calls so many fail at the provider before the effect.
    pub error_before_per_mille: u16,
    /// Of a thousand calls so many fail at the provider after the effect.
    pub error_after_per_mille: u16,
}

impl FaultPlan for SeededFaults {
    fn decide(&self, call: &GatewayCall, earlier: u32) -> GatewayFault {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_be_bytes());
        hash.update(earlier.to_be_bytes());
        match call {
            GatewayCall::CreateIntent { key, .. }
            | GatewayCall::ConfirmIntent { key, .. }
            | GatewayCall::CaptureIntent { key, .. }
            | GatewayCall::CancelIntent { key, .. }
            | GatewayCall::CreateRefund { key, .. } => hash.update(key.as_str()),
            GatewayCall::FetchIntent { intent } => hash.update(intent.as_str()),
            GatewayCall::FetchRefund { refund } => hash.update(refund.as_str()),
        }
        let [high, low, ..]: [u8; 32] = hash.finalize().into();
        let drawn = u32::from(u16::from_be_bytes([high, low])) * 1_000 / 65_536;
        let faults = [
            (self.unavailable_per_mille, GatewayFault::Unavailable),
            (self.lost_answer_per_mille, GatewayFault::LoseAnswer),
            (self.error_before_per_mille, GatewayFault::ServerError { after_effect: false }),
            (self.error_after_per_mille, GatewayFault::ServerError { after_effect: true }),
        ];
        let mut below = 0;
        for (per_mille, fault) in faults {
            below += u32::from(per_mille);
            if drawn < below {
                return fault;
            }
        }
        GatewayFault::None
    }
}
