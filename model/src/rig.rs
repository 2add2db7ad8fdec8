//! What stays the same in every state: the rules' numbers, the price, the names and the keys.

use std::sync::Arc;

use ed25519_dalek::{Signer as _, SigningKey};
use rideplane_core::Context;
use rideplane_core::fleet::{self, FormFactor, PropulsionType, Vehicle, VehicleKey, VehicleSpec};
use rideplane_core::ids::{KeyId, PlanId, UserId, VehicleId, VehicleTypeId};
use rideplane_core::machine::Machine as _;
use rideplane_core::policy::Policy;
use rideplane_core::pricing::{PricingPlan, Quote, Surge, Usage};
use rideplane_core::time::{Span, Timestamp};
use rideplane_core::unlock::{CommandClaims, Limits, TrustedKeys, Unsigned};

use crate::defects::Defect;
use crate::memo::Memo;
use crate::scope::{Clocks, Scope};

const PLAN: &str = r#"{"plan_id":"p","currency":"EUR","is_taxable":false,"price":"1.00"}"#;

pub(crate) struct Rig {
    pub(crate) scope: Scope,
    pub(crate) defect: Option<Defect>,
    pub(crate) policy: Policy,
    pub(crate) vehicle_id: VehicleId,
    pub(crate) users: [UserId; 2],
    pub(crate) trusted: TrustedKeys,
    pub(crate) limits: Limits,
    pub(crate) memo: Memo,
    plan: Arc<PricingPlan>,
    key_id: KeyId,
    signer: SigningKey,
}

/// The unit of time: every wait of the policy is a small number of them, so that different histories meet again.
pub(crate) const fn units(n: i64) -> Span {
    Span::from_minutes(n)
}

/// The start of time.
pub(crate) const START: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);
/// Nothing is waited for beyond this. A provider's hold lasts longer.
pub(crate) const HORIZON: Timestamp = START.plus(units(60 * 24));

/// The whole units since the start.
pub(crate) const fn clock(now: Timestamp) -> i64 {
    now.since(START).as_seconds() / 60
}

impl Rig {
    pub(crate) fn new(scope: Scope, defect: Option<Defect>) -> Self {
        let policy = Policy {
            hold: units(2),
            hold_max: if scope.budget().challenges > 0 { units(3) } else { units(2) },
            quote_ttl: units(3),
            unlock_window: units(3),
            command_ttl: units(1),
            command_margin: units(1),
            clock_skew: units(1),
            gateway_timeout: units(1),
            gateway_retry: units(1),
            gateway_retry_max: units(1),
            ..Policy::default()
        };
        let signer = SigningKey::from_bytes(&[7; 32]);
        let key_id = KeyId::new("server").unwrap();
        Self {
            scope,
            defect,
            vehicle_id: VehicleId::new("sc-1").unwrap(),
            users: ["rider-1", "rider-2"].map(|name| UserId::new(name).unwrap()),
            trusted: TrustedKeys::new(key_id.clone(), signer.verifying_key().to_bytes()).unwrap(),
            limits: Limits {
                life_max: policy.command_ttl,
                clock_skew: if defect == Some(Defect::ClockRaw) { units(60) } else { policy.clock_skew },
            },
            memo: Memo::default(),
            plan: Arc::new(serde_json::from_str(PLAN).unwrap()),
            policy,
            key_id,
            signer,
        }
    }

    pub(crate) fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    /// What may be wrong about clocks.
    pub(crate) const fn clocks(&self) -> &'static [Clocks] {
        match self.defect {
            Some(Defect::ClockRaw) => &[Clocks { server: 0, vehicle: -5 }],
            Some(_) | None => self.scope.clocks(),
        }
    }

    /// The context of a decision; `fresh` names whatever it makes.
    pub(crate) const fn context(&self, now: Timestamp, fresh: u128) -> Context<'_> {
        Context::new(now, fresh, &self.policy)
    }

    pub(crate) fn quote(&self, cx: &Context<'_>) -> Quote {
        let usage = Usage { ride: units(1), distance_m: 0, reserved: Span::ZERO };
        let expires_at = cx.now.plus(cx.policy.quote_ttl);
        Quote::make(&self.plan, usage, Surge::NONE, expires_at, cx).unwrap()
    }

    /// The vehicle, registered and online.
    pub(crate) fn vehicle(&self) -> Vehicle {
        let spec = VehicleSpec {
            vehicle_type: VehicleTypeId::new("scooter").unwrap(),
            form_factor: FormFactor::ScooterStanding,
            propulsion_type: PropulsionType::Electric,
            plan_id: PlanId::new("p").unwrap(),
            max_range_m: None,
            key: VehicleKey::from_bytes([7; 32]),
        };
        let register = fleet::Command::Register { id: self.vehicle_id.clone(), spec };
        let cx = self.context(START, 0);
        let ready = [register, fleet::Command::CameOnline].iter().fold(None, |state, command| {
            Vehicle::decide(&state, command, &cx).unwrap().iter().fold(state, Vehicle::evolve)
        });
        ready.unwrap()
    }

    pub(crate) fn sign(&self, claims: &CommandClaims) -> Vec<u8> {
        let unsigned = Unsigned::command(claims, &self.key_id);
        let signature = self.signer.sign(unsigned.to_be_signed()).to_bytes();
        unsigned.finish(signature)
    }
}
