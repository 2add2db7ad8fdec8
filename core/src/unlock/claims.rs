//! What a command and an ack say, and the one CBOR form of each.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::cbor::{self, Reader};
use super::cose::WireError;
use super::keys::RequestHash;
use crate::charge::Charge;
use crate::ids::{BookingId, CommandId, Epoch, VehicleId};
use crate::time::{Span, Timestamp};

/// What a vehicle is told to do with its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Open it.
    Unlock,
    /// Close it.
    Lock,
}

impl Action {
    const fn code(self) -> u64 {
        match self {
            Self::Unlock => 1,
            Self::Lock => 2,
        }
    }

    const fn from_code(code: u64) -> Option<Self> {
        match code {
            1 => Some(Self::Unlock),
            2 => Some(Self::Lock),
            _ => None,
        }
    }
}

/// A command to a vehicle: who may do what, under which fence, until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandClaims {
    /// The vehicle that is meant.
    pub vehicle_id: VehicleId,
    /// The booking for which it is given.
    pub booking_id: BookingId,
    /// Its own name: a command with this id is carried out at most once.
    pub command_id: CommandId,
    /// What to do.
    pub action: Action,
    /// The fence of the holder. The vehicle refuses one below the highest it has seen.
    pub epoch: Epoch,
    /// Strictly increasing over the life of the vehicle, never 0.
    pub counter: u64,
    /// When the server gave it (CWT `iat`, in microseconds).
    pub issued_at: Timestamp,
    /// The first instant at which it must not be carried out any more (CWT `exp`, in microseconds).
    pub expires_at: Timestamp,
}

impl CommandClaims {
    /// How long the command lives.
    #[must_use]
    pub const fn life(&self) -> Span {
        self.expires_at.since(self.issued_at)
    }

    /// SHA-256 of the claims in canonical CBOR, which is the payload of the signed command. Signing again,
    /// even under another key, leaves it unchanged.
    #[must_use]
    pub fn hash(&self) -> RequestHash {
        RequestHash::from_bytes(Sha256::digest(self.encode()).into())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        cbor::map(&mut out, 8);
        cbor::uint(&mut out, 1);
        cbor::text(&mut out, &[self.vehicle_id.as_str()]);
        cbor::uint(&mut out, 2);
        cbor::bytes(&mut out, self.booking_id.as_uuid().as_bytes());
        cbor::uint(&mut out, 3);
        cbor::bytes(&mut out, self.command_id.as_uuid().as_bytes());
        cbor::uint(&mut out, 4);
        cbor::uint(&mut out, self.action.code());
        cbor::uint(&mut out, 5);
        cbor::uint(&mut out, self.epoch.0);
        cbor::uint(&mut out, 6);
        cbor::uint(&mut out, self.counter);
        cbor::uint(&mut out, 7);
        cbor::int(&mut out, self.issued_at.as_micros());
        cbor::uint(&mut out, 8);
        cbor::int(&mut out, self.expires_at.as_micros());
        out
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(payload);
        if reader.map("claims of the command")? != 8 {
            return Err(WireError::Malformed { item: "claims of the command" });
        }
        let claims = Self {
            vehicle_id: vehicle_id(&mut reader)?,
            booking_id: BookingId::from_uuid(uuid(&mut reader, 2, "booking id")?),
            command_id: CommandId::from_uuid(uuid(&mut reader, 3, "command id")?),
            action: action(&mut reader, 4)?,
            epoch: Epoch(uint(&mut reader, 5, "epoch")?),
            counter: uint(&mut reader, 6, "counter")?,
            issued_at: instant(&mut reader, 7, "time of issue")?,
            expires_at: instant(&mut reader, 8, "expiry")?,
        };
        reader.end("end of the claims")?;
        Ok(claims)
    }

    /// What holds of every command, whoever reads it.
    pub(super) fn validate(&self) -> Result<(), WireError> {
        if self.counter == 0 {
            return Err(WireError::InvalidClaim { claim: "counter", rule: "it starts at 1" });
        }
        if self.expires_at <= self.issued_at {
            return Err(WireError::InvalidClaim {
                claim: "expiry",
                rule: "it comes after the time of issue",
            });
        }
        validate_instant("time of issue", self.issued_at)?;
        validate_instant("expiry", self.expires_at)
    }
}

