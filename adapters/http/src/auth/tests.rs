use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rideplane_core::ids::UserId;
use rideplane_core::time::{Span, Timestamp};
use serde_json::{Value, json};

use super::*;

/// 2026-01-01T00:00:00Z: the fixtures' `nbf`; they expire an hour later.
const NOW: Timestamp = Timestamp::from_unix_seconds(1_767_225_600);
const SECRET: [u8; 32] = *b"a secret that only tests know...";
const LEEWAY: Span = Span::from_seconds(5);

// Made with openssl; the private keys were thrown away, so the tokens can't be made anew, only checked.
const RSA_PEM: &str = include_str!("fixtures/rsa.pub.pem");
const EC_PEM: &str = include_str!("fixtures/ec.pub.pem");
const ED_PEM: &str = include_str!("fixtures/ed.pub.pem");
const RSA_TOKEN: &str = include_str!("fixtures/rsa.jwt");
const EC_TOKEN: &str = include_str!("fixtures/ec.jwt");
const ED_TOKEN: &str = include_str!("fixtures/ed.jwt");

fn whom() -> Audience {
    Audience { issuer: "https://id.example".into(), audience: "rideplane".into() }
}

fn local() -> Verifier {
    Verifier::new(whom(), LEEWAY, vec![LocalKey::from_bytes(SECRET).trusted()])
}

fn everything() -> Verifier {
    let pem = |text| TrustedKey::from_public_pem(text).unwrap();
    let keys = vec![LocalKey::from_bytes(SECRET).trusted(), pem(RSA_PEM), pem(EC_PEM), pem(ED_PEM)];
    Verifier::new(whom(), LEEWAY, keys)
}

fn claims() -> Value {
    let now = NOW.as_unix_seconds();
    json!({"iss": "https://id.example", "aud": "rideplane", "sub": "rider-1", "exp": now + 3600})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().insert(name.into(), value);
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn sign(claims: &Value) -> String {
    sign_with(Algorithm::HS256, claims, &SECRET)
}

fn sign_with(algorithm: Algorithm, claims: &Value, secret: &[u8]) -> String {
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret)).unwrap()
}

/// Signs exactly this header and payload, as a forger who knows the secret could.
fn sign_raw(header: &str, payload: &str, secret: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &EncodingKey::from_secret(secret), Algorithm::HS256);
    format!("{message}.{}", signature.unwrap())
}

fn swap_part(token: &str, index: usize, part: &str) -> String {
    let mut parts: Vec<&str> = token.split('.').collect();
    parts[index] = part;
    parts.join(".")
}

#[test]
fn good_tokens_are_accepted() {
    let verifier = local();
    let rider = Principal { user_id: UserId::new("rider-1").unwrap(), roles: Roles::default() };
    let operator = Principal { roles: Roles { operator: true }, ..rider.clone() };
    let seconds = NOW.as_unix_seconds();
    for (claims, expected) in [
        (claims(), &rider),
        (with("aud", json!(["other", "rideplane"])), &rider),
        (with("nbf", json!(seconds + 5)), &rider),
        (with("exp", json!(seconds - 4)), &rider),
        (with("exp", json!(seconds as f64 + 0.5)), &rider),
        (with("exp", json!(i64::MAX)), &rider),
        (with("exp", json!(u64::MAX)), &rider),
        (with("roles", json!(["operator", "unheard-of"])), &operator),
        (with("roles", json!(["Operator", "operators", "admin"])), &rider),
        (with("roles", json!(null)), &rider),
        (with("email", json!("kept out of here")), &rider),
    ] {
        assert_eq!(verifier.verify(&sign(&claims), NOW).as_ref(), Ok(expected), "{claims}");
    }
}

