//! The keys that tokens are checked with: the local secret, or an identity provider's public key.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

/// The local key never leaves its machine, so one secret for making and checking is enough.
pub(super) const LOCAL_ALGORITHM: Algorithm = Algorithm::HS256;

/// `SubjectPublicKeyInfo` (RFC 5280) up to the key itself, for the three kinds that are accepted. DER has
/// one encoding for each, so a comparison reads them without a parser.
const ED25519_SPKI: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const P256_SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const RSA_ALGORITHM: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// The secret that local tokens are signed and checked with (HS256, RFC 7518 3.2). Prints nothing of itself.
#[derive(Clone)]
pub struct LocalKey([u8; 32]);

/// A key whose signatures are believed, and the one algorithm it is used with.
#[derive(Clone)]
pub struct TrustedKey {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// Why a public key file can't be used. Holds nothing of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// A private key was given.
    #[error(
        "this is a private key: give the public one (openssl pkey -in FILE -pubout), and keep this one away"
    )]
    Private,
    /// Not a PEM file with one `PUBLIC KEY`.
    #[error(
        "this is not one PEM block \"-----BEGIN PUBLIC KEY-----\" (openssl pkey -in FILE -pubout makes one)"
    )]
    NotPem,
    /// A public key of another kind.
    #[error("the key is not RSA of 2048 to 4096 bits (RS256), EC P-256 (ES256) or Ed25519 (EdDSA)")]
    Unsupported,
}

impl LocalKey {
    /// Takes 32 random bytes as the key.
    #[must_use]
    pub const fn from_bytes(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// This key as one whose signatures are believed.
    #[must_use]
    pub fn trusted(&self) -> TrustedKey {
        TrustedKey { algorithm: LOCAL_ALGORITHM, key: DecodingKey::from_secret(&self.0) }
    }

    pub(super) fn encoding(&self) -> EncodingKey {
        EncodingKey::from_secret(&self.0)
    }
}

impl TrustedKey {
    /// Reads an identity provider's public key from PEM (`SubjectPublicKeyInfo`): RSA is used with RS256,
    /// P-256 with ES256, Ed25519 with EdDSA, and with nothing else.
    ///
    /// # Errors
    /// [`KeyFileError`] on anything else, a private key above all.
    pub fn from_public_pem(pem: &str) -> Result<Self, KeyFileError> {
        if pem.contains("PRIVATE KEY") {
            return Err(KeyFileError::Private);
        }
        let der = public_der(pem).ok_or(KeyFileError::NotPem)?;
        let key = ed25519(&der).or_else(|| p256(&der)).or_else(|| rsa(&der));
        key.filter(Self::is_usable).ok_or(KeyFileError::Unsupported)
    }

    /// Whether the crypto library takes the key, for example whether the point is on the curve.
    fn is_usable(&self) -> bool {
        let zeros = URL_SAFE_NO_PAD.encode([0; 64]);
        jsonwebtoken::crypto::verify(&zeros, b"", &self.key, self.algorithm).is_ok()
    }
}

fn public_der(pem: &str) -> Option<Vec<u8>> {
    let body = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?;
    let body = body.strip_suffix("-----END PUBLIC KEY-----")?;
    let base64: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(base64).ok()
}

fn ed25519(der: &[u8]) -> Option<TrustedKey> {
    let point = der.strip_prefix(ED25519_SPKI).filter(|point| point.len() == 32)?;
    Some(TrustedKey { algorithm: Algorithm::EdDSA, key: DecodingKey::from_ed_der(point) })
}

fn p256(der: &[u8]) -> Option<TrustedKey> {
    let point = der.strip_prefix(P256_SPKI).filter(|point| point.len() == 65 && point.starts_with(&[4]))?;
    Some(TrustedKey { algorithm: Algorithm::ES256, key: DecodingKey::from_ec_der(point) })
}

fn rsa(der: &[u8]) -> Option<TrustedKey> {
    // Every length from 2048 bits on takes two bytes (0x82); a smaller key does not match.
    let [0x30, 0x82, _, _, rest @ ..] = der else { return None };
    let [0x03, 0x82, _, _, 0x00, key @ ..] = rest.strip_prefix(RSA_ALGORITHM)? else { return None };
    let [0x30, 0x82, _, _, 0x02, 0x82, high, low, numbers @ ..] = key else { return None };
    let modulus_bytes = usize::from(u16::from_be_bytes([*high, *low]));
    let (modulus, exponent) = numbers.split_at_checked(modulus_bytes)?;
    // A modulus of whole bytes has its top bit set, and DER puts a zero before it.
    let sized = (257..=513).contains(&modulus_bytes) && matches!(modulus, [0, 0x80..=0xff, ..]);
    let odd = matches!(exponent, [0x02, length, .., last] if usize::from(*length) + 2 == exponent.len() && last % 2 == 1);
    (sized && odd).then(|| TrustedKey { algorithm: Algorithm::RS256, key: DecodingKey::from_rsa_der(key) })
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalKey(secret)")
    }
}

impl fmt::Debug for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustedKey({:?})", self.algorithm)
    }
}
