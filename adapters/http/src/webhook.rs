//! The provider's webhooks: who signed them, and which booking they are about.
//!
//! The signature is Stripe's scheme `v1` (<https://docs.stripe.com/webhooks/signature>): the header `Stripe-Signature`
//! holds `t=<unix seconds>` and one or more `v1=<hex>`, each an HMAC-SHA256 of `t`, a full stop and the raw body.
//! A webhook says no more than that it is time to ask the provider; nothing in it is believed.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use rideplane_core::ids::{BookingId, PaymentIntentId};
use rideplane_core::time::{Span, Timestamp};
use serde_json::Value;
use sha2::Sha256;

/// How old a signature may be, and how far ahead: the default of Stripe's libraries.
pub const TOLERANCE: Span = Span::from_seconds(300);

/// Most signatures that are looked at in one header.
pub const SIGNATURES_MAX: usize = 16;

/// The secret that webhooks are signed with (Stripe `whsec_...`). Prints nothing of it.
#[derive(Clone)]
pub struct WebhookSecret(Vec<u8>);

/// Why a webhook is not believed to be the provider's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// No secret is configured.
    #[error("no webhook secret is configured here")]
    NoSecret,
    /// The header is absent.
    #[error("the header Stripe-Signature is missing")]
    Missing,
    /// The header has no `t`, or no `v1`.
    #[error("the header Stripe-Signature is not t=<seconds>,v1=<hex>")]
    Malformed,
    /// `t` is too far from now.
    #[error("the signature's time is more than 300 s away from now")]
    Stale,
    /// No signature fits.
    #[error("no signature fits the body")]
    Mismatch,
}

/// What a webhook is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// This booking, by the intent's `metadata.booking_id`.
    Booking(BookingId),
    /// This intent.
    Intent(PaymentIntentId),
    /// Nothing of ours.
    Other,
}

