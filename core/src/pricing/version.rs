//! The version of a plan: a hash of everything in it.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use smol_str::{SmolStr, format_smolstr};

/// The first 64 bits of the SHA-256 of a plan's canonical fields, 16 hexadecimal digits on the wire. Any change of
/// a plan, texts included, makes another version; writing `1.0` as `1.00` does not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "SmolStr", into = "SmolStr")]
pub struct PlanVersion(u64);

/// A text that is not a plan version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a plan version: 16 lower-case hexadecimal digits")]
pub struct InvalidPlanVersion(String);

/// Hashes named fields so that no two different plans feed it the same bytes: every part carries its length.
pub(super) struct Canon(Sha256);

impl Canon {
    pub(super) fn new() -> Self {
        Self(Sha256::new_with_prefix(b"rideplane pricing plan 1"))
    }

    pub(super) fn field(&mut self, name: &str, value: impl fmt::Display) {
        let value = format_smolstr!("{value}");
        for part in [name, &value] {
            self.0.update((part.len() as u64).to_be_bytes());
            self.0.update(part);
        }
    }

    pub(super) fn finish(self) -> PlanVersion {
        let digest: [u8; 32] = self.0.finalize().into();
        PlanVersion(u64::from_be_bytes(*digest.first_chunk().unwrap_or(&[0; 8])))
    }
}

impl fmt::Display for PlanVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for PlanVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PlanVersion {
    type Err = InvalidPlanVersion;

    fn from_str(text: &str) -> Result<Self, InvalidPlanVersion> {
        let digits = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let value = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        value.map(Self).ok_or_else(|| InvalidPlanVersion(text.chars().take(32).collect()))
    }
}

impl TryFrom<SmolStr> for PlanVersion {
    type Error = InvalidPlanVersion;
    fn try_from(text: SmolStr) -> Result<Self, InvalidPlanVersion> {
        text.parse()
    }
}

impl From<PlanVersion> for SmolStr {
    fn from(version: PlanVersion) -> Self {
        format_smolstr!("{version}")
    }
}
