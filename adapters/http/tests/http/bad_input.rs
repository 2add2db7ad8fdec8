use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rideplane_core::ids::UserId;
use rideplane_core::time::Span;
use rideplane_http::auth::{Audience, Issuer, LocalKey, Roles};
use serde_json::{Value, json};

use crate::world::{SECRET, World, whom};

#[tokio::test]
async fn bodies() {
    let world = World::new();
    world.scooter("sc-1").await;
    for (body, status, name) in [
        ("", 400, "malformed-json"),
        ("{", 400, "malformed-json"),
        (r#"{"vehicle_id":"sc-1",}"#, 400, "malformed-json"),
        (r#"{"vehicle_id":"sc-1","colour":"red"}"#, 422, "invalid-request"),
        (r#"{"vehicle_id":"sc-1","user_id":"rider-2"}"#, 422, "invalid-request"),
        (r#"{"vehicle_id":"no such id"}"#, 422, "invalid-request"),
        (r#"{"vehicle_id":"sc-1","estimated_duration":0}"#, 422, "invalid-request"),
        (r#"{"vehicle_id":"sc-1","start_time":"2020-01-01T00:00:00Z"}"#, 422, "start-time-out-of-range"),
        (r#"["sc-1"]"#, 422, "invalid-request"),
        (r#"{"vehicle_id":"sc-none"}"#, 404, "not-found"),
    ] {
        world.create("rider-1", "k", body).await.is_problem(status, name);
    }
    // Nothing of all that was taken for the key's request.
    world.create("rider-1", "k", r#"{"vehicle_id":"sc-1"}"#).await.is_ok();
    let put = json!({"email": "nobody", "is_admin": true});
    world.call("rider-1", "PUT /me", put).await.is_problem(422, "invalid-request");
    let problem = world.call("rider-1", "PUT /me", json!({"email": "no-address-2f9"})).await;
    assert!(!problem.is_problem(422, "invalid-request")["detail"].as_str().unwrap().contains("2f9"));
}

#[tokio::test]
async fn places() {
    let world = World::new();
    for query in
        ["lat=91&lon=8", "lat=NaN&lon=8", "lon=8", "lat=50&lon=8&color=1", "lat=50&lon=8&radius_m=99999"]
    {
        for path in ["/vehicles/search", "/fleet/available"] {
            world.raw(&format!("GET {path}?{query}"), &[], "").await.is_problem(422, "invalid-request");
        }
    }
    let problem =
        world.raw("GET /vehicles/search?lat=91&lon=8", &[], "").await.is_problem(422, "invalid-request");
    assert_eq!(problem["parameter"], "lat");
    world.raw("GET /pricing/batch", &[], "").await.is_problem(422, "invalid-request");
    let id = world.confirmed("rider-1", "sc-1").await;
    world.call("rider-1", "POST /vehicles/sc-1/unlock", Value::Null).await.is_ok();
    let end = format!("POST /bookings/{id}/end-trip");
    for body in [json!({"lat": 91, "lon": 8}), json!({"lat": 50}), json!({"lat": "50", "lon": 8})] {
        world.call("rider-1", &end, body).await.is_problem(422, "invalid-request");
    }
    let authorization = format!("Bearer {}", world.token("rider-1", false));
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let nan = world.raw(&end, &headers, r#"{"lat":NaN,"lon":8}"#).await;
    nan.is_problem(400, "malformed-json");
}

#[tokio::test]
async fn ids_that_are_none() {
    let world = World::new();
    for call in [
        "GET /bookings/1",
        "GET /bookings/%F0%28",
        "GET /bookings/018f3a5e-0000-7000-8000-000000000001",
        "POST /bookings/x%2Fy/cancel",
        "POST /vehicles/a%20b/unlock",
        "POST /vehicles/sc-none/unlock",
    ] {
        world.call("rider-1", call, Value::Null).await.is_problem(404, "not-found");
    }
    world.call("rider-1", "GET /bookings?cursor=1", Value::Null).await.is_problem(422, "invalid-request");
    world.call("rider-1", "GET /bookings?status=lost", Value::Null).await.is_problem(422, "invalid-request");
    world.call("rider-1", "GET /bookings?limit=0", Value::Null).await.is_problem(422, "invalid-request");
    world.call("rider-1", "GET /me?as=rider-2", Value::Null).await.is_problem(422, "invalid-request");
    let put = json!({"vehicle_type": "scooter", "form_factor": "car", "propulsion_type": "electric", "plan_id": "scooter"});
    world.operate("PUT /operator/vehicles/a%20b", put.clone()).await.is_problem(422, "invalid-request");
    // An id may hold what a path must escape.
    world.operate("PUT /operator/vehicles/de%3Asc%7C1%401", put).await.is_ok();
}

#[tokio::test]
async fn ten_megabytes_and_other_media() {
    let world = World::new();
    let authorization = format!("Bearer {}", world.token("rider-1", false));
    let headers = [
        ("authorization", authorization.as_str()),
        ("idempotency-key", "k"),
        ("content-type", "application/json"),
    ];
    let big = vec![b' '; 10 << 20];
    world.raw("POST /bookings", &headers, big.clone()).await.is_problem(413, "payload-too-large");
    // Without a declared length it is noticed on the way.
    let stream = axum::body::Body::new(axum::body::Body::from(big));
    world.raw("PUT /me", &headers, stream).await.is_problem(413, "payload-too-large");
    world.raw("POST /webhooks/stripe", &[], vec![0; 65_537]).await.is_problem(413, "payload-too-large");
    let exactly = vec![b' '; 65_536];
    world.raw("PUT /me", &headers, exactly).await.is_problem(400, "malformed-json");
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let headers =
            [("authorization", authorization.as_str()), ("idempotency-key", "k"), ("content-type", kind)];
        world
            .raw("POST /bookings", &headers, r#"{"vehicle_id":"v"}"#)
            .await
            .is_problem(415, "unsupported-media-type");
    }
}

#[tokio::test]
async fn tokens() {
    let world = World::new();
    let now = world.app.now();
    let user = UserId::new("rider-1").unwrap();
    let issue = |secret, whom: Audience, at| {
        Issuer::new(&LocalKey::from_bytes(secret), whom)
            .issue(&user, Roles::default(), at, Span::from_minutes(1))
            .unwrap()
    };
    let good = issue(SECRET, whom(), now);
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = part(
        json!({"iss": "https://id.example", "aud": "rideplane", "sub": "rider-1", "exp": 9_999_999_999_i64}),
    );
    let none = part(json!({"alg": "none", "typ": "JWT"}));
    let signed = good.rsplit_once('.').unwrap();
    for bad in [
        issue(SECRET, whom(), now.minus(Span::from_minutes(10))),
        issue([1; 32], whom(), now),
        issue(SECRET, Audience { audience: "other".into(), ..whom() }, now),
        issue(SECRET, Audience { issuer: "other".into(), ..whom() }, now),
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{}", signed.1),
        signed.0.to_owned(),
        format!("{}.", signed.0),
        "x".to_owned(),
        "x".repeat(100_000),
    ] {
        let reply = world.raw("GET /me", &[("authorization", &format!("Bearer {bad}"))], "").await;
        let problem = reply.is_problem(401, "unauthenticated");
        assert!(bad.len() < 20 || !problem.to_string().contains(&bad));
    }
    world.raw("GET /me", &[("authorization", &format!("bEaReR {good}"))], "").await.is_ok();
    world
        .raw("GET /me", &[("authorization", &format!("Basic {good}"))], "")
        .await
        .is_problem(401, "unauthenticated");
    world.raw("GET /me", &[], "").await.is_problem(401, "unauthenticated");
    // Tokens are judged by the app's clock.
    world.clock.advance(Span::from_minutes(2));
    world
        .raw("GET /me", &[("authorization", &format!("Bearer {good}"))], "")
        .await
        .is_problem(401, "unauthenticated");
}

#[tokio::test]
async fn keys() {
    let world = World::new();
    world.scooter("sc-1").await;
    world.scooter("sc-2").await;
    let body = json!({"vehicle_id": "sc-1"});
    // Asked for after the token and before the body.
    world.raw("POST /bookings", &[], "x").await.is_problem(401, "unauthenticated");
    world.call("rider-1", "POST /bookings", json!("x")).await.is_problem(400, "idempotency-key-missing");
    world.create("rider-1", &"k".repeat(256), &body.to_string()).await.is_problem(422, "invalid-request");
    world.create("rider-1", "k", &body.to_string()).await.is_ok();
    let reused = world.create("rider-1", "k", r#"{"vehicle_id":"sc-2"}"#).await;
    reused.is_problem(422, "idempotency-key-reused");
    assert!(reused.header("ratelimit-policy").is_some());
    world.create("rider-1", "k", r#"{ "vehicle_id":"sc-1"}"#).await.is_problem(422, "idempotency-key-reused");
    // Another user's key is another key.
    world.create("rider-2", "k", r#"{"vehicle_id":"sc-2"}"#).await.is_ok();
}

#[tokio::test]
async fn two_identical_requests_at_once_make_one_booking() {
    let world = World::new();
    world.scooter("sc-1").await;
    let body = r#"{"vehicle_id":"sc-1"}"#;
    let (a, b) = tokio::join!(world.create("rider-1", "k", body), world.create("rider-1", "k", body));
    for reply in [&a, &b] {
        if reply.status != 200 {
            reply.is_problem(409, "request-in-flight");
        }
    }
    assert!(a.status == 200 || b.status == 200);
    let again = world.create("rider-1", "k", body).await;
    let first = if a.status == 200 { &a } else { &b };
    assert_eq!(again.bytes, first.bytes);
    let list = world.call("rider-1", "GET /bookings", Value::Null).await.is_ok();
    assert_eq!(list["bookings"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn thirty_two_riders_want_one_vehicle() {
    let world = World::new();
    world.scooter("sc-1").await;
    world.scooter("sc-2").await;
    let riders: Vec<String> = (0..32).map(|n| format!("rider-{n}")).collect();
    let race = riders.iter().map(|rider| world.create(rider, "k", r#"{"vehicle_id":"sc-1"}"#));
    let mut won = 0;
    for reply in futures_util::future::join_all(race).await {
        if reply.status == 200 {
            won += 1;
        } else {
            let problem = reply.is_problem(409, "vehicle-unavailable");
            assert_eq!(problem["alternatives"][0]["vehicle_id"], "sc-2");
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn out_of_order() {
    let world = World::new();
    world.scooter("sc-1").await;
    let id = world.book("rider-1", "sc-1").await;
    world.call("rider-1", "POST /vehicles/sc-1/unlock", Value::Null).await.is_problem(409, "wrong-state");
    let end = format!("POST /bookings/{id}/end-trip");
    world.call("rider-1", &end, Value::Null).await.is_problem(409, "wrong-state");
    world.call("rider-1", &format!("POST /bookings/{id}/cancel"), Value::Null).await.is_ok();
    world.pay("rider-1", &id, "pm_card_visa").await.is_problem(409, "wrong-state");
    world.call("rider-1", "POST /vehicles/sc-1/unlock", Value::Null).await.is_problem(404, "not-found");
    let other = world.confirmed("rider-1", "sc-2").await;
    world.call("rider-1", "POST /vehicles/sc-2/unlock", Value::Null).await.is_ok();
    let cancel = format!("POST /bookings/{other}/cancel");
    world.call("rider-1", &cancel, Value::Null).await.is_problem(409, "wrong-state");
    world.call("rider-1", &cancel, json!({"force": true})).await.is_problem(422, "invalid-request");
}

#[tokio::test]
async fn the_eleventh_booking_in_a_minute_is_one_too_many() {
    let world = World::new();
    for n in 0..11 {
        world.scooter(&format!("sc-{n}")).await;
    }
    for n in 0..10 {
        world
            .create("rider-1", &format!("k-{n}"), &json!({"vehicle_id": format!("sc-{n}")}).to_string())
            .await
            .is_ok();
    }
    let reply = world.create("rider-1", "k-10", r#"{"vehicle_id":"sc-10"}"#).await;
    reply.is_problem(429, "rate-limited");
    assert_eq!(reply.header("ratelimit-policy"), Some("\"bookings\";q=10;w=60"));
    world.clock.advance(Span::from_seconds(reply.header("retry-after").unwrap().parse().unwrap()));
    world.create("rider-1", "k-10", r#"{"vehicle_id":"sc-10"}"#).await.is_ok();
}
