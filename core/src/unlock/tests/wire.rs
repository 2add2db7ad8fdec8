//! Signed bytes: known vectors, tampering, and who may speak to whom.

use super::canonical::sign_payload;
use super::*;
use ed25519_dalek::VerifyingKey;
use proptest::prelude::*;

/// Both messages under fixed seeds: a change of one byte breaks every vehicle in the field.
#[test]
fn known_vectors() {
    let (unsigned, ack) =
        (Unsigned::command(&command(), &key_id()), ack_of(&command(), AckResult::Done, at(2)));
    let vectors = format!(
        "server seed 01 x 32, public key {}\nvehicle seed 02 x 32, public key {}\n\n\
         command, to be signed:\n{}\n\ncommand, signed:\n{}\n\ncommand, request hash:\n{}\n\n\
         ack, to be signed:\n{}\n\nack, signed:\n{}\n",
        hex(server_key().verifying_key().as_bytes()),
        hex(vehicle_key().verifying_key().as_bytes()),
        hex(unsigned.to_be_signed()),
        hex(&sign_command(&command(), &server_key())),
        command().hash(),
        hex(Unsigned::ack(&ack).to_be_signed()),
        hex(&sign_ack(&ack, &vehicle_key())),
    );
    insta::assert_snapshot!(vectors);
}

#[test]
fn every_flipped_bit_is_refused() {
    let signed = sign_command(&command(), &server_key());
    assert_eq!(verify_command(&signed, &trusted(), &scooter()), Ok(command()));
    for bit in 0..signed.len() * 8 {
        let mut forged = signed.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(verify_command(&forged, &trusted(), &scooter()).is_err(), "bit {bit}");
    }
    let claims = ack_of(&command(), AckResult::Done, at(2));
    let signed = sign_ack(&claims, &vehicle_key());
    assert_eq!(verify_ack(&signed, &scooter(), &enrolled()), Ok(claims));
    for bit in 0..signed.len() * 8 {
        let mut forged = signed.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(verify_ack(&forged, &scooter(), &enrolled()).is_err(), "bit {bit}");
    }
}

#[test]
fn every_shortened_or_lengthened_message_is_refused() {
    let signed = sign_command(&command(), &server_key());
    for len in 0..signed.len() {
        assert!(verify_command(&signed[..len], &trusted(), &scooter()).is_err(), "{len}");
    }
    let mut longer = signed;
    longer.push(0);
    let trailing = WireError::Malformed { item: "end of the message" };
    assert_eq!(verify_command(&longer, &trusted(), &scooter()), Err(trailing));
    longer.resize(MAX_BYTES + 1, 0);
    let too_large = WireError::TooLarge { len: MAX_BYTES + 1 };
    assert_eq!(verify_command(&longer, &trusted(), &scooter()), Err(too_large));
}

#[test]
fn a_message_is_bound_to_its_vehicle_and_its_topic() {
    let other = VehicleId::new("sc-002").unwrap();
    let signed = sign_command(&command(), &server_key());
    assert_eq!(verify_command(&signed, &trusted(), &other), Err(WireError::BadSignature));

    // One key for both roles: a command is still no ack, nor an ack a command.
    let both =
        TrustedKeys::new(KeyId::new(scooter().as_str()).unwrap(), vehicle_key().verifying_key().to_bytes());
    let unsigned = Unsigned::command(&command(), &KeyId::new(scooter().as_str()).unwrap());
    let signature = vehicle_key().sign(unsigned.to_be_signed()).to_bytes();
    let as_ack = verify_ack(&unsigned.finish(signature), &scooter(), &enrolled());
    assert_eq!(as_ack, Err(WireError::BadSignature));
    let ack = sign_ack(&ack_of(&command(), AckResult::Done, at(1)), &vehicle_key());
    assert_eq!(verify_command(&ack, &both.unwrap(), &scooter()), Err(WireError::BadSignature));

    // The ack of one vehicle on the topic of another, and under the key of another.
    assert!(matches!(verify_ack(&ack, &other, &enrolled()), Err(WireError::UnknownKey { .. })));
    let stranger = VehicleKey::from_bytes(server_key().verifying_key().to_bytes());
    assert_eq!(verify_ack(&ack, &scooter(), &stranger), Err(WireError::BadSignature));
    assert_eq!(peek_ack_vehicle(&ack), Ok(scooter()));
}