/// Why a vehicle does not do what it was told. Each is final: the command will not be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It arrived at or after its expiry, by the vehicle's clock.
    Expired,
    /// It was issued later than now plus the clock skew, by the vehicle's clock: that clock is behind.
    NotYetValid,
    /// It lives longer than any command may.
    LifeTooLong,
    /// A later holder has commanded the vehicle since.
    StaleEpoch,
    /// A later command has been judged since, and this one is not among those that are remembered.
    StaleCounter,
    /// Another command had this id before.
    CommandIdReused,
    /// Power was lost while it was carried out, and the lock does not stand as commanded.
    Interrupted,
    /// The lock is jammed.
    Jammed,
    /// The battery is too low to move the lock safely.
    LowBattery,
    /// The vehicle moves.
    Moving,
    /// The vehicle is out of service.
    OutOfService,
}

impl Refusal {
    /// Every refusal, in the order of its code on the wire, which starts at 1.
    pub const ALL: [Self; 11] = [
        Self::Expired,
        Self::NotYetValid,
        Self::LifeTooLong,
        Self::StaleEpoch,
        Self::StaleCounter,
        Self::CommandIdReused,
        Self::Interrupted,
        Self::Jammed,
        Self::LowBattery,
        Self::Moving,
        Self::OutOfService,
    ];

    const fn code(self) -> u64 {
        match self {
            Self::Expired => 1,
            Self::NotYetValid => 2,
            Self::LifeTooLong => 3,
            Self::StaleEpoch => 4,
            Self::StaleCounter => 5,
            Self::CommandIdReused => 6,
            Self::Interrupted => 7,
            Self::Jammed => 8,
            Self::LowBattery => 9,
            Self::Moving => 10,
            Self::OutOfService => 11,
        }
    }
}

/// What came of a command, in the vehicle's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckResult {
    /// The lock stands as commanded.
    Done,
    /// It was not carried out and never will be.
    Refused(Refusal),
}

impl AckResult {
    const fn code(self) -> u64 {
        match self {
            Self::Done => 0,
            Self::Refused(refusal) => refusal.code(),
        }
    }

    fn from_code(code: u64) -> Option<Self> {
        if code == 0 {
            return Some(Self::Done);
        }
        Refusal::ALL.into_iter().find(|refusal| refusal.code() == code).map(Self::Refused)
    }
}

/// A place in ten-millionths of a degree (WGS 84), about a centimetre: whole numbers, so that one place has
/// one encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "WirePosition", into = "WirePosition")]
pub struct PositionE7 {
    lat_e7: i32,
    lon_e7: i32,
}

/// Numbers that are no place on Earth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{lat_e7}, {lon_e7} is not a place: latitude goes to 90 degrees, longitude to 180, times 10^7")]
pub struct InvalidPosition {
    lat_e7: i64,
    lon_e7: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WirePosition {
    lat_e7: i64,
    lon_e7: i64,
}

impl PositionE7 {
    /// From ten-millionths of a degree.
    ///
    /// # Errors
    /// When the latitude is beyond 90 degrees or the longitude beyond 180.
    pub fn new(lat_e7: i64, lon_e7: i64) -> Result<Self, InvalidPosition> {
        let on_earth = |value: i64, most: u64| value.unsigned_abs() <= most;
        match (i32::try_from(lat_e7), i32::try_from(lon_e7)) {
            (Ok(lat), Ok(lon)) if on_earth(lat_e7, 900_000_000) && on_earth(lon_e7, 1_800_000_000) => {
                Ok(Self { lat_e7: lat, lon_e7: lon })
            }
            (Ok(_) | Err(_), Ok(_) | Err(_)) => Err(InvalidPosition { lat_e7, lon_e7 }),
        }
    }

