//! What a host supplies: clocks, entropy, a signer, surge. The seeded and the settable ones make a run repeatable.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use ed25519_dalek::{Signer as _, SigningKey};
use parking_lot::Mutex;
use rideplane_core::geo::Point;
use rideplane_core::ids::{KeyId, VehicleTypeId};
use rideplane_core::pricing::Surge;
use rideplane_core::time::{Span, Timestamp};
use rideplane_ports::{Clock, CommandSigner, DemandModel, Ids, PortError};

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// A clock that stands still until it is told.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

/// Ids from the operating system's entropy.
pub struct RandomIds(Mutex<Pool>);

/// The same ids in the same order for the same seed: SplitMix64 (Steele, Lea, Flood 2014), two draws an id.
#[derive(Debug)]
pub struct SeededIds(AtomicU64);

/// Signs with an Ed25519 key that lies in this process.
pub struct LocalSigner {
    key_id: KeyId,
    key: SigningKey,
}

/// A demand model that never raises a price.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSurge;

/// A demand model with one answer.
#[derive(Clone, Copy, Debug)]
pub struct FixedSurge(pub Surge);

/// As many ids as one call to the operating system fetches.
const POOL_IDS: usize = 256;
const ID_BYTES: usize = 16;

struct Pool {
    bytes: [u8; POOL_IDS * ID_BYTES],
    used: usize,
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let micros = |span: std::time::Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp::from_micros(micros(since)),
            Err(before) => Timestamp::from_micros(-micros(before.duration())),
        }
    }
}

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.as_micros()))
    }

    /// Sets it, forwards or back.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_micros(), Ordering::SeqCst);
    }

    /// Moves it by `span`; returns what it shows then.
    pub fn advance(&self, span: Span) -> Timestamp {
        let before = self.0.fetch_add(span.as_micros(), Ordering::SeqCst);
        Timestamp::from_micros(before).plus(span)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

impl RandomIds {
    /// Fetches entropy as it is needed, many ids at once.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Pool { bytes: [0; POOL_IDS * ID_BYTES], used: POOL_IDS * ID_BYTES }))
    }
}

impl Default for RandomIds {
    fn default() -> Self {
        Self::new()
    }
}

impl Ids for RandomIds {
    /// # Panics
    /// When the operating system has no entropy: an id that may repeat would be worse than none.
    #[allow(clippy::panic, reason = "without entropy nothing may go on")]
    fn fresh(&self) -> u128 {
        let mut pool = self.0.lock();
        if pool.used >= pool.bytes.len() {
            if let Err(error) = getrandom::fill(&mut pool.bytes) {
                panic!("the operating system gives no entropy: {error}");
            }
            pool.used = 0;
        }
        let start = pool.used;
        pool.used += ID_BYTES;
        let id = pool.bytes.iter_mut().skip(start).take(ID_BYTES);
        // What was given is wiped, so that no dump of memory tells it.
        id.fold(0, |id, byte| (id << 8) | u128::from(std::mem::take(byte)))
    }
}

impl SeededIds {
    /// Ids from a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Ids for SeededIds {
    fn fresh(&self) -> u128 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let before = self.0.fetch_add(STEP.wrapping_mul(2), Ordering::SeqCst);
        let high = mix(before.wrapping_add(STEP));
        let low = mix(before.wrapping_add(STEP.wrapping_mul(2)));
        (u128::from(high) << 64) | u128::from(low)
    }
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl LocalSigner {
    /// A signer with the key that RFC 8032 derives from a 32-byte seed, known to vehicles as `key_id`.
    #[must_use]
    pub fn new(key_id: KeyId, seed: &[u8; 32]) -> Self {
        Self { key_id, key: SigningKey::from_bytes(seed) }
    }

    /// The public key, which vehicles must trust.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }
}

impl fmt::Debug for LocalSigner {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSigner").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

#[async_trait]
impl CommandSigner for LocalSigner {
    fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    async fn sign(&self, message: &[u8]) -> Result<[u8; 64], PortError> {
        Ok(self.key.sign(message).to_bytes())
    }
}

#[async_trait]
impl DemandModel for NoSurge {
    async fn surge(&self, _at: Point, _type: &VehicleTypeId, _now: Timestamp) -> Result<Surge, PortError> {
        Ok(Surge::NONE)
    }
}

#[async_trait]
impl DemandModel for FixedSurge {
    async fn surge(&self, _at: Point, _type: &VehicleTypeId, _now: Timestamp) -> Result<Surge, PortError> {
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_do_not_repeat_and_a_seed_repeats_them() {
        let random = RandomIds::new();
        let ids: HashSet<u128> = (0..POOL_IDS * 3 + 1).map(|_| random.fresh()).collect();
        assert_eq!(ids.len(), POOL_IDS * 3 + 1);
        assert!(!ids.contains(&0), "no id is what was wiped");
        let draw = |seed| {
            let ids = SeededIds::new(seed);
            (0..1_000).map(|_| ids.fresh()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        let both: HashSet<u128> = draw(7).into_iter().chain(draw(8)).collect();
        assert_eq!(both.len(), 2_000);
    }

    #[test]
    fn splitmix_is_the_published_one() {
        // The first outputs of SplitMix64 for the seed 1234567 (Vigna's reference implementation).
        let id = SeededIds::new(1_234_567).fresh();
        assert_eq!(id >> 64, 6_457_827_717_110_365_317);
        assert_eq!(id as u64, 3_203_168_211_198_807_973);
    }

    #[test]
    fn clocks_tell_the_time() {
        let clock = ManualClock::new(Timestamp::from_unix_seconds(100));
        assert_eq!(clock.advance(Span::from_seconds(5)), Timestamp::from_unix_seconds(105));
        assert_eq!(clock.now(), Timestamp::from_unix_seconds(105));
        clock.set(Timestamp::from_unix_seconds(3));
        assert_eq!(clock.now(), Timestamp::from_unix_seconds(3));
        let year_2025 = Timestamp::from_unix_seconds(1_735_689_600);
        assert!(SystemClock.now() > year_2025, "the machine's clock is right");
    }

    #[tokio::test]
    async fn signatures_are_those_of_rfc_8032() {
        // RFC 8032, section 7.1, test 2.
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()).collect()
        };
        let seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let signer = LocalSigner::new(KeyId::new("server-1").unwrap(), &seed.try_into().unwrap());
        let public = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        assert_eq!(signer.public_key().to_vec(), public);
        let signature = hex(concat!(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ));
        assert_eq!(signer.sign(&[0x72]).await.unwrap().to_vec(), signature);
        assert!(!format!("{signer:?}").contains("4ccd"), "the key is not shown");
    }
}