/// A signer that puts one vehicle into the envelope and another into the claims.
#[test]
fn claims_that_name_another_vehicle_are_refused() {
    let mut claims = command();
    claims.vehicle_id = VehicleId::new("sc-002").unwrap();
    let signed = canonical::sign_payload(&claims.encode(), &scooter());
    let wrong = WireError::WrongVehicle { named: claims.vehicle_id, expected: scooter() };
    assert_eq!(verify_command(&signed, &trusted(), &scooter()), Err(wrong));
}

#[test]
fn two_keys_live_at_once_and_no_third() {
    let (old, new) = (server_key(), SigningKey::from_bytes(&[3; 32]));
    let next = KeyId::new("server-2026-02").unwrap();
    let rotating = trusted().and(next.clone(), new.verifying_key().to_bytes()).unwrap();
    let unsigned = Unsigned::command(&command(), &next);
    let signature = new.sign(unsigned.to_be_signed()).to_bytes();
    let under_next = unsigned.finish(signature);
    let under_old = sign_command(&command(), &old);

    assert!(verify_command(&under_old, &rotating, &scooter()).is_ok());
    assert!(verify_command(&under_next, &rotating, &scooter()).is_ok());
    let unknown = Err(WireError::UnknownKey { kid: next.to_string() });
    assert_eq!(verify_command(&under_next, &trusted(), &scooter()), unknown);
    // The right key under the wrong name.
    let misnamed = sign_command(&command(), &new);
    assert_eq!(verify_command(&misnamed, &rotating, &scooter()), Err(WireError::BadSignature));
    let twice = trusted().and(key_id(), new.verifying_key().to_bytes());
    assert_eq!(twice, Err(InvalidKey::SameId(key_id())));
}

#[test]
fn keys_that_would_accept_forgeries_are_refused() {
    // The neutral element and a point of order 8: small order, so any message has a valid signature.
    let mut neutral = [0_u8; 32];
    neutral[0] = 1;
    let order8: VehicleKey =
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a".parse().unwrap();
    for bad in [VehicleKey::from_bytes(neutral), order8, VehicleKey::from_bytes([0xff; 32])] {
        assert_eq!(bad.check(), Err(InvalidKey::NotAKey), "{bad}");
        assert_eq!(TrustedKeys::new(key_id(), *bad.as_bytes()), Err(InvalidKey::NotAKey));
        let ack = sign_ack(&ack_of(&command(), AckResult::Done, at(1)), &vehicle_key());
        let unusable = WireError::UnusableKey { vehicle_id: scooter() };
        assert_eq!(verify_ack(&ack, &scooter(), &bad), Err(unusable));
    }
    let json = serde_json::to_string(&enrolled()).unwrap();
    assert_eq!(serde_json::from_str::<VehicleKey>(&json).unwrap(), enrolled());
    for bad in ["", "00", &"0G".repeat(32), &"AB".repeat(32), &"ab".repeat(33), &"ü".repeat(32)] {
        assert!(bad.parse::<VehicleKey>().is_err(), "{bad}");
    }
}

/// A y coordinate of p or more names a point twice (RFC 8032, section 5.1.3). Judged by comparing whole numbers.
#[test]
fn a_key_has_one_name() {
    const P: [u8; 32] = {
        let mut p = [0xff; 32];
        (p[0], p[31]) = (0xed, 0x7f);
        p
    };
    let value = |key: &[u8; 32]| {
        let mut number = *key;
        number[31] &= 0x7f;
        number.reverse();
        number
    };
    let judged = |key: [u8; 32]| {
        let usable = VerifyingKey::from_bytes(&key).is_ok_and(|key| !key.is_weak());
        let expected = usable && value(&key) < value(&P);
        assert_eq!(VehicleKey::from_bytes(key).check().is_ok(), expected, "{key:02x?}");
        (usable, expected)
    };
    let near_p = (0xd0..=0xff_u8).flat_map(|low| {
        [0x7f, 0xff].map(|high| {
            let mut key = [0xff; 32];
            (key[0], key[31]) = (low, high);
            key
        })
    });
    let near: Vec<_> = near_p.map(judged).collect();
    assert!(near.contains(&(true, true)) && near.contains(&(true, false)), "both sides of p have points");
    // Alike in their first and last byte, and still far below p.
    let far: Vec<_> = (0..=0xff_u8)
        .map(|second| {
            let mut key = [0; 32];
            (key[0], key[1], key[31]) = (0xf0, second, 0x7f);
            judged(key)
        })
        .collect();
    assert!(far.contains(&(true, true)));
    for seed in 0..=255 {
        let key = SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes();
        assert_eq!(judged(key), (true, true));
    }
}