#[test]
fn tokens_of_an_identity_provider_are_accepted_in_their_own_algorithm_only() {
    let (all, local) = (everything(), local());
    for token in [RSA_TOKEN, EC_TOKEN, ED_TOKEN] {
        let principal = all.verify(token.trim(), NOW).unwrap();
        assert!(principal.roles.operator && principal.user_id.as_str() == "rider-1");
        assert_eq!(local.verify(token.trim(), NOW), Err(AuthError::AlgorithmRefused));
        assert_eq!(
            all.verify(token.trim(), NOW.plus(Span::from_seconds(3605))),
            Err(AuthError::Expired),
            "the leeway ends"
        );
        assert_eq!(all.verify(token.trim(), NOW.minus(Span::from_seconds(6))), Err(AuthError::NotYetValid));
    }
    let rsa = TrustedKey::from_public_pem(RSA_PEM).unwrap();
    let only_rsa = Verifier::new(whom(), LEEWAY, vec![rsa]);
    assert_eq!(only_rsa.verify(&sign(&claims()), NOW), Err(AuthError::AlgorithmRefused));
}

#[test]
fn a_rotated_key_is_accepted_beside_the_new_one() {
    let keys = vec![LocalKey::from_bytes([1; 32]).trusted(), LocalKey::from_bytes(SECRET).trusted()];
    let verifier = Verifier::new(whom(), LEEWAY, keys);
    assert!(verifier.verify(&sign(&claims()), NOW).is_ok());
    let stranger = sign_with(Algorithm::HS256, &claims(), &[2; 32]);
    assert_eq!(verifier.verify(&stranger, NOW), Err(AuthError::BadSignature));
}

#[test]
fn wrong_claims_are_refused() {
    let seconds = NOW.as_unix_seconds();
    for (claims, expected) in [
        (with("exp", json!(seconds - 5)), AuthError::Expired),
        (with("exp", json!(0)), AuthError::Expired),
        (with("exp", json!(-1)), AuthError::MissingClaim("exp")),
        (with("exp", json!("2030")), AuthError::InvalidClaim),
        (without("exp"), AuthError::MissingClaim("exp")),
        (with("exp", json!(null)), AuthError::MissingClaim("exp")),
        (with("nbf", json!(seconds + 6)), AuthError::NotYetValid),
        (with("nbf", json!("tomorrow")), AuthError::InvalidClaim),
        (with("aud", json!("another")), AuthError::WrongAudience),
        (with("aud", json!("rideplane2")), AuthError::WrongAudience),
        (with("aud", json!(["a", "b"])), AuthError::WrongAudience),
        (with("aud", json!([])), AuthError::WrongAudience),
        (without("aud"), AuthError::MissingClaim("aud")),
        (with("aud", json!(7)), AuthError::MissingClaim("aud")),
        (with("iss", json!("https://id.example.evil")), AuthError::WrongIssuer),
        (with("iss", json!("")), AuthError::WrongIssuer),
        (with("iss", json!(["https://id.example", "https://evil.example"])), AuthError::InvalidClaim),
        (without("iss"), AuthError::MissingClaim("iss")),
        (without("sub"), AuthError::MissingClaim("sub")),
        (with("sub", json!(12)), AuthError::InvalidClaim),
        (with("sub", json!("")), AuthError::InvalidSubject),
        (with("sub", json!("rider 1")), AuthError::InvalidSubject),
        (with("sub", json!("'; drop table users; --")), AuthError::InvalidSubject),
        (with("sub", json!("a\u{0}b")), AuthError::InvalidSubject),
        (with("sub", json!("x".repeat(129))), AuthError::InvalidSubject),
        (with("roles", json!("operator")), AuthError::InvalidClaim),
        (with("roles", json!([["operator"]])), AuthError::InvalidClaim),
        (with("roles", json!({"operator": true})), AuthError::InvalidClaim),
    ] {
        assert_eq!(local().verify(&sign(&claims), NOW), Err(expected), "{claims}");
    }
}

