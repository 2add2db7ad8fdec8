//! Public keys and hashes as values: who may command a vehicle, and who speaks for it.

use core::fmt;
use core::str::FromStr;

use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::ids::KeyId;

/// Bytes that are no Ed25519 public key, or a text that is not 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// The text is not the 32 bytes in lower-case hexadecimal.
    #[error("a key or hash is written as 64 lower-case hexadecimal digits, this has {length} characters")]
    NotHex {
        /// The length of the text.
        length: usize,
    },
    /// The bytes name no point of the curve, or one of small order that would accept forgeries.
    #[error("these 32 bytes are not a usable Ed25519 public key: export it again from the signer")]
    NotAKey,
    /// Both live keys have one id, so a message could not say which of them signed it.
    #[error("two keys are both named {0}: give each its own key id")]
    SameId(KeyId),
}

macro_rules! bytes32 {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "SmolStr", into = "SmolStr")]
        pub struct $name([u8; 32]);

        impl $name {
            /// Takes the 32 bytes as they are.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidKey;
            fn from_str(text: &str) -> Result<Self, InvalidKey> {
                unhex(text).map(Self).ok_or(InvalidKey::NotHex { length: text.len() })
            }
        }

        impl TryFrom<SmolStr> for $name {
            type Error = InvalidKey;
            fn try_from(text: SmolStr) -> Result<Self, InvalidKey> {
                text.parse()
            }
        }

        impl From<$name> for SmolStr {
            fn from(value: $name) -> Self {
                smol_str::format_smolstr!("{value}")
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

bytes32! {
    /// The Ed25519 public key of a vehicle (RFC 8032), under which it signs its acks. 64 hexadecimal digits
    /// on the wire.
    ///
    /// Reading one back does not test that it is a point of the curve, because stored fleets are read often;
    /// [`VehicleKey::check`] does, once, where a vehicle is enrolled. A key that is none verifies nothing.
    VehicleKey;
    /// SHA-256 of the claims of a command in their canonical CBOR, with which an ack says what it answers.
    /// 64 hexadecimal digits in JSON.
    RequestHash;
}

impl VehicleKey {
    /// Tests the key where a vehicle is enrolled.
    ///
    /// # Errors
    /// [`InvalidKey::NotAKey`] when no signature could be trusted under it.
    pub fn check(self) -> Result<Self, InvalidKey> {
        self.prepare().map(|_| self)
    }

    /// The key unpacked for verification, for a caller that verifies many acks of one vehicle: unpacking
    /// costs about a tenth of a verification.
    ///
    /// # Errors
    /// [`InvalidKey::NotAKey`] when no signature could be trusted under it.
    pub fn prepare(self) -> Result<PreparedKey, InvalidKey> {
        match VerifyingKey::from_bytes(&self.0) {
            Ok(key) if !key.is_weak() && is_reduced(&self.0) => Ok(PreparedKey(key)),
            Ok(_) | Err(_) => Err(InvalidKey::NotAKey),
        }
    }
}

/// Whether the y coordinate is below p = 2^255 - 19, as RFC 8032, section 5.1.3, asks; the library reduces
/// it instead, which would give one key two names.
fn is_reduced(key: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = key;
    *low < 0xed || middle.iter().any(|byte| *byte != 0xff) || high & 0x7f != 0x7f
}

/// A public key unpacked for verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreparedKey(VerifyingKey);

impl PreparedKey {
    pub(super) const fn verifying(&self) -> &VerifyingKey {
        &self.0
    }
}

/// The server keys that a vehicle obeys: one, or two while one replaces the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKeys {
    first: (KeyId, PreparedKey),
    second: Option<(KeyId, PreparedKey)>,
}

impl TrustedKeys {
    /// Trusts one key.
    ///
    /// # Errors
    /// [`InvalidKey::NotAKey`] when no signature could be trusted under it.
    pub fn new(id: KeyId, key: [u8; 32]) -> Result<Self, InvalidKey> {
        Ok(Self { first: (id, VehicleKey(key).prepare()?), second: None })
    }

    /// Trusts this key too, in place of an earlier second one: the rotation is `new(old).and(next)`, sign
    /// under `next`, then `new(next)`.
    ///
    /// # Errors
    /// [`InvalidKey::NotAKey`], or [`InvalidKey::SameId`] when the first key has this id.
    pub fn and(self, id: KeyId, key: [u8; 32]) -> Result<Self, InvalidKey> {
        if self.first.0 == id {
            return Err(InvalidKey::SameId(id));
        }
        Ok(Self { second: Some((id, VehicleKey(key).prepare()?)), ..self })
    }

    pub(super) fn find(&self, id: &[u8]) -> Option<&PreparedKey> {
        [Some(&self.first), self.second.as_ref()]
            .into_iter()
            .flatten()
            .find(|(known, _)| known.as_str().as_bytes() == id)
            .map(|(_, key)| key)
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(c.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    };
    let mut bytes = [0_u8; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (digit(*high)? << 4) | digit(*low)?;
    }
    Some(bytes)
}
