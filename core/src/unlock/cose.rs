//! The signed envelope: COSE_Sign1 (RFC 9052, section 4.2) with EdDSA over Ed25519 (RFC 9053, section 2.2).
//!
//! ```text
//! 18([ << {1: -8, 4: kid} >>, {}, << claims >>, signature ])
//! ```
//!
//! Always tagged, so that the bytes say what they are; nothing is ever unprotected. The signature also covers,
//! as external AAD, the array `[context, vehicle id, topic]`: a command is bound to its vehicle and its topic,
//! and can never pass for an ack.

use ed25519_dalek::Signature;

use super::cbor::{self, Reader};
use super::claims::{AckClaims, CommandClaims};
use super::keys::{PreparedKey, TrustedKeys, VehicleKey};
use crate::ids::{KeyId, VehicleId};

/// The most bytes a signed command or ack may have; the longest that can be made has 471.
pub const MAX_BYTES: usize = 512;

/// The length of an Ed25519 signature, bytes.
pub const SIGNATURE_BYTES: usize = 64;

/// COSE_Sign1_Tagged (RFC 9052, section 2, table 1).
const TAG_SIGN1: u64 = 18;
/// Header parameter `alg` (RFC 9052, section 3.1).
const ALG: u64 = 1;
/// Header parameter `kid` (RFC 9052, section 3.1).
const KID: u64 = 4;
/// EdDSA (RFC 9053, section 2.2).
const EDDSA: i64 = -8;

const TOPIC_PREFIX: &str = "rideplane/v1/vehicles/";

/// Why bytes are not an authentic command or ack. Whoever gets one of these must not answer the sender:
/// nothing in such a message is known to be true.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It is longer than any such message can be.
    #[error("the message has {len} bytes, at most {MAX_BYTES} are read")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
    },
    /// Something else stands where this item belongs.
    #[error("the message does not hold a valid {item} where it belongs")]
    Malformed {
        /// The item.
        item: &'static str,
    },
    /// The same content has a shorter or ordered form, which is the only one accepted.
    #[error("the message is not in deterministic CBOR (RFC 8949, section 4.2.1): encode it so")]
    NotCanonical,
    /// The key it names is not trusted.
    #[error("the message is signed under key {kid:?}, which is not trusted here: sign under a live key")]
    UnknownKey {
        /// The key id, as far as it is text.
        kid: String,
    },
    /// The key of the vehicle can't verify anything.
    #[error("the stored key of vehicle {vehicle_id} is not an Ed25519 public key: enrol the vehicle again")]
    UnusableKey {
        /// The vehicle.
        vehicle_id: VehicleId,
    },
    /// The signature does not belong to these bytes, this key, this vehicle and this topic.
    #[error("the signature does not fit the message, its vehicle and its topic")]
    BadSignature,
    /// It is authentic, yet its claims name another vehicle than the envelope.
    #[error("the message is for vehicle {named}, not for {expected}")]
    WrongVehicle {
        /// The vehicle in the claims.
        named: VehicleId,
        /// The vehicle it was verified for.
        expected: VehicleId,
    },
    /// It is authentic, yet no server or vehicle may claim this.
    #[error("the {claim} is not valid: {rule}")]
    InvalidClaim {
        /// The claim.
        claim: &'static str,
        /// Its rule.
        rule: &'static str,
    },
}

/// Says whether a signature fits. [`TrustedKeys`] and [`PreparedKey`] do, by Ed25519 alone (RFC 8032, strictly); a
/// host whose keys sit in a secure element, or a simulation that can't afford real signatures, brings its own.
///
/// Whoever implements this decides whom a lock obeys and whom the server believes.
pub trait Verify {
    /// Whether `signature` over `message`, the `Sig_structure` of RFC 9052, was made with the key that `kid` names.
    ///
    /// # Errors
    /// [`WireError::UnknownKey`] when no such key is trusted, else [`WireError::BadSignature`].
    fn verify(&self, kid: &[u8], message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> Result<(), WireError>;
}

impl Verify for TrustedKeys {
    fn verify(&self, kid: &[u8], message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> Result<(), WireError> {
        self.find(kid).ok_or_else(|| WireError::unknown(kid))?.verify(kid, message, signature)
    }
}

/// One key for one speaker: whose id the message names has been compared before.
impl Verify for PreparedKey {
    fn verify(
        &self,
        _kid: &[u8],
        message: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Result<(), WireError> {
        self.verifying()
            .verify_strict(message, &Signature::from_bytes(signature))
            .map_err(|_| WireError::BadSignature)
    }
}

impl WireError {
    fn unknown(kid: &[u8]) -> Self {
        Self::UnknownKey { kid: String::from_utf8_lossy(kid).into_owned() }
    }
}

#[derive(Clone, Copy)]
enum Channel {
    Command,
    Ack,
}

impl Channel {
    const fn context(self) -> &'static str {
        match self {
            Self::Command => "rideplane/command/v1",
            Self::Ack => "rideplane/ack/v1",
        }
    }

