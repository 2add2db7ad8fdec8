//! Typed identifiers. None of them is a secret; none is ever built from another's type by accident.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use uuid::Uuid;

/// A text that is not an identifier of the named kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind}: {rule}")]
pub struct InvalidId {
    kind: &'static str,
    text: String,
    rule: &'static str,
}

const TEXT_RULE: &str = "1 to 128 characters out of letters, digits and . _ : | @ + -";

fn check(kind: &'static str, text: &str) -> Result<(), InvalidId> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:|@+-".contains(&b);
    if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(());
    }
    Err(InvalidId { kind, text: text.chars().take(64).collect(), rule: TEXT_RULE })
}

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "SmolStr", into = "SmolStr")]
        pub struct $name(SmolStr);

        impl $name {
            /// Checks the text and takes it as an id.
            ///
            /// # Errors
            /// When it is empty, longer than 128 bytes or holds another character than
            /// ASCII letters, digits and `. _ : | @ + -`.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                check($kind, text.as_ref())?;
                Ok(Self(SmolStr::new(text)))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<SmolStr> for $name {
            type Error = InvalidId;
            fn try_from(text: SmolStr) -> Result<Self, InvalidId> {
                check($kind, &text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for SmolStr {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

text_id! {
    /// A vehicle, as the operator names it (GBFS `vehicle_id` before rotation).
    VehicleId, "vehicle id";
    /// The operator's vehicle type (GBFS `vehicle_type_id`): `scooter`, `ebike`, `car`, ...
    VehicleTypeId, "vehicle type id";
    /// A rider or operator: the `sub` of a token.
    UserId, "user id";
    /// A pricing plan (GBFS `plan_id`).
    PlanId, "plan id";
    /// A payment intent at the provider (Stripe `pi_...`).
    PaymentIntentId, "payment intent id";
    /// A payment method at the provider (Stripe `pm_...`).
    PaymentMethodId, "payment method id";
    /// A refund at the provider (Stripe `re_...`).
    RefundId, "refund id";
    /// The key under which a provider carries a request out once (Stripe `Idempotency-Key`).
    GatewayKey, "gateway key";
    /// The key of a signer or of a vehicle (COSE `kid`).
    KeyId, "key id";
    /// A geofencing zone.
    ZoneId, "zone id";
}

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Takes a UUID as an id.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The id as a UUID.
            #[must_use]
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                match Uuid::try_parse(text) {
                    Ok(uuid) if text.len() == 36 => Ok(Self(uuid)),
                    Ok(_) | Err(_) => Err(InvalidId {
                        kind: $kind,
                        text: text.chars().take(64).collect(),
                        rule: "a UUID of 36 characters",
                    }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}

uuid_id! {
    /// A booking: UUIDv7, made from the [`Context`](crate::Context) of its creation.
    BookingId, "booking id";
    /// A quote: the price promise that a booking was made under.
    QuoteId, "quote id";
    /// A command to a vehicle.
    CommandId, "command id";
    /// The receipt of a reservation, for the rider's support case; it opens nothing.
    ReservationToken, "reservation token";
}

/// The fence of a vehicle: rises with every change of holder, and a command with an older epoch is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The following epoch.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// How many events an aggregate has had: the first event makes it 1, and numbers have no gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);

impl Version {
    /// An aggregate that does not exist yet.
    pub const NONE: Self = Self(0);

    /// This version after `events` more events.
    #[must_use]
    pub const fn after(self, events: usize) -> Self {
        Self(self.0.saturating_add(events as u64))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_refuse_what_is_not_one() {
        assert!(VehicleId::new("sc-001").is_ok());
        for bad in ["", "a b", "ä", "x\n", "'; drop table", &"x".repeat(129)] {
            let error = VehicleId::new(bad).unwrap_err();
            assert!(error.to_string().contains("is not a vehicle id"), "{error}");
        }
        assert!("018f3a5e-0000-7000-8000-000000000001".parse::<BookingId>().is_ok());
        assert!("018f3a5e000070008000000000000001".parse::<BookingId>().is_err());
        assert!("1".parse::<BookingId>().is_err());
        assert!(serde_json::from_str::<UserId>("\"a/b\"").is_err());
        assert_eq!(Version::NONE.after(3).to_string(), "3");
    }
}
