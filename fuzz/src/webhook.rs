//! The provider's webhooks: a header that anybody may write, over a body that anybody may send.

use rideplane_core::time::{Span, Timestamp};
use rideplane_http::WebhookSecret;
use rideplane_http::webhook::{BadSignature, SIGNATURES_MAX, Subject, TOLERANCE, subject};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const SECRET: &[u8] = b"whsec_fuzz";
const NOW: i64 = 1_780_000_000;

/// The first line is the header `Stripe-Signature`, where `$` stands for the right signature of its `t`; the rest is
/// the body.
///
/// # Panics
/// When a header is believed that no key signed, when a good one is not, or when an event is taken for a booking's
/// that does not name it.
pub fn webhook(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (line, body) = bytes.split_at(at);
    let body = body.get(1..).unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let time = line.split(',').find_map(|part| part.trim().strip_prefix("t=")).unwrap_or_default();
    let header = line.replace('$', &hex(&by_hand(time, body)));
    let now = Timestamp::from_unix_seconds(NOW);
    let secret = WebhookSecret::new(SECRET);
    let verdict = secret.verify(&header, body, now);
    if verdict.is_ok() {
        assert!(is_signed(&header, body), "believed: {header:?}");
    }
    // Of many signatures only the first are looked at.
    if verdict == Err(BadSignature::Mismatch) && header.matches("v1=").count() <= SIGNATURES_MAX {
        assert!(!is_signed(&header, body), "not believed: {header:?}");
    }
    check_own(&secret, body, now);
    if let Ok(event) = serde_json::from_slice::<Value>(body) {
        check_subject(&event);
    }
}

/// What we sign is believed as long as it should be, and for these bytes only.
fn check_own(secret: &WebhookSecret, body: &[u8], now: Timestamp) {
    let header = secret.sign(body, now);
    let second = Span::from_seconds(1);
    for (at, expected) in [
        (now, Ok(())),
        (now.plus(TOLERANCE), Ok(())),
        (now.minus(TOLERANCE), Ok(())),
        (now.plus(TOLERANCE).plus(second), Err(BadSignature::Stale)),
        (now.minus(TOLERANCE).minus(second), Err(BadSignature::Stale)),
    ] {
        assert_eq!(secret.verify(&header, body, at), expected);
    }
    let mut longer = body.to_vec();
    longer.push(b' ');
    assert_eq!(secret.verify(&header, &longer, now), Err(BadSignature::Mismatch));
    let other = WebhookSecret::new(b"whsec_other".as_slice());
    assert_eq!(other.verify(&header, body, now), Err(BadSignature::Mismatch));
}

/// Whether the header says a time that is near, once, and holds the signature for it: the scheme in other words.
fn is_signed(header: &str, body: &[u8]) -> bool {
    let values = |name: &str| -> Vec<String> {
        let parts = header.split(',').filter_map(|part| part.trim().split_once('='));
        parts.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).collect()
    };
    let times = values("t");
    let [time] = times.as_slice() else { return false };
    let near = time.parse::<i64>().is_ok_and(|seconds| (i128::from(seconds) - i128::from(NOW)).abs() <= 300);
    near && values("v1").iter().any(|value| value.to_ascii_lowercase() == hex(&by_hand(time, body)))
}

/// HMAC-SHA256 (RFC 2104) of `time`, a full stop and `body`, written out: the product has it from a library.
fn by_hand(time: &str, body: &[u8]) -> [u8; 32] {
    let pad = |byte: u8| -> Vec<u8> {
        (0..64).map(|at| SECRET.get(at).copied().unwrap_or_default() ^ byte).collect()
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(time).chain_update(".").chain_update(body);
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner.finalize()).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_subject(event: &Value) {
    let text = event.to_string();
    match subject(event) {
        Subject::Booking(id) => {
            let metadata = event["data"]["object"]["metadata"]["booking_id"].as_str();
            assert_eq!(metadata.and_then(|named| named.parse().ok()), Some(id), "{text}");
        }
        Subject::Intent(id) => {
            assert!(id.as_str().starts_with("pi_") && text.contains(id.as_str()), "{text}")
        }
        Subject::Other => {}
    }
}
