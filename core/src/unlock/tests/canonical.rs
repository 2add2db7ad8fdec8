//! One value, one encoding: the same bytes as another implementation (coset, ciborium), and no second form.

use super::wire::{any_ack, any_command};
use super::*;
use coset::cbor::value::{Integer, Value};
use coset::{
    CborSerializable as _, CoseSign1, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable as _, iana,
};
use ed25519_dalek::Signature;
use proptest::prelude::*;

/// The external AAD as another implementation would build it from the documentation.
fn aad(context: &str, vehicle_id: &VehicleId, topic: &str) -> Vec<u8> {
    let text = |text: &str| Value::Text(text.to_owned());
    encode(&Value::Array(vec![text(context), text(vehicle_id.as_str()), text(topic)]))
}

fn command_aad(vehicle_id: &VehicleId) -> Vec<u8> {
    aad("rideplane/command/v1", vehicle_id, &format!("rideplane/v1/vehicles/{vehicle_id}/commands"))
}

fn encode(value: &Value) -> Vec<u8> {
    value.clone().to_vec().unwrap()
}

fn builder(kid: &str, payload: &[u8]) -> CoseSign1Builder {
    let header = HeaderBuilder::new().algorithm(iana::Algorithm::EdDSA).key_id(kid.as_bytes().to_vec());
    CoseSign1Builder::new().protected(header.build()).payload(payload.to_vec())
}

/// Any payload in a well-formed envelope that the server's key signed.
pub(super) fn sign_payload(payload: &[u8], vehicle_id: &VehicleId) -> Vec<u8> {
    builder(key_id().as_str(), payload)
        .create_signature(&command_aad(vehicle_id), |message| server_key().sign(message).to_vec())
        .build()
        .to_tagged_vec()
        .unwrap()
}

fn uint(value: u64) -> Value {
    Value::Integer(value.into())
}

type Pairs = Vec<(Value, Value)>;

fn command_map(claims: &CommandClaims) -> Pairs {
    [
        Value::Text(claims.vehicle_id.to_string()),
        Value::Bytes(claims.booking_id.as_uuid().as_bytes().to_vec()),
        Value::Bytes(claims.command_id.as_uuid().as_bytes().to_vec()),
        uint(match claims.action {
            Action::Unlock => 1,
            Action::Lock => 2,
        }),
        uint(claims.epoch.0),
        uint(claims.counter),
        Value::Integer(Integer::from(claims.issued_at.as_micros())),
        Value::Integer(Integer::from(claims.expires_at.as_micros())),
    ]
    .into_iter()
    .zip(1..)
    .map(|(value, key)| (uint(key), value))
    .collect()
}

#[test]
fn whole_numbers_are_written_as_another_implementation_writes_them() {
    for number in [0, 1, 23, 24, 255, 256, 65_535, 65_536, i64::MAX, -1, -24, -25, -256, -257, i64::MIN] {
        let mut ours = Vec::new();
        super::super::cbor::int(&mut ours, number);
        assert_eq!(ours, encode(&Value::Integer(number.into())), "{number}");
    }
}

#[test]
fn another_implementation_reads_and_verifies_ours() {
    let signed = sign_command(&command(), &server_key());
    let sign1 = CoseSign1::from_tagged_slice(&signed).unwrap();
    assert_eq!(sign1.protected.header.key_id, key_id().as_str().as_bytes());
    assert_eq!(sign1.payload, Some(encode(&Value::Map(command_map(&command())))));
    let verified = sign1.verify_signature(&command_aad(&scooter()), |signature, message| {
        let signature = Signature::from_slice(signature)?;
        server_key().verifying_key().verify_strict(message, &signature)
    });
    assert!(verified.is_ok());

    let ack = sign_ack(&ack_of(&command(), AckResult::Done, at(1)), &vehicle_key());
    let sign1 = CoseSign1::from_tagged_slice(&ack).unwrap();
    let aad = aad("rideplane/ack/v1", &scooter(), &ack_topic(&scooter()));
    let verified = sign1.verify_signature(&aad, |signature, message| {
        vehicle_key().verifying_key().verify_strict(message, &Signature::from_slice(signature)?)
    });
    assert!(verified.is_ok());
    assert_eq!(ack_topic(&scooter()), "rideplane/v1/vehicles/sc-001/acks");
    assert_eq!(command_topic(&scooter()), "rideplane/v1/vehicles/sc-001/commands");
}

/// Each payload says the same as the good one, or nearly, and is signed by the right key.
#[test]
fn a_second_form_of_the_claims_is_refused_though_signed() {
    let good = command().encode();
    let map = command_map(&command());
    let read = |payload: &[u8]| verify_command(&sign_payload(payload, &scooter()), &trusted(), &scooter());
    assert_eq!(read(&good), Ok(command()));

    let changed = |change: &dyn Fn(&mut Pairs)| {
        let mut map = map.clone();
        change(&mut map);
        encode(&Value::Map(map))
    };
    let text_key = changed(&|map| map[5].0 = Value::Text("6".into()));
    let variants: [(&str, Vec<u8>); 17] = [
        ("keys out of order", changed(&|map| map.swap(4, 5))),
        ("a key twice", changed(&|map| map[5].0 = uint(5))),
        ("a key more", changed(&|map| map.push((uint(9), uint(1))))),
        ("a key less", changed(&|map| drop(map.pop()))),
        ("a text key", text_key),
        ("a float", changed(&|map| map[5].1 = Value::Float(458_753.0))),
        ("a negative counter", changed(&|map| map[5].1 = Value::Integer((-1).into()))),
        ("a null", changed(&|map| map[5].1 = Value::Null)),
        ("a tagged time", changed(&|map| map[6].1 = Value::Tag(1, Box::new(map[6].1.clone())))),
        ("an unknown action", changed(&|map| map[3].1 = uint(3))),
        ("a short id", changed(&|map| map[1].1 = Value::Bytes(vec![0; 15]))),
        ("a long map head", [&[0xb8, 8], &good[1..]].concat()),
        ("an indefinite map", [&[0xbf], &good[1..], &[0xff]].concat()),
        ("a long key", [&good[..1], &[0x18, 0x01], &good[2..]].concat()),
        ("a long text head", [&good[..2], &[0x78, 6], &good[3..]].concat()),
        ("an indefinite text", [&good[..2], &[0x7f], &good[2..9], &[0xff], &good[9..]].concat()),
        ("a trailing byte", [&good[..], &[0]].concat()),
    ];
    for (name, payload) in variants {
        assert_ne!(payload, good, "{name}");
        let error = read(&payload).expect_err(name);
        assert!(CommandClaims::decode(&payload).is_err(), "{name}: left to the comparison");
        let shape = matches!(error, WireError::NotCanonical | WireError::Malformed { .. });
        assert!(shape, "{name}: {error}");
    }
}