    const fn topic_suffix(self) -> &'static str {
        match self {
            Self::Command => "/commands",
            Self::Ack => "/acks",
        }
    }

    fn topic(self, vehicle_id: &VehicleId) -> String {
        [TOPIC_PREFIX, vehicle_id.as_str(), self.topic_suffix()].concat()
    }
}

/// The topic on which a vehicle gets its commands: `rideplane/v1/vehicles/{id}/commands`.
#[must_use]
pub fn command_topic(vehicle_id: &VehicleId) -> String {
    Channel::Command.topic(vehicle_id)
}

/// The topic on which a vehicle answers: `rideplane/v1/vehicles/{id}/acks`.
#[must_use]
pub fn ack_topic(vehicle_id: &VehicleId) -> String {
    Channel::Ack.topic(vehicle_id)
}

/// A message that lacks only its signature, so that the key can stay in a KMS, an HSM or a secure element.
///
/// Equal claims under one key id give equal bytes, and Ed25519 is deterministic (RFC 8032): a command that is
/// signed again is the same command, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsigned {
    to_be_signed: Vec<u8>,
    envelope: Vec<u8>,
}

impl Unsigned {
    /// A command, to be signed by the server's key `key_id`. Claims that no vehicle accepts (a counter of 0,
    /// an expiry before the issue) are not refused here but by [`verify_command`].
    #[must_use]
    pub fn command(claims: &CommandClaims, key_id: &KeyId) -> Self {
        Self::build(Channel::Command, &claims.vehicle_id, key_id.as_str(), &claims.encode())
    }

    /// An ack, to be signed by the vehicle's own key, whose key id is the vehicle's id.
    #[must_use]
    pub fn ack(claims: &AckClaims) -> Self {
        Self::build(Channel::Ack, &claims.vehicle_id, claims.vehicle_id.as_str(), &claims.encode())
    }

    fn build(channel: Channel, vehicle_id: &VehicleId, kid: &str, payload: &[u8]) -> Self {
        let protected = protected_header(kid.as_bytes());
        Self {
            to_be_signed: to_be_signed(channel, vehicle_id, &protected, payload),
            envelope: open_envelope(&protected, payload),
        }
    }

    /// The bytes to sign: the `Sig_structure` of RFC 9052, section 4.4.
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        &self.to_be_signed
    }

    /// The message with its signature.
    #[must_use]
    pub fn finish(mut self, signature: [u8; SIGNATURE_BYTES]) -> Vec<u8> {
        cbor::bytes(&mut self.envelope, &signature);
        self.envelope
    }
}

/// Reads a command as the vehicle `vehicle_id`: size, form, key, signature, canonical form, claims, in this
/// order, so that nothing is believed before it is known who said it.
///
/// Expiry, epoch and counter are judged by [`Agent`](super::Agent), which has the clock and the memory.
///
/// # Errors
/// [`WireError`]; the vehicle stays silent on all of them.
pub fn verify_command(
    bytes: &[u8],
    trusted: &impl Verify,
    vehicle_id: &VehicleId,
) -> Result<CommandClaims, WireError> {
    let envelope = Envelope::parse(bytes)?;
    envelope.authenticate(Channel::Command, vehicle_id, trusted)?;
    let claims = CommandClaims::decode(envelope.payload)?;
    envelope.must_be(bytes, &claims.encode())?;
    same_vehicle(&claims.vehicle_id, vehicle_id)?;
    claims.validate()?;
    Ok(claims)
}

/// Reads an ack that came from `vehicle_id` (its topic, or [`peek_ack_vehicle`]), whose enrolled key is `key`.
///
/// # Errors
/// [`WireError`]; an ack that gives one of them says nothing about the vehicle.
pub fn verify_ack(bytes: &[u8], vehicle_id: &VehicleId, key: &VehicleKey) -> Result<AckClaims, WireError> {
    match key.prepare() {
        Ok(key) => verify_ack_with(bytes, vehicle_id, &key),
        Err(_) => Err(WireError::UnusableKey { vehicle_id: vehicle_id.clone() }),
    }
}

/// [`verify_ack`] under a key that has been unpacked before, or by another's judgement.
///
/// # Errors
/// As [`verify_ack`].
pub fn verify_ack_with(
    bytes: &[u8],
    vehicle_id: &VehicleId,
    key: &impl Verify,
) -> Result<AckClaims, WireError> {
    let envelope = Envelope::parse(bytes)?;
    if envelope.kid != vehicle_id.as_str().as_bytes() {
        return Err(WireError::unknown(envelope.kid));
    }
    envelope.authenticate(Channel::Ack, vehicle_id, key)?;
    let claims = AckClaims::decode(envelope.payload)?;
    envelope.must_be(bytes, &claims.encode())?;
    same_vehicle(&claims.vehicle_id, vehicle_id)?;
    claims.validate()?;
    Ok(claims)
}