    /// From degrees, rounded to the nearest ten-millionth.
    ///
    /// # Errors
    /// When the latitude is beyond 90 degrees, the longitude beyond 180, or either is not a number.
    ///
    /// ```
    /// use rideplane_core::unlock::PositionE7;
    /// let zurich = PositionE7::from_degrees(47.376_888_7, 8.541_694)?;
    /// assert_eq!((zurich.lat_e7(), zurich.lon_e7()), (473_768_887, 85_416_940));
    /// assert!(PositionE7::from_degrees(90.1, 0.0).is_err());
    /// assert!(PositionE7::from_degrees(f64::NAN, 0.0).is_err());
    /// # Ok::<(), rideplane_core::unlock::InvalidPosition>(())
    /// ```
    pub fn from_degrees(lat: f64, lon: f64) -> Result<Self, InvalidPosition> {
        // A cast of NaN gives 0, which would be a place off Africa.
        let e7 = |degrees: f64| if degrees.is_nan() { i64::MAX } else { (degrees * 1e7).round() as i64 };
        Self::new(e7(lat), e7(lon))
    }

    /// Latitude in ten-millionths of a degree.
    #[must_use]
    pub const fn lat_e7(self) -> i32 {
        self.lat_e7
    }

    /// Longitude in ten-millionths of a degree.
    #[must_use]
    pub const fn lon_e7(self) -> i32 {
        self.lon_e7
    }

    /// Latitude in degrees (GBFS `lat`).
    #[must_use]
    pub fn lat(self) -> f64 {
        f64::from(self.lat_e7) / 1e7
    }

    /// Longitude in degrees (GBFS `lon`).
    #[must_use]
    pub fn lon(self) -> f64 {
        f64::from(self.lon_e7) / 1e7
    }
}

impl TryFrom<WirePosition> for PositionE7 {
    type Error = InvalidPosition;
    fn try_from(wire: WirePosition) -> Result<Self, InvalidPosition> {
        Self::new(wire.lat_e7, wire.lon_e7)
    }
}

impl From<PositionE7> for WirePosition {
    fn from(position: PositionE7) -> Self {
        Self { lat_e7: position.lat_e7.into(), lon_e7: position.lon_e7.into() }
    }
}

/// The vehicle's signed answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AckClaims {
    /// The vehicle that answers.
    pub vehicle_id: VehicleId,
    /// The booking of the command, by which a server finds what the ack belongs to.
    pub booking_id: BookingId,
    /// The command that is answered.
    pub command_id: CommandId,
    /// The hash of that command, so that no other can be meant.
    pub request_hash: RequestHash,
    /// What it asked for.
    pub action: Action,
    /// What came of it.
    pub result: AckResult,
    /// Its fence.
    pub epoch: Epoch,
    /// Its counter.
    pub counter: u64,
    /// When it was carried out or refused, by the vehicle's clock.
    pub executed_at: Timestamp,
    /// The distance on the vehicle's odometer then, metres.
    pub odometer_m: u64,
    /// Where it was then, if it knew.
    pub position: Option<PositionE7>,
    /// How full the battery was then, if it knew.
    pub charge: Option<Charge>,
}

impl AckClaims {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let optional = u64::from(self.position.is_some()).saturating_add(u64::from(self.charge.is_some()));
        cbor::map(&mut out, optional.saturating_add(10));
        cbor::uint(&mut out, 1);
        cbor::text(&mut out, &[self.vehicle_id.as_str()]);
        cbor::uint(&mut out, 2);
        cbor::bytes(&mut out, self.booking_id.as_uuid().as_bytes());
        cbor::uint(&mut out, 3);
        cbor::bytes(&mut out, self.command_id.as_uuid().as_bytes());
        cbor::uint(&mut out, 4);
        cbor::bytes(&mut out, self.request_hash.as_bytes());
        cbor::uint(&mut out, 5);
        cbor::uint(&mut out, self.action.code());
        cbor::uint(&mut out, 6);
        cbor::uint(&mut out, self.result.code());
        cbor::uint(&mut out, 7);
        cbor::uint(&mut out, self.epoch.0);
        cbor::uint(&mut out, 8);
        cbor::uint(&mut out, self.counter);
        cbor::uint(&mut out, 9);
        cbor::int(&mut out, self.executed_at.as_micros());
        cbor::uint(&mut out, 10);
        cbor::uint(&mut out, self.odometer_m);
        if let Some(position) = self.position {
            cbor::uint(&mut out, 11);
            cbor::array(&mut out, 2);
            cbor::int(&mut out, position.lat_e7.into());
            cbor::int(&mut out, position.lon_e7.into());
        }
        if let Some(charge) = self.charge {
            cbor::uint(&mut out, 12);
            cbor::uint(&mut out, charge.as_basis_points().into());
        }
        out
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(payload);
        let pairs = reader.map("claims of the ack")?;
        let claims = Self {
            vehicle_id: vehicle_id(&mut reader)?,
            booking_id: BookingId::from_uuid(uuid(&mut reader, 2, "booking id")?),
            command_id: CommandId::from_uuid(uuid(&mut reader, 3, "command id")?),
            request_hash: request_hash(&mut reader)?,
            action: action(&mut reader, 5)?,
            result: result(&mut reader)?,
            epoch: Epoch(uint(&mut reader, 7, "epoch")?),
            counter: uint(&mut reader, 8, "counter")?,
            executed_at: instant(&mut reader, 9, "time of execution")?,
            odometer_m: uint(&mut reader, 10, "odometer")?,
            position: position(&mut reader)?,
            charge: charge(&mut reader)?,
        };
        reader.end("end of the claims")?;
        let optional =
            u64::from(claims.position.is_some()).saturating_add(u64::from(claims.charge.is_some()));
        if pairs != optional.saturating_add(10) {
            return Err(WireError::Malformed { item: "claims of the ack" });
        }
        Ok(claims)
    }

    /// What holds of every ack, whoever reads it.
    pub(super) fn validate(&self) -> Result<(), WireError> {
        if self.counter == 0 {
            return Err(WireError::InvalidClaim { claim: "counter", rule: "it starts at 1" });
        }
        validate_instant("time of execution", self.executed_at)
    }
}