impl WebhookSecret {
    /// Takes the secret as the provider shows it.
    #[must_use]
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        Self(secret.into())
    }

    /// Checks the value of `Stripe-Signature` against the raw body. Takes the same time wherever a signature differs.
    ///
    /// # Errors
    /// When no `v1` signature in `header` is by this secret over `body`, made within [`TOLERANCE`] of `now`.
    pub fn verify(&self, header: &str, body: &[u8], now: Timestamp) -> Result<(), BadSignature> {
        let (time, signatures) = parts(header)?;
        let seconds: i64 = time.parse().map_err(|_| BadSignature::Malformed)?;
        let signed_at = Timestamp::from_unix_seconds(seconds);
        if signed_at.plus(TOLERANCE) < now || now.plus(TOLERANCE) < signed_at {
            return Err(BadSignature::Stale);
        }
        let mac = self.mac(time, body).ok_or(BadSignature::Mismatch)?;
        let fits = |signature: &[u8; 32]| mac.clone().verify_slice(signature).is_ok();
        if signatures.iter().any(fits) { Ok(()) } else { Err(BadSignature::Mismatch) }
    }

    /// The header that the provider would send: for tests and for a provider's double.
    #[must_use]
    pub fn sign(&self, body: &[u8], at: Timestamp) -> String {
        let time = at.as_unix_seconds().to_string();
        let bytes = self.mac(&time, body).map(|mac| mac.finalize().into_bytes()).unwrap_or_default();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("t={time},v1={hex}")
    }

    fn mac(&self, time: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of every length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(time.as_bytes());
        mac.update(b".");
        mac.update(body);
        Some(mac)
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

/// What an event is about. Events of charges and refunds name their intent too.
#[must_use]
pub fn subject(event: &Value) -> Subject {
    let kind = event["type"].as_str().unwrap_or_default();
    let ours = ["payment_intent.", "charge.", "refund."].iter().any(|prefix| kind.starts_with(prefix));
    if !ours {
        return Subject::Other;
    }
    let object = &event["data"]["object"];
    if let Some(booking) = object["metadata"]["booking_id"].as_str().and_then(|id| id.parse().ok()) {
        return Subject::Booking(booking);
    }
    let intent = match object["object"].as_str() {
        Some("payment_intent") => object["id"].as_str(),
        Some(_) | None => object["payment_intent"].as_str().or_else(|| object["id"].as_str()),
    };
    match intent.filter(|id| id.starts_with("pi_")).and_then(|id| PaymentIntentId::new(id).ok()) {
        Some(intent) => Subject::Intent(intent),
        None => Subject::Other,
    }
}

fn parts(header: &str) -> Result<(&str, Vec<[u8; 32]>), BadSignature> {
    let mut time = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", value)) if time.is_none() => time = Some(value),
            // A second time would let somebody choose which one is signed and which one is judged.
            Some(("t", _)) => return Err(BadSignature::Malformed),
            Some(("v1", value)) if signatures.len() < SIGNATURES_MAX => signatures.extend(unhex(value)),
            Some(_) | None => {}
        }
    }
    match time {
        Some(time) if !signatures.is_empty() => Ok((time, signatures)),
        Some(_) | None => Err(BadSignature::Malformed),
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |index: usize| char::from(*pair.get(index)?).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_492_774_577);
    const BODY: &[u8] = br#"{"id":"evt_1"}"#;

    fn secret() -> WebhookSecret {
        WebhookSecret::new("whsec_test_secret")
    }

    #[test]
    fn the_signature_is_the_one_that_openssl_makes() {
        // printf '1492774577.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test_secret
        let expected = "799c4ba7bb339f3c8601adfd112f0e477c930a268be1243d341abb8286501c2f";
        assert_eq!(secret().sign(BODY, NOW), format!("t=1492774577,v1={expected}"));
    }

    #[test]
    fn a_good_signature_is_found_among_others() {
        let header = secret().sign(BODY, NOW);
        assert_eq!(secret().verify(&header, BODY, NOW), Ok(()));
        let (time, good) = header.split_once(',').unwrap();
        let other = format!("v1={}", "ab".repeat(32));
        for header in [
            format!("{time},{other},{good}"),
            format!("{good},{time}"),
            format!("{time}, {good}, v0=abc"),
            format!("{time},v1=zz,{good},scheme"),
        ] {
            assert_eq!(secret().verify(&header, BODY, NOW), Ok(()), "{header}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let header = secret().sign(BODY, NOW);
        let (time, good) = header.split_once(',').unwrap();
        let check = |header: &str, body: &[u8], now| secret().verify(header, body, now).unwrap_err();
        assert_eq!(check("", BODY, NOW), BadSignature::Malformed);
        assert_eq!(check(time, BODY, NOW), BadSignature::Malformed);
        assert_eq!(check(good, BODY, NOW), BadSignature::Malformed);
        assert_eq!(check(&format!("t=x,{good}"), BODY, NOW), BadSignature::Malformed);
        assert_eq!(check(&format!("{time},t=1,{good}"), BODY, NOW), BadSignature::Malformed);
        assert_eq!(check(&header.replace("v1=", "v0="), BODY, NOW), BadSignature::Malformed);
        assert_eq!(check(&header, br#"{"id":"evt_2"}"#, NOW), BadSignature::Mismatch);
        assert_eq!(check(&format!("t=1492774578,{good}"), BODY, NOW), BadSignature::Mismatch);
        let forged = WebhookSecret::new("whsec_other").sign(BODY, NOW);
        assert_eq!(check(&forged, BODY, NOW), BadSignature::Mismatch);
        for digit in 0..good.len() - 3 {
            let mut tampered = header.clone().into_bytes();
            let last = tampered.len() - 1 - digit;
            tampered[last] = if tampered[last] == b'0' { b'1' } else { b'0' };
            let tampered = String::from_utf8(tampered).unwrap();
            assert_eq!(check(&tampered, BODY, NOW), BadSignature::Mismatch, "{tampered}");
        }
    }

    #[test]
    fn a_signature_is_good_for_300_s_both_ways() {
        let header = secret().sign(BODY, NOW);
        for (shift, good) in [(300, true), (301, false), (-300, true), (-301, false)] {
            let now = NOW.plus(Span::from_seconds(shift));
            assert_eq!(secret().verify(&header, BODY, now).is_ok(), good, "{shift}");
        }
    }

    #[test]
    fn the_secret_is_never_printed() {
        assert_eq!(format!("{:?}", secret()), "WebhookSecret(..)");
    }

    #[test]
    fn an_event_is_about_its_booking_or_its_intent() {
        let booking = "018f3a5e-0000-7000-8000-000000000001";
        let event = |kind: &str, object: Value| json!({"type": kind, "data": {"object": object}});
        let intent = |id: &str| Subject::Intent(PaymentIntentId::new(id).unwrap());
        let with_metadata =
            json!({"id": "pi_1", "object": "payment_intent", "metadata": {"booking_id": booking}});
        let of_booking = Subject::Booking(booking.parse().unwrap());
        assert_eq!(subject(&event("payment_intent.succeeded", with_metadata.clone())), of_booking);
        assert_eq!(subject(&event("customer.created", with_metadata)), Subject::Other);
        let bare = json!({"id": "pi_1", "object": "payment_intent", "metadata": {"booking_id": "x"}});
        assert_eq!(subject(&event("payment_intent.canceled", bare)), intent("pi_1"));
        let charge = json!({"id": "ch_1", "object": "charge", "payment_intent": "pi_2"});
        assert_eq!(subject(&event("charge.refunded", charge)), intent("pi_2"));
        let loose = json!({"id": "ch_1", "object": "charge", "payment_intent": null});
        assert_eq!(subject(&event("charge.refunded", loose)), Subject::Other);
        for odd in
            [json!(null), json!([]), json!({"type": 7}), json!({"type": "payment_intent.x", "data": 1})]
        {
            assert_eq!(subject(&odd), Subject::Other);
        }
    }
}