#[test]
fn a_position_is_kept_to_the_ten_millionth_of_a_degree() {
    let at = PositionE7::from_degrees(-47.376_888_7, 8.541_694_1).unwrap();
    assert_eq!((at.lat_e7(), at.lon_e7()), (-473_768_887, 85_416_941));
    assert_eq!((at.lat(), at.lon()), (-47.376_888_7, 8.541_694_1));
    assert!(PositionE7::from_degrees(90.0, -180.0).is_ok());
    assert!(PositionE7::from_degrees(90.000_000_1, 0.0).is_err());
    assert!(PositionE7::from_degrees(0.0, -180.000_000_1).is_err());
    assert!(PositionE7::from_degrees(f64::NAN, 0.0).is_err());
}

#[test]
fn an_ack_that_no_vehicle_may_make_is_refused() {
    let good = ack_of(&command(), AckResult::Done, at(1));
    let read = |ack: &AckClaims| verify_ack(&sign_ack(ack, &vehicle_key()), &scooter(), &enrolled());
    assert_eq!(read(&good), Ok(good.clone()));
    let uncounted = AckClaims { counter: 0, ..good.clone() };
    assert!(matches!(read(&uncounted), Err(WireError::InvalidClaim { claim: "counter", .. })));
    let early = AckClaims { executed_at: Timestamp::from_micros(-1), ..good.clone() };
    assert!(matches!(read(&early), Err(WireError::InvalidClaim { claim: "time of execution", .. })));
    let full = AckClaims { charge: Some(Charge::FULL), ..good };
    let payload = full.encode();
    // 10,000 of 10,000 as CBOR; one more is more than full.
    let place = payload.windows(3).position(|window| window == [0x19, 0x27, 0x10]).unwrap();
    let mut fuller = payload.clone();
    fuller[place + 2] += 1;
    assert_eq!(AckClaims::decode(&payload), Ok(full));
    assert_eq!(AckClaims::decode(&fuller), Err(WireError::Malformed { item: "charge" }));
}

#[test]
fn size_is_judged_before_anything_is_read() {
    let zeros = [0; MAX_BYTES + 1];
    assert_eq!(peek_ack_vehicle(&zeros), Err(WireError::TooLarge { len: MAX_BYTES + 1 }));
    let fits = peek_ack_vehicle(&zeros[..MAX_BYTES]);
    assert_eq!(fits, Err(WireError::Malformed { item: "COSE_Sign1 tag" }));
}

#[test]
fn claims_that_nobody_may_make_are_refused() {
    let refused = |change: fn(&mut CommandClaims)| {
        let mut claims = command();
        change(&mut claims);
        verify_command(&sign_command(&claims, &server_key()), &trusted(), &scooter())
    };
    for change in [
        |claims: &mut CommandClaims| claims.counter = 0,
        |claims: &mut CommandClaims| claims.expires_at = claims.issued_at,
        |claims: &mut CommandClaims| claims.issued_at = Timestamp::from_micros(-1),
    ] {
        assert!(matches!(refused(change), Err(WireError::InvalidClaim { .. })), "{:?}", refused(change));
    }
    let payload = CommandClaims { expires_at: Timestamp::MAX, ..command() }.encode();
    let last = Timestamp::MAX.as_micros().to_be_bytes();
    let place = payload.windows(8).position(|window| window == last).unwrap();
    let later = (Timestamp::MAX.as_micros() + 1).to_be_bytes();
    let too_late = [&payload[..place], &later, &payload[place + 8..]].concat();
    let verify = |payload: &[u8]| verify_command(&sign_payload(payload, &scooter()), &trusted(), &scooter());
    assert!(verify(&payload).is_ok());
    assert!(matches!(verify(&too_late), Err(WireError::InvalidClaim { claim: "expiry", .. })));
}

