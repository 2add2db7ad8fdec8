//! Who is calling: JSON Web Tokens (RFC 7519) in, a [`Principal`] out.
//!
//! The verifier decides by its own keys, never by what the token says about itself: a token's `alg` only
//! selects among the keys that were configured for exactly that algorithm, so `none`, another family or
//! an HMAC made with a public key find no key to be checked with (RFC 8725, 3.1 and 3.2).
//! `exp`, `aud`, `iss` and `sub` must be there. The time is an argument, so that a token means the same
//! on a virtual clock.
//!
//! ```
//! use rideplane_core::{ids::UserId, time::{Span, Timestamp}};
//! use rideplane_http::auth::{Audience, Issuer, LocalKey, Roles, Verifier};
//!
//! let key = LocalKey::from_bytes([7; 32]);
//! let whom = Audience { issuer: "rideplane".into(), audience: "rideplane".into() };
//! let now = Timestamp::from_unix_seconds(1_767_225_600);
//! let rider = UserId::new("rider-1")?;
//! let token = Issuer::new(&key, whom.clone()).issue(&rider, Roles::default(), now, Span::from_minutes(60))?;
//!
//! let verifier = Verifier::new(whom, Span::from_seconds(5), vec![key.trusted()]);
//! assert_eq!(verifier.verify(&token, now)?.user_id, rider);
//! assert!(verifier.verify(&token, now.plus(Span::from_minutes(61))).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod keys;
#[cfg(test)]
mod tests;

use core::fmt;

use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation, decode, decode_header, encode};
use rideplane_core::ids::UserId;
use rideplane_core::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};

pub use keys::{KeyFileError, LocalKey, TrustedKey};

/// The longest token that is looked at, bytes. Ours have about 250; a token of an identity provider with
/// many claims has 2 to 4 thousand.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The role that opens the operator's calls.
const OPERATOR: &str = "operator";

/// Who makes tokens and for whom: the `iss` and `aud` of every token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// `iss`: who made the token.
    pub issuer: String,
    /// `aud`: which service it is for. A token may name several; this one must be among them.
    pub audience: String,
}

/// What a caller may do beyond riding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// May use the operator's calls (`roles` holds `operator`).
    pub operator: bool,
}

/// A caller whose token was found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The token's `sub`.
    pub user_id: UserId,
    /// The token's `roles`; names that are not known here mean nothing here.
    pub roles: Roles,
}

/// Why a token is refused. Never holds any part of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("the token is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// Not three base64url parts around JSON, or a header with an unknown or no algorithm.
    #[error("the token is not a signed JSON Web Token (RFC 7519) of an algorithm that is accepted here")]
    Malformed,
    /// Well-formed, but no key here has its algorithm.
    #[error("the token's algorithm is not accepted here")]
    AlgorithmRefused,
    /// The header marks an extension as critical, and none is understood here (RFC 7515, 4.1.11).
    #[error("the token demands an extension that is not understood here")]
    CriticalExtension,
    /// No key here made the signature over these contents.
    #[error("the token's signature is not by a key that is trusted here")]
    BadSignature,
    /// A required claim is absent.
    #[error("the token has no {0:?} claim: exp, aud, iss and sub are required")]
    MissingClaim(&'static str),
    /// The claims are not of the types that RFC 7519 gives them, or one is there twice.
    #[error("a claim of the token has the wrong type or is there twice")]
    InvalidClaim,
    /// Made for another service.
    #[error("the token is meant for another audience")]
    WrongAudience,
    /// Made by somebody else.
    #[error("the token is by another issuer")]
    WrongIssuer,
    /// `exp` is past.
    #[error("the token has expired: ask for a new one")]
    Expired,
    /// `nbf` is still to come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `sub` is not an identifier.
    #[error("the token's subject is not a user id")]
    InvalidSubject,
}

/// Why a token could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The life asked for is not at least one second.
    #[error("a token must live for at least one second")]
    NoLifetime,
    /// The signing library refused.
    #[error("the token could not be signed")]
    NotSigned,
}

/// Judges tokens by the keys it was given. Cheap to share behind an `Arc`; prints no key.
pub struct Verifier {
    keys: Vec<TrustedKey>,
    leeway: Span,
    validation: Validation,
}

/// Makes tokens with the local key: for the command line, tests and demos. Prints no key.
pub struct Issuer {
    key: EncodingKey,
    whom: Audience,
}

#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    // The library compares it; here it is only held to be one text. RFC 7519 4.1.1 has a StringOrURI here, and a list would make "by whom" ambiguous.
    #[serde(rename = "iss")]
    _iss: Option<String>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    roles: Option<Vec<String>>,
}

#[derive(Serialize)]
struct NewClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<&'static str>,
}

/// Seconds since 1970, fractions allowed (RFC 7519, 2).
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum NumericDate {
    Whole(i64),
    Fraction(f64),
}

impl NumericDate {
    fn timestamp(self) -> Timestamp {
        match self {
            Self::Whole(seconds) => Timestamp::from_unix_seconds(seconds),
            // `as` saturates, and JSON has no NaN: a date beyond the range is the range's end.
            Self::Fraction(seconds) => Timestamp::from_micros((seconds * 1e6) as i64),
        }
    }
}

