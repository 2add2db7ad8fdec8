//! JSON of a size that is known about.

use std::error::Error;

use serde::Serialize;

/// The value as text, in a buffer that begins with `room` bytes.
pub(crate) fn text<T: Serialize>(value: &T, room: usize) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut text = Vec::with_capacity(room);
    serde_json::to_writer(&mut text, value)?;
    Ok(String::from_utf8(text)?)
}
