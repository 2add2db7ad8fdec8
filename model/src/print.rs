//! Fingerprints of states. Core's states have no `Hash`, but their `Debug` shows every field that decides anything.

use std::fmt::{self, Debug, Write as _};
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Deref;
use std::rc::Rc;

use xxhash_rust::xxh3::xxh3_128;

/// A shared value with the fingerprint of what it holds, so that a step pays only for what it changes.
pub(crate) struct Printed<T>(Rc<(u128, T)>);

impl<T: Debug> Printed<T> {
    pub(crate) fn new(value: T) -> Self {
        let mut text = String::with_capacity(4_096);
        // Writing to a string never fails.
        write!(text, "{value:?}").unwrap();
        Self(Rc::new((xxh3_128(text.as_bytes()), value)))
    }
}

impl<T> Printed<T> {
    pub(crate) fn print(&self) -> u128 {
        self.0.0
    }
}

impl<T> Clone for Printed<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Deref for Printed<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.1
    }
}

/// By its print: the parts of a compound are not written out again.
impl<T> Debug for Printed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:x}", self.print())
    }
}

/// Collects what tells one compound from others, and makes 128 bits of it by XXH3. Among 100 million states two share a
/// print with odds of 1 in 10^22.
#[derive(Default)]
pub(crate) struct Print(Vec<u8>);

impl Print {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn word(&mut self, word: u128) {
        self.bytes(&word.to_le_bytes());
    }

    pub(crate) fn finish(&self) -> u128 {
        xxh3_128(&self.0)
    }

    /// Empty again, with the room it had.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Hashes what contains prints: they are spread already, and what comes with them is folded in.
#[derive(Clone, Copy, Default)]
pub(crate) struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }
    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(25) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    fn write_i64(&mut self, word: i64) {
        self.write_u64(word.cast_unsigned());
    }
    fn write_u128(&mut self, word: u128) {
        self.write_u64((word >> 64) as u64 ^ word as u64);
    }
}

pub(crate) type BuildFold = BuildHasherDefault<Fold>;
