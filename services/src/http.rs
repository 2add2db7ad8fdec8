//! As much HTTP as Toxiproxy's API takes: one request, one JSON answer, the connection closed.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(10);

/// Sends a request and returns the JSON of a 2xx answer (`Null` when it has no body).
///
/// # Errors
/// When the server does not answer, or answers with another status; with what it said.
pub(crate) fn request(to: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    let what = || format!("{method} http://{to}{path}");
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).with_context(what)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // HTTP/1.0: the answer ends with the connection and is never sent in chunks.
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {to}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).with_context(what)?;
    stream.write_all(body.as_bytes()).with_context(what)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(what)?;
    let (head, content) = answer.split_once("\r\n\r\n").with_context(what)?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        bail!("{} was answered with {status}: {}", what(), content.trim());
    }
    // `/version` answers in JSON or in plain text, by release.
    Ok(serde_json::from_str(content).unwrap_or(Value::Null))
}