#[test]
fn a_second_form_of_the_envelope_is_refused() {
    let payload = command().encode();
    let aad = command_aad(&scooter());
    let sign = |builder: CoseSign1Builder| {
        builder.create_signature(&aad, |message| server_key().sign(message).to_vec()).build()
    };
    let good = sign(builder(key_id().as_str(), &payload));
    let signed = good.clone().to_tagged_vec().unwrap();
    assert_eq!(verify_command(&signed, &trusted(), &scooter()), Ok(command()));

    let kid = || HeaderBuilder::new().key_id(key_id().as_str().as_bytes().to_vec());
    let plain = || CoseSign1Builder::new().payload(payload.clone());
    let unprotected = HeaderBuilder::new().value(99, Value::Null).build();
    let more = kid().algorithm(iana::Algorithm::EdDSA).content_type("text/plain".into()).build();
    let variants = [
        ("untagged", good.clone().to_vec().unwrap()),
        ("another tag", [&[0xd3], &signed[1..]].concat()),
        ("a long tag", [&[0xd8, 18], &signed[1..]].concat()),
        ("a tag twice", [&[0xd2], &signed[..]].concat()),
        ("an indefinite array", [&[0xd2, 0x9f], &signed[2..], &[0xff]].concat()),
        ("a long array head", [&[0xd2, 0x98, 4], &signed[2..]].concat()),
        ("something unprotected", {
            let builder = builder(key_id().as_str(), &payload).unprotected(unprotected);
            sign(builder).to_tagged_vec().unwrap()
        }),
        ("alg none", sign(plain().protected(kid().build())).to_tagged_vec().unwrap()),
        ("alg ES256", {
            let header = kid().algorithm(iana::Algorithm::ES256).build();
            sign(plain().protected(header)).to_tagged_vec().unwrap()
        }),
        ("kid and alg unprotected", {
            let header = kid().algorithm(iana::Algorithm::EdDSA).build();
            sign(plain().unprotected(header)).to_tagged_vec().unwrap()
        }),
        ("another header parameter", sign(plain().protected(more)).to_tagged_vec().unwrap()),
        ("detached", {
            let mut sign1 = good.clone();
            sign1.payload = None;
            sign1.to_tagged_vec().unwrap()
        }),
    ];
    for (name, bytes) in variants {
        assert_ne!(bytes, signed, "{name}");
        assert!(verify_command(&bytes, &trusted(), &scooter()).is_err(), "{name}");
        let shape =
            matches!(peek_ack_vehicle(&bytes), Err(WireError::NotCanonical | WireError::Malformed { .. }));
        assert!(shape, "{name}: left to the comparison");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn our_bytes_are_the_bytes_of_another_implementation(command in any_command(), ack in any_ack()) {
        prop_assert_eq!(command.encode(), encode(&Value::Map(command_map(&command))));
        let theirs = sign_payload(&command.encode(), &command.vehicle_id);
        prop_assert_eq!(sign_command(&command, &server_key()), theirs);

        let vehicle_id = &ack.vehicle_id;
        let aad = aad("rideplane/ack/v1", vehicle_id, &format!("rideplane/v1/vehicles/{vehicle_id}/acks"));
        let theirs = builder(vehicle_id.as_str(), &ack.encode())
            .create_signature(&aad, |message| vehicle_key().sign(message).to_vec())
            .build();
        prop_assert_eq!(sign_ack(&ack, &vehicle_key()), theirs.to_tagged_vec().unwrap());
        let read = Value::from_slice(&ack.encode()).unwrap();
        prop_assert_eq!(encode(&read), ack.encode());
    }

    /// Whatever the strict reader accepts is the one encoding of it, here and in ciborium.
    #[test]
    fn what_is_accepted_is_canonical(
        ack in any_ack(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..3),
    ) {
        for mut payload in [ack.encode(), command().encode()] {
            for (index, byte) in &edits {
                let index = index.index(payload.len());
                payload[index] = *byte;
            }
            if let Ok(claims) = AckClaims::decode(&payload) {
                prop_assert_eq!(&claims.encode(), &payload);
                prop_assert_eq!(encode(&Value::from_slice(&payload).unwrap()), payload.clone());
            }
            if let Ok(claims) = CommandClaims::decode(&payload) {
                prop_assert_eq!(&claims.encode(), &payload);
                prop_assert_eq!(encode(&Value::from_slice(&payload).unwrap()), payload);
            }
        }
    }
}