#[test]
fn forged_and_mangled_tokens_are_refused() {
    let good = sign(&claims());
    let operator = URL_SAFE_NO_PAD.encode(with("roles", json!(["operator"])).to_string());
    let none = |alg: &str| URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#));
    let twice = r#"{"iss":"https://id.example","aud":"rideplane","exp":9999999999,"sub":"a","sub":"b"}"#;
    let crit = r#"{"alg":"HS256","crit":["b64"],"b64":false}"#;
    let cases: Vec<(&str, String, AuthError)> = vec![
        (
            "alg none, no signature",
            swap_part(&swap_part(&good, 0, &none("none")), 2, ""),
            AuthError::Malformed,
        ),
        ("alg none, signed", swap_part(&good, 0, &none("none")), AuthError::Malformed),
        ("alg None", swap_part(&good, 0, &none("None")), AuthError::Malformed),
        ("alg NONE", swap_part(&swap_part(&good, 0, &none("NONE")), 2, ""), AuthError::Malformed),
        ("no alg", swap_part(&good, 0, &URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT"}"#)), AuthError::Malformed),
        ("HS512", sign_with(Algorithm::HS512, &claims(), &SECRET), AuthError::AlgorithmRefused),
        ("RS512 header", swap_part(&good, 0, &none("RS512")), AuthError::AlgorithmRefused),
        ("header only renamed", swap_part(&good, 0, &none("EdDSA")), AuthError::BadSignature),
        (
            "the RSA key as HMAC secret",
            sign_with(Algorithm::HS256, &claims(), RSA_PEM.as_bytes()),
            AuthError::BadSignature,
        ),
        (
            "the EC key as HMAC secret",
            sign_with(Algorithm::HS256, &claims(), EC_PEM.trim().as_bytes()),
            AuthError::BadSignature,
        ),
        ("the empty secret", sign_with(Algorithm::HS256, &claims(), b""), AuthError::BadSignature),
        ("payload swapped", swap_part(&good, 1, &operator), AuthError::BadSignature),
        ("payload emptied", swap_part(&good, 1, ""), AuthError::BadSignature),
        ("no signature", swap_part(&good, 2, ""), AuthError::BadSignature),
        ("a zero signature", swap_part(&good, 2, &URL_SAFE_NO_PAD.encode([0; 32])), AuthError::BadSignature),
        ("a short signature", swap_part(&good, 2, &URL_SAFE_NO_PAD.encode([0; 16])), AuthError::BadSignature),
        ("padding added", format!("{good}="), AuthError::Malformed),
        ("a fourth part", format!("{good}.x"), AuthError::Malformed),
        ("with its scheme", format!("Bearer {good}"), AuthError::Malformed),
        ("a newline", format!("{good}\n"), AuthError::Malformed),
        ("payload not JSON", sign_raw(r#"{"alg":"HS256"}"#, "garbage", &SECRET), AuthError::InvalidClaim),
        ("payload a list", sign_raw(r#"{"alg":"HS256"}"#, "[]", &SECRET), AuthError::InvalidClaim),
        ("sub twice", sign_raw(r#"{"alg":"HS256"}"#, twice, &SECRET), AuthError::InvalidClaim),
        ("critical extension", sign_raw(crit, &claims().to_string(), &SECRET), AuthError::CriticalExtension),
        ("10 KB", format!("{good}{}", "A".repeat(10_240)), AuthError::TooLong),
        ("10 KB, well signed", sign(&with("note", json!("x".repeat(10_240)))), AuthError::TooLong),
        ("empty", String::new(), AuthError::Malformed),
        ("dots", "..".into(), AuthError::Malformed),
        ("garbage", "not a token at all \u{1f6f4}".into(), AuthError::Malformed),
    ];
    for (what, token, expected) in cases {
        assert_eq!(everything().verify(&token, NOW), Err(expected), "{what}");
    }
}

#[test]
fn no_truncated_or_altered_token_passes() {
    for good in [sign(&claims()), RSA_TOKEN.trim().into(), EC_TOKEN.trim().into(), ED_TOKEN.trim().into()] {
        let verifier = everything();
        assert!(verifier.verify(&good, NOW).is_ok());
        // RSA and ECDSA are slow unoptimised: their tokens are sampled, ours is tried at every byte.
        let step = if good.len() < 250 { 1 } else { 13 };
        for at in (0..good.len()).step_by(step) {
            assert!(verifier.verify(&good[..at], NOW).is_err(), "cut at {at}");
            let mut bytes = good.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(bytes).unwrap();
            assert!(verifier.verify(&altered, NOW).is_err(), "altered at {at}: {altered}");
        }
    }
}

#[test]
fn an_issued_token_is_accepted_until_it_expires() {
    let issuer = Issuer::new(&LocalKey::from_bytes(SECRET), whom());
    let (user, ttl) = (UserId::new("op@example").unwrap(), Span::from_minutes(10));
    for operator in [false, true] {
        let roles = Roles { operator };
        let token = issuer.issue(&user, roles, NOW, ttl).unwrap();
        let verifier = local();
        assert_eq!(verifier.verify(&token, NOW), Ok(Principal { user_id: user.clone(), roles }));
        assert!(verifier.verify(&token, NOW.plus(Span::from_seconds(604))).is_ok());
        assert_eq!(verifier.verify(&token, NOW.plus(Span::from_seconds(605))), Err(AuthError::Expired));
    }
    assert_eq!(issuer.issue(&user, Roles::default(), NOW, Span::ZERO), Err(IssueError::NoLifetime));
}

#[test]
fn only_public_keys_of_a_sound_kind_are_taken() {
    let weak = include_str!("fixtures/rsa1024.pub.pem");
    let p384 = include_str!("fixtures/ec384.pub.pem");
    // The same DER with the last byte of y changed: not a point of the curve.
    let off_curve = EC_PEM.replace("yyhot+/EQ==", "yyhot+/Eg==");
    assert_ne!(off_curve, EC_PEM);
    for (pem, expected) in [
        (weak, KeyFileError::Unsupported),
        (p384, KeyFileError::Unsupported),
        (off_curve.as_str(), KeyFileError::Unsupported),
        ("-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----", KeyFileError::Private),
        ("-----BEGIN RSA PRIVATE KEY-----\n", KeyFileError::Private),
        ("-----BEGIN CERTIFICATE-----\nMC4=\n-----END CERTIFICATE-----", KeyFileError::NotPem),
        ("-----BEGIN PUBLIC KEY-----\n!!!\n-----END PUBLIC KEY-----", KeyFileError::NotPem),
        ("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----", KeyFileError::Unsupported),
        ("", KeyFileError::NotPem),
    ] {
        assert_eq!(TrustedKey::from_public_pem(pem).unwrap_err(), expected, "{pem}");
    }
    let two = format!("{EC_PEM}{ED_PEM}");
    assert_eq!(TrustedKey::from_public_pem(&two).unwrap_err(), KeyFileError::NotPem);
    let cut = RSA_PEM.replace("PwIDAQAB", "PwID");
    assert_eq!(TrustedKey::from_public_pem(&cut).unwrap_err(), KeyFileError::Unsupported);
}

/// An RSA `SubjectPublicKeyInfo` whose modulus has so many bytes, all lengths in two bytes.
fn rsa_pem(modulus_bytes: u16) -> String {
    let length = |bytes: u16| bytes.to_be_bytes();
    let mut key = vec![0x02, 0x82];
    key.extend(length(modulus_bytes + 1));
    key.push(0);
    key.extend(vec![0xff; usize::from(modulus_bytes)]);
    key.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
    let wrap = |tag: &[u8], inner: &[u8]| [tag, &length(inner.len() as u16), inner].concat();
    let key = wrap(&[0x30, 0x82], &key);
    let algorithm =
        [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0x00].as_slice();
    let bits = wrap(&[0x03, 0x82], &[&[0], key.as_slice()].concat());
    let der = wrap(&[0x30, 0x82], &[algorithm, bits.as_slice()].concat());
    let base64 = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n")
}

#[test]
fn rsa_keys_have_2048_to_4096_bits() {
    for (bytes, taken) in [(255, false), (256, true), (512, true), (513, false), (2048, false)] {
        assert_eq!(TrustedKey::from_public_pem(&rsa_pem(bytes)).is_ok(), taken, "{bytes} bytes");
    }
}

#[test]
fn nothing_prints_a_secret() {
    let key = LocalKey::from_bytes(*b"canary-canary-canary-canary-cana");
    let shown = format!(
        "{key:?} {:?} {:?} {:?}",
        key.trusted(),
        Issuer::new(&key, whom()),
        Verifier::new(whom(), LEEWAY, vec![key.trusted()])
    );
    // As text and as a list of byte values.
    assert!(!shown.contains("canary") && !shown.contains("99, 97, 110"), "{shown}");
    for error in [AuthError::BadSignature, AuthError::MissingClaim("sub"), AuthError::InvalidSubject] {
        assert!(!error.to_string().contains("eyJ"));
    }
}