/// The vehicle that an ack claims to come from, so that its key can be looked up. Not verified: it says which
/// key to try, and nothing else.
///
/// # Errors
/// [`WireError`] when the bytes are not shaped like an ack.
pub fn peek_ack_vehicle(bytes: &[u8]) -> Result<VehicleId, WireError> {
    let envelope = Envelope::parse(bytes)?;
    let malformed = WireError::Malformed { item: "key id" };
    match core::str::from_utf8(envelope.kid).map(VehicleId::new) {
        Ok(Ok(vehicle_id)) => Ok(vehicle_id),
        Ok(Err(_)) | Err(_) => Err(malformed),
    }
}

/// The parts of a message that are needed before anything in it is believed.
struct Envelope<'a> {
    protected: &'a [u8],
    kid: &'a [u8],
    payload: &'a [u8],
    signature: [u8; SIGNATURE_BYTES],
}

impl<'a> Envelope<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        if bytes.len() > MAX_BYTES {
            return Err(WireError::TooLarge { len: bytes.len() });
        }
        let mut reader = Reader::new(bytes);
        reader.tag(TAG_SIGN1, "COSE_Sign1 tag")?;
        reader.array(4, "COSE_Sign1 array")?;
        let protected = reader.bytes("protected header")?;
        if reader.map("empty unprotected header")? != 0 {
            return Err(WireError::Malformed { item: "empty unprotected header" });
        }
        let payload = reader.bytes("payload")?;
        let signature = reader.fixed("signature")?;
        reader.end("end of the message")?;
        Ok(Self { protected, kid: read_protected(protected)?, payload, signature })
    }

    fn authenticate(
        &self,
        channel: Channel,
        vehicle_id: &VehicleId,
        keys: &impl Verify,
    ) -> Result<(), WireError> {
        let message = to_be_signed(channel, vehicle_id, self.protected, self.payload);
        keys.verify(self.kid, &message, &self.signature)
    }

    /// Encodes what was understood and compares: whatever the reader might have overlooked shows here.
    fn must_be(&self, bytes: &[u8], payload: &[u8]) -> Result<(), WireError> {
        let mut canonical = open_envelope(&protected_header(self.kid), payload);
        cbor::bytes(&mut canonical, &self.signature);
        if canonical == bytes { Ok(()) } else { Err(WireError::NotCanonical) }
    }
}

fn read_protected(protected: &[u8]) -> Result<&[u8], WireError> {
    let mut reader = Reader::new(protected);
    if reader.map("protected header")? != 2 {
        return Err(WireError::Malformed { item: "protected header" });
    }
    reader.key(ALG, "algorithm")?;
    if reader.int("algorithm")? != EDDSA {
        return Err(WireError::Malformed { item: "algorithm (EdDSA)" });
    }
    reader.key(KID, "key id")?;
    let kid = reader.bytes("key id")?;
    reader.end("protected header")?;
    Ok(kid)
}

fn protected_header(kid: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(kid.len().saturating_add(8));
    cbor::map(&mut out, 2);
    cbor::uint(&mut out, ALG);
    cbor::int(&mut out, EDDSA);
    cbor::uint(&mut out, KID);
    cbor::bytes(&mut out, kid);
    out
}

fn to_be_signed(channel: Channel, vehicle_id: &VehicleId, protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let vehicle = vehicle_id.as_str();
    let mut aad = Vec::with_capacity(384);
    cbor::array(&mut aad, 3);
    cbor::text(&mut aad, &[channel.context()]);
    cbor::text(&mut aad, &[vehicle]);
    cbor::text(&mut aad, &[TOPIC_PREFIX, vehicle, channel.topic_suffix()]);

    let mut out = Vec::with_capacity(1024);
    cbor::array(&mut out, 4);
    cbor::text(&mut out, &["Signature1"]);
    cbor::bytes(&mut out, protected);
    cbor::bytes(&mut out, &aad);
    cbor::bytes(&mut out, payload);
    out
}

/// The message up to its signature.
fn open_envelope(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(MAX_BYTES);
    cbor::tag(&mut out, TAG_SIGN1);
    cbor::array(&mut out, 4);
    cbor::bytes(&mut out, protected);
    cbor::map(&mut out, 0);
    cbor::bytes(&mut out, payload);
    out
}

fn same_vehicle(named: &VehicleId, expected: &VehicleId) -> Result<(), WireError> {
    if named == expected {
        return Ok(());
    }
    Err(WireError::WrongVehicle { named: named.clone(), expected: expected.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reader leaves nothing for the comparison to find, so the comparison is shown to bite on its own.
    #[test]
    fn the_comparison_bites() {
        let unsigned = Unsigned::build(Channel::Ack, &VehicleId::new("v").unwrap(), "v", b"payload");
        let bytes = unsigned.finish([0; SIGNATURE_BYTES]);
        let envelope = Envelope::parse(&bytes).unwrap();
        assert_eq!(envelope.must_be(&bytes, b"payload"), Ok(()));
        assert_eq!(envelope.must_be(&bytes, b"payloaD"), Err(WireError::NotCanonical));
        assert_eq!(envelope.must_be(&[&bytes[..], &[0]].concat(), b"payload"), Err(WireError::NotCanonical));
    }
}
