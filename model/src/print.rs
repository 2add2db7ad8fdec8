//! Fingerprints of states. Core's states have no `Hash`, but their `Debug` shows every field that decides anything.

use std::collections::hash_map::DefaultHasher;
use std::fmt::{self, Debug, Write as _};
use std::hash::Hasher as _;
use std::ops::Deref;
use std::sync::Arc;

/// A shared value with the fingerprint of what it holds, so that a step pays only for what it changes.
pub(crate) struct Printed<T> {
    value: Arc<T>,
    print: u128,
}

impl<T: Debug> Printed<T> {
    pub(crate) fn new(value: T) -> Self {
        let mut text = String::with_capacity(4_096);
        // Writing to a string never fails.
        write!(text, "{value:?}").unwrap();
        let mut print = Print::default();
        print.bytes(text.as_bytes());
        Self { value: Arc::new(value), print: print.finish() }
    }

    pub(crate) const fn print(&self) -> u128 {
        self.print
    }
}

impl<T> Clone for Printed<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), print: self.print }
    }
}

impl<T> Deref for Printed<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// By its print: the parts of a compound are not written out again.
impl<T> Debug for Printed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:x}", self.print)
    }
}

/// 128 bits out of two SipHashes with fixed keys. Among 10 million states two share a print with odds of 1 in 10^24.
pub(crate) struct Print(DefaultHasher, DefaultHasher);

impl Default for Print {
    fn default() -> Self {
        let mut other = DefaultHasher::new();
        other.write_u8(1);
        Self(DefaultHasher::new(), other)
    }
}

impl Print {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
        self.1.write(bytes);
    }

    pub(crate) fn word(&mut self, word: u128) {
        self.bytes(&word.to_le_bytes());
    }

    pub(crate) fn finish(&self) -> u128 {
        (u128::from(self.0.finish()) << 64) | u128::from(self.1.finish())
    }
}
