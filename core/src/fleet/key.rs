//! The public key of a vehicle.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The Ed25519 public key (RFC 8032, section 5.1.5) with which a vehicle's acks are verified.
/// It is public and may be shown; on the wire 64 lower-case hexadecimal digits.
///
/// ```
/// use rideplane_core::fleet::VehicleKey;
/// let key = VehicleKey::from_bytes([0xab; 32]);
/// assert_eq!(key.to_string().parse(), Ok(key));
/// assert!("AB".repeat(32).parse::<VehicleKey>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VehicleKey([u8; 32]);

/// A text that is not a vehicle key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a vehicle key: write the 32 bytes of the Ed25519 public key as 64 digits out of 0-9a-f"
)]
pub struct InvalidVehicleKey {
    text: String,
}

impl VehicleKey {
    /// Takes 32 bytes as a key. Whether they are a point of the curve shows when a signature is verified.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key as bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for VehicleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for VehicleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VehicleKey({self})")
    }
}

/// The value of a lower-case hexadecimal digit.
const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(digit.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    }
}

impl FromStr for VehicleKey {
    type Err = InvalidVehicleKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidVehicleKey { text: text.chars().take(72).collect() };
        if text.len() != 64 {
            return Err(invalid());
        }
        let mut bytes = [0_u8; 32];
        let mut digits = text.bytes();
        for slot in &mut bytes {
            let high = digits.next().and_then(nibble).ok_or_else(invalid)?;
            let low = digits.next().and_then(nibble).ok_or_else(invalid)?;
            *slot = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for VehicleKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VehicleKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_is_64_lower_case_digits() {
        let known = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let key: VehicleKey = known.parse().unwrap();
        assert_eq!(key.as_bytes()[..3], [0xd7, 0x5a, 0x98]);
        assert_eq!(format!("{key:?}"), format!("VehicleKey({known})"));
        for bad in [
            "",
            "0",
            &known.to_uppercase(),
            &known[1..],
            &format!("{known}0"),
            &"g".repeat(64),
            &"ä".repeat(32),
        ] {
            let error = bad.parse::<VehicleKey>().unwrap_err();
            assert!(error.to_string().contains("is not a vehicle key"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn every_key_survives_the_wire(bytes in any::<[u8; 32]>()) {
            let key = VehicleKey::from_bytes(bytes);
            let json = serde_json::to_string(&key).unwrap();
            prop_assert_eq!(serde_json::from_str::<VehicleKey>(&json).unwrap(), key);
        }
    }
}
