//! The part of CBOR (RFC 8949) that commands and acks use, in its deterministic form alone.
//!
//! Section 4.2.1 asks for the shortest form of every length and number, definite lengths, and map keys in
//! order. The reader refuses everything else while reading, so that one value has exactly one encoding.

use super::cose::WireError;

const UINT: u8 = 0;
const NINT: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

fn head(out: &mut Vec<u8>, major: u8, value: u64) {
    let major = major << 5;
    let [.., e, f, g, h] = value.to_be_bytes();
    if value < 24 {
        out.push(major | h);
    } else if value <= 0xff {
        out.extend_from_slice(&[major | 24, h]);
    } else if value <= 0xffff {
        out.extend_from_slice(&[major | 25, g, h]);
    } else if value <= 0xffff_ffff {
        out.extend_from_slice(&[major | 26, e, f, g, h]);
    } else {
        out.push(major | 27);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub(super) fn uint(out: &mut Vec<u8>, value: u64) {
    head(out, UINT, value);
}

pub(super) fn int(out: &mut Vec<u8>, value: i64) {
    // Major type 1 carries -1 - n, which in two's complement is the bitwise complement of n.
    if value < 0 { head(out, NINT, (!value) as u64) } else { head(out, UINT, value as u64) }
}

pub(super) fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    head(out, BYTES, value.len() as u64);
    out.extend_from_slice(value);
}

/// One text out of several parts, so that joining them needs no allocation of its own.
pub(super) fn text(out: &mut Vec<u8>, parts: &[&str]) {
    head(out, TEXT, parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.len() as u64)));
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

pub(super) fn array(out: &mut Vec<u8>, items: u64) {
    head(out, ARRAY, items);
}

pub(super) fn map(out: &mut Vec<u8>, pairs: u64) {
    head(out, MAP, pairs);
}

pub(super) fn tag(out: &mut Vec<u8>, number: u64) {
    head(out, TAG, number);
}

/// Reads one value after the other; `item` names what is read, for the error.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self, len: usize, item: &'static str) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(WireError::Malformed { item })?;
        self.rest = rest;
        Ok(taken)
    }

    fn head(&mut self, major: u8, item: &'static str) -> Result<u64, WireError> {
        let (first, rest) = self.rest.split_first().ok_or(WireError::Malformed { item })?;
        if first >> 5 != major {
            return Err(WireError::Malformed { item });
        }
        self.rest = rest;
        let (width, least) = match first & 0x1f {
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            // 28 to 30 are reserved, 31 is an indefinite length (section 3): neither is deterministic.
            28.. => return Err(WireError::NotCanonical),
            value => return Ok(u64::from(value)),
        };
        let value = self.take(width, item)?.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        if value < least { Err(WireError::NotCanonical) } else { Ok(value) }
    }

    pub(super) fn uint(&mut self, item: &'static str) -> Result<u64, WireError> {
        self.head(UINT, item)
    }

    pub(super) fn int(&mut self, item: &'static str) -> Result<i64, WireError> {
        let malformed = |_| WireError::Malformed { item };
        if self.rest.first().is_some_and(|first| first >> 5 == NINT) {
            return Ok(!i64::try_from(self.head(NINT, item)?).map_err(malformed)?);
        }
        i64::try_from(self.head(UINT, item)?).map_err(malformed)
    }

    pub(super) fn bytes(&mut self, item: &'static str) -> Result<&'a [u8], WireError> {
        let len = self.head(BYTES, item)?;
        self.take(usize::try_from(len).unwrap_or(usize::MAX), item)
    }

    pub(super) fn fixed<const N: usize>(&mut self, item: &'static str) -> Result<[u8; N], WireError> {
        self.bytes(item)?.try_into().map_err(|_| WireError::Malformed { item })
    }

    pub(super) fn text(&mut self, item: &'static str) -> Result<&'a str, WireError> {
        let len = self.head(TEXT, item)?;
        let bytes = self.take(usize::try_from(len).unwrap_or(usize::MAX), item)?;
        core::str::from_utf8(bytes).map_err(|_| WireError::Malformed { item })
    }

    pub(super) fn array(&mut self, items: u64, item: &'static str) -> Result<(), WireError> {
        if self.head(ARRAY, item)? == items { Ok(()) } else { Err(WireError::Malformed { item }) }
    }

    pub(super) fn map(&mut self, item: &'static str) -> Result<u64, WireError> {
        self.head(MAP, item)
    }

    pub(super) fn tag(&mut self, number: u64, item: &'static str) -> Result<(), WireError> {
        if self.head(TAG, item)? == number { Ok(()) } else { Err(WireError::Malformed { item }) }
    }

    /// The map key `key`, which must come next: reading keys in their one order refuses a repeated, unknown
    /// or misplaced one.
    pub(super) fn key(&mut self, key: u64, item: &'static str) -> Result<(), WireError> {
        if self.head(UINT, item)? == key { Ok(()) } else { Err(WireError::Malformed { item }) }
    }

    /// Whether the map key `key` (below 24) comes next; it is taken if so.
    pub(super) fn optional_key(&mut self, key: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == key => {
                self.rest = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) fn end(&self, item: &'static str) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::Malformed { item }) }
    }
}