impl Verifier {
    /// A verifier for tokens by `whom.issuer` for `whom.audience`, signed with one of `keys`.
    /// `leeway` is how far the clocks of issuer and service may differ; keep it to seconds.
    #[must_use]
    pub fn new(whom: Audience, leeway: Span, keys: Vec<TrustedKey>) -> Self {
        let mut validation = Validation::default();
        validation.set_audience(&[whom.audience]);
        validation.set_issuer(&[whom.issuer]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        // Times are judged here, against the time that was passed in.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.leeway = 0;
        Self { keys, leeway, validation }
    }

    /// Judges a token (without the `Bearer` scheme) at `now`.
    ///
    /// # Errors
    /// Every token that is not signed by a key of this verifier, in that key's algorithm, for this
    /// audience, by this issuer, and valid at `now`.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Principal, AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::TooLong);
        }
        let header = decode_header(token).map_err(|_| AuthError::Malformed)?;
        if header.crit.is_some() {
            return Err(AuthError::CriticalExtension);
        }
        let claims = self.signed_claims(token, header.alg)?;
        self.check_times(&claims, now)?;
        let subject = claims.sub.ok_or(AuthError::MissingClaim("sub"))?;
        let operator = claims.roles.is_some_and(|roles| roles.iter().any(|role| role == OPERATOR));
        let user_id = UserId::new(subject).map_err(|_| AuthError::InvalidSubject)?;
        Ok(Principal { user_id, roles: Roles { operator } })
    }

    /// The claims, if one of the keys for `algorithm` signed them. The library checks that audience and
    /// issuer are there and right, after the signature.
    fn signed_claims(&self, token: &str, algorithm: Algorithm) -> Result<Claims, AuthError> {
        let mut refusal = AuthError::AlgorithmRefused;
        for key in self.keys.iter().filter(|key| key.algorithm == algorithm) {
            let mut validation = self.validation.clone();
            validation.algorithms = vec![key.algorithm];
            match decode::<Claims>(token, &key.key, &validation) {
                Ok(data) => return Ok(data.claims),
                Err(error) => refusal = refusal_of(&error),
            }
            // Another key of the same algorithm may have made it: keys are rotated.
            if refusal != AuthError::BadSignature {
                break;
            }
        }
        Err(refusal)
    }

    /// RFC 7519 4.1.4 and 4.1.5: now must be before `exp` and not before `nbf`, give or take the leeway.
    fn check_times(&self, claims: &Claims, now: Timestamp) -> Result<(), AuthError> {
        let expires = claims.exp.ok_or(AuthError::MissingClaim("exp"))?.timestamp();
        if now >= expires.plus(self.leeway) {
            return Err(AuthError::Expired);
        }
        match claims.nbf {
            Some(from) if now.plus(self.leeway) < from.timestamp() => Err(AuthError::NotYetValid),
            Some(_) | None => Ok(()),
        }
    }
}

impl Issuer {
    /// An issuer with the local key.
    #[must_use]
    pub fn new(key: &LocalKey, whom: Audience) -> Self {
        Self { key: key.encoding(), whom }
    }

    /// A token that says `user` has `roles` from `now` for `ttl`.
    ///
    /// # Errors
    /// [`IssueError::NoLifetime`] when `ttl` is less than a second.
    pub fn issue(
        &self,
        user: &UserId,
        roles: Roles,
        now: Timestamp,
        ttl: Span,
    ) -> Result<String, IssueError> {
        if ttl < Span::from_seconds(1) {
            return Err(IssueError::NoLifetime);
        }
        let claims = NewClaims {
            iss: &self.whom.issuer,
            aud: &self.whom.audience,
            sub: user.as_str(),
            iat: now.as_unix_seconds(),
            exp: now.plus(ttl).as_unix_seconds(),
            roles: if roles.operator { vec![OPERATOR] } else { Vec::new() },
        };
        encode(&Header::new(keys::LOCAL_ALGORITHM), &claims, &self.key).map_err(|_| IssueError::NotSigned)
    }
}

fn refusal_of(error: &JwtError) -> AuthError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library's enum is open: it may grow")]
    match error.kind() {
        ErrorKind::InvalidSignature => AuthError::BadSignature,
        ErrorKind::InvalidAudience => AuthError::WrongAudience,
        ErrorKind::InvalidIssuer => AuthError::WrongIssuer,
        ErrorKind::InvalidAlgorithm => AuthError::AlgorithmRefused,
        ErrorKind::MissingRequiredClaim(claim) => AuthError::MissingClaim(match claim.as_str() {
            "exp" => "exp",
            "aud" => "aud",
            "iss" => "iss",
            _ => "sub",
        }),
        // The signature was checked before the claims were read: JSON that fails here is the claims'.
        ErrorKind::Json(_) | ErrorKind::InvalidClaimFormat(_) => AuthError::InvalidClaim,
        _ => AuthError::Malformed,
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("keys", &self.keys).field("leeway", &self.leeway).finish()
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("whom", &self.whom).finish_non_exhaustive()
    }
}