fn validate_instant(claim: &'static str, instant: Timestamp) -> Result<(), WireError> {
    if instant >= Timestamp::EPOCH { Ok(()) } else { Err(out_of_time(claim)) }
}

const fn out_of_time(claim: &'static str) -> WireError {
    WireError::InvalidClaim { claim, rule: "it lies between 1970 and 9999" }
}

fn vehicle_id(reader: &mut Reader<'_>) -> Result<VehicleId, WireError> {
    reader.key(1, "vehicle id")?;
    VehicleId::new(reader.text("vehicle id")?).map_err(|_| WireError::Malformed { item: "vehicle id" })
}

fn uuid(reader: &mut Reader<'_>, key: u64, item: &'static str) -> Result<Uuid, WireError> {
    reader.key(key, item)?;
    reader.fixed(item).map(Uuid::from_bytes)
}

fn request_hash(reader: &mut Reader<'_>) -> Result<RequestHash, WireError> {
    reader.key(4, "request hash")?;
    reader.fixed("request hash").map(RequestHash::from_bytes)
}

fn uint(reader: &mut Reader<'_>, key: u64, item: &'static str) -> Result<u64, WireError> {
    reader.key(key, item)?;
    reader.uint(item)
}

fn instant(reader: &mut Reader<'_>, key: u64, item: &'static str) -> Result<Timestamp, WireError> {
    reader.key(key, item)?;
    Timestamp::try_from_micros(reader.int(item)?).ok_or(out_of_time(item))
}

fn action(reader: &mut Reader<'_>, key: u64) -> Result<Action, WireError> {
    Action::from_code(uint(reader, key, "action")?).ok_or(WireError::Malformed { item: "action" })
}

fn result(reader: &mut Reader<'_>) -> Result<AckResult, WireError> {
    AckResult::from_code(uint(reader, 6, "result")?).ok_or(WireError::Malformed { item: "result" })
}

fn position(reader: &mut Reader<'_>) -> Result<Option<PositionE7>, WireError> {
    if !reader.optional_key(11) {
        return Ok(None);
    }
    reader.array(2, "position")?;
    let (lat, lon) = (reader.int("position")?, reader.int("position")?);
    PositionE7::new(lat, lon).map(Some).map_err(|_| WireError::Malformed { item: "position" })
}

fn charge(reader: &mut Reader<'_>) -> Result<Option<Charge>, WireError> {
    if !reader.optional_key(12) {
        return Ok(None);
    }
    match u16::try_from(reader.uint("charge")?) {
        Ok(points) if points <= Charge::FULL.as_basis_points() => Ok(Some(Charge::from_basis_points(points))),
        Ok(_) | Err(_) => Err(WireError::Malformed { item: "charge" }),
    }
}