#[test]
fn the_longest_messages_fit() {
    let id = "x".repeat(128);
    let mut claims = command();
    claims.vehicle_id = VehicleId::new(&id).unwrap();
    (claims.epoch, claims.counter) = (Epoch(u64::MAX), u64::MAX);
    (claims.issued_at, claims.expires_at) = (Timestamp::from_micros(1 << 40), Timestamp::MAX);
    let unsigned = Unsigned::command(&claims, &KeyId::new(&id).unwrap());
    let signature = server_key().sign(unsigned.to_be_signed()).to_bytes();
    let signed = unsigned.finish(signature);
    let keys = TrustedKeys::new(KeyId::new(&id).unwrap(), server_key().verifying_key().to_bytes()).unwrap();
    assert_eq!(verify_command(&signed, &keys, &claims.vehicle_id), Ok(claims.clone()));

    let mut ack = ack_of(&claims, AckResult::Refused(Refusal::OutOfService), Timestamp::MAX);
    ack.odometer_m = u64::MAX;
    ack.position = Some(PositionE7::new(-900_000_000, -1_800_000_000).unwrap());
    let signed = sign_ack(&ack, &vehicle_key());
    assert_eq!(signed.len(), 471);
    assert_eq!(verify_ack(&signed, &claims.vehicle_id, &enrolled()), Ok(ack));
}

pub(super) fn any_command() -> impl Strategy<Value = CommandClaims> {
    let times = (0..Timestamp::MAX.as_micros(), 1..=3_600_000_000_i64);
    ("[a-zA-Z0-9._:|@+-]{1,128}", any::<[u128; 2]>(), any::<bool>(), any::<u64>(), 1..=u64::MAX, times)
        .prop_map(|(vehicle, [booking, command], unlock, epoch, counter, (issued, life))| CommandClaims {
            vehicle_id: VehicleId::new(vehicle).unwrap(),
            booking_id: BookingId::from_uuid(Uuid::from_u128(booking)),
            command_id: CommandId::from_uuid(Uuid::from_u128(command)),
            action: if unlock { Action::Unlock } else { Action::Lock },
            epoch: Epoch(epoch),
            counter,
            issued_at: Timestamp::from_micros(issued),
            expires_at: Timestamp::from_micros(issued + life).min(Timestamp::MAX),
        })
}

pub(super) fn any_ack() -> impl Strategy<Value = AckClaims> {
    let position = (-900_000_000_i64..=900_000_000, -1_800_000_000_i64..=1_800_000_000);
    let measured = (any::<u64>(), proptest::option::of(position), proptest::option::of(0..=10_000_u16));
    (any_command(), 0..=Refusal::ALL.len(), measured).prop_map(|(command, result, measured)| AckClaims {
        result: result.checked_sub(1).map_or(AckResult::Done, |code| AckResult::Refused(Refusal::ALL[code])),
        odometer_m: measured.0,
        position: measured.1.map(|(lat, lon)| PositionE7::new(lat, lon).unwrap()),
        charge: measured.2.map(Charge::from_basis_points),
        ..ack_of(&command, AckResult::Done, command.issued_at)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_signed_is_what_is_read(command in any_command(), ack in any_ack()) {
        let signed = sign_command(&command, &server_key());
        prop_assert!(signed.len() <= MAX_BYTES);
        prop_assert_eq!(verify_command(&signed, &trusted(), &command.vehicle_id), Ok(command.clone()));
        prop_assert_eq!(&signed, &sign_command(&command, &server_key()));
        let signed = sign_ack(&ack, &vehicle_key());
        prop_assert!(signed.len() <= MAX_BYTES);
        prop_assert_eq!(peek_ack_vehicle(&signed), Ok(ack.vehicle_id.clone()));
        prop_assert_eq!(verify_ack(&signed, &ack.vehicle_id, &enrolled()), Ok(ack.clone()));
        let json = serde_json::to_string(&(&command, &ack)).unwrap();
        prop_assert_eq!(serde_json::from_str::<(CommandClaims, AckClaims)>(&json).unwrap(), (command, ack));
    }

    #[test]
    fn noise_is_refused_and_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..700)) {
        prop_assert!(verify_command(&noise, &trusted(), &scooter()).is_err());
        prop_assert!(verify_ack(&noise, &scooter(), &enrolled()).is_err());
    }
}
