use rideplane_core::ids::VehicleId;
use rideplane_core::time::Span;
use rideplane_http::{HttpSettings, WebhookSecret};
use rideplane_memory::vehicles::{Lasts, VehicleFault};
use serde_json::{Value, json};
use std::time::Duration;

use crate::world::{WEBHOOK_SECRET, World};

const HERE: &str = "lat=50.1109&lon=8.6821";

fn ids(found: &Value) -> Vec<String> {
    let vehicles = found["vehicles"].as_array().unwrap();
    vehicles.iter().map(|vehicle| vehicle["vehicle_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn from_search_to_receipt() {
    let world = World::new();
    world.scooter("sc-1").await;
    world.scooter("sc-2").await;
    let found = world.raw(&format!("GET /vehicles/search?{HERE}"), &[], "").await.is_ok();
    assert_eq!(ids(&found), ["sc-1", "sc-2"]);
    assert_eq!(found["source"], "index");
    let price = &found["vehicles"][0]["price"];
    assert_eq!((&price["unlock"]["amount"], &price["estimate"]["amount"]), (&json!("1.00"), &json!("8.75")));
    let fleet = world.raw(&format!("GET /fleet/available?{HERE}&type=scooter"), &[], "").await.is_ok();
    assert!(fleet["vehicles"][0].get("price").is_none());
    let prices = world.raw("GET /pricing/batch?vehicle_ids=sc-2,none,sc-1", &[], "").await.is_ok();
    assert_eq!(prices["prices"].as_array().unwrap().len(), 2);

    let booking = world.create("rider-1", "k-1", r#"{"vehicle_id":"sc-1","estimated_duration":600}"#).await;
    assert_eq!(booking.header("ratelimit-policy"), Some("\"bookings\";q=10;w=60"));
    assert_eq!(booking.header("content-type"), Some("application/json"));
    assert_eq!(booking.header("idempotent-replayed"), None);
    let booking = booking.is_ok();
    assert_eq!(booking["status"], "pending_payment");
    assert!(booking["payment"]["payment_intent_id"].as_str().unwrap().starts_with("pi_"));
    assert!(booking["payment"]["client_secret"].is_string());
    let id = booking["booking_id"].as_str().unwrap();
    let found = world.raw(&format!("GET /vehicles/search?{HERE}"), &[], "").await.is_ok();
    assert_eq!(ids(&found), ["sc-2"]);

    let paid = world.pay("rider-1", id, "pm_card_visa").await.is_ok();
    assert_eq!((&paid["status"], &paid["payment"]["status"]), (&json!("confirmed"), &json!("authorized")));
    let again = world.pay("rider-1", id, "pm_card_visa").await.is_ok();
    assert_eq!(again, paid);

    let unlocked = world.call("rider-1", "POST /vehicles/sc-1/unlock", json!({})).await.is_ok();
    assert_eq!((&unlocked["status"], &unlocked["booking_id"]), (&json!("unlocked"), &json!(id)));
    assert!(unlocked["trip_started_at"].is_string());
    let again = world.call("rider-1", "POST /vehicles/sc-1/unlock", Value::Null).await.is_ok();
    assert_eq!(again, unlocked);

    world.clock.advance(Span::from_minutes(10));
    let end = format!("POST /bookings/{id}/end-trip");
    let ended = world.call("rider-1", &end, json!({"lat": 50.1109, "lon": 8.6821})).await.is_ok();
    assert!(["ended", "completed"].contains(&ended["status"].as_str().unwrap()), "{ended}");
    assert_eq!(ended["trip"]["duration_s"], 600);
    // A minute is charged where it begins, and 600 s begin the eleventh.
    assert_eq!(ended["receipt"]["total"], json!({"amount": "3.75", "currency": "EUR"}));

    let again = world.call("rider-1", &end, Value::Null).await.is_ok();
    assert_eq!(
        (&again["booking_id"], &again["receipt"]["total"]),
        (&ended["booking_id"], &ended["receipt"]["total"])
    );
    let get = world.call("rider-1", &format!("GET /bookings/{id}"), Value::Null).await.is_ok();
    assert_eq!(
        (&get["status"], &get["payment"]["captured"]["amount"]),
        (&json!("completed"), &json!("3.75"))
    );
    let list = world.call("rider-1", "GET /bookings?status=completed&limit=1", Value::Null).await.is_ok();
    assert_eq!(list["bookings"], json!([get]));
}

#[tokio::test]
async fn a_repeat_is_the_first_answer_byte_for_byte() {
    let world = World::new();
    world.scooter("sc-1").await;
    let first = world.create("rider-1", "k", r#"{"vehicle_id":"sc-1"}"#).await;
    let id = first.is_ok()["booking_id"].as_str().unwrap().to_owned();
    world.pay("rider-1", &id, "pm_card_visa").await.is_ok();
    let again = world.create("rider-1", "k", r#"{"vehicle_id":"sc-1"}"#).await;
    assert_eq!((again.status, &again.bytes), (200, &first.bytes));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    // Whoever lost the race hears that again, too.
    let lost = world.create("rider-2", "k", r#"{"vehicle_id":"sc-1"}"#).await;
    let problem = lost.is_problem(409, "vehicle-unavailable");
    assert!(problem["alternatives"].is_array());
    let again = world.create("rider-2", "k", r#"{"vehicle_id":"sc-1"}"#).await;
    again.is_problem(409, "vehicle-unavailable");
    assert_eq!(again.bytes, lost.bytes);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn three_d_secure_with_success_and_without() {
    let world = World::new();
    for (vehicle, success, status) in [("sc-1", true, "confirmed"), ("sc-2", false, "cancelled")] {
        world.scooter(vehicle).await;
        let id = world.book("rider-1", vehicle).await;
        let paid = world.pay("rider-1", &id, "pm_card_authenticationRequired").await.is_ok();
        assert_eq!(
            (&paid["status"], &paid["payment"]["status"]),
            (&json!("pending_payment"), &json!("requires_action"))
        );
        assert!(paid["payment"]["next_action"]["type"].is_string());
        let intent = paid["payment"]["payment_intent_id"].as_str().unwrap();
        let call = format!("POST /test-gateway/payment-intents/{intent}/authenticate");
        let json = [("content-type", "application/json")];
        let done = world.raw(&call, &json, json!({"success": success}).to_string()).await.is_ok();
        assert!(done["status"].is_string());
        let booking = world.call("rider-1", &format!("GET /bookings/{id}"), Value::Null).await.is_ok();
        assert_eq!(booking["status"], status, "{booking}");
        let again = world.raw(&call, &json, json!({"success": success}).to_string()).await;
        assert!([404, 409].contains(&again.status), "{}", again.status);
    }
    let call = "POST /test-gateway/payment-intents/pi_none/authenticate";
    let json = [("content-type", "application/json")];
    world.raw(call, &json, r#"{"success":true}"#).await.is_problem(404, "not-found");
    world.raw(call, &json, r#"{"success":1}"#).await.is_problem(422, "invalid-request");
}

#[tokio::test]
async fn a_decline_says_why_and_the_same_vehicle_may_be_claimed_again() {
    let world = World::new();
    world.scooter("sc-1").await;
    let id = world.book("rider-1", "sc-1").await;
    let declined = world.pay("rider-1", &id, "pm_card_chargeDeclinedInsufficientFunds").await;
    let problem = declined.is_problem(400, "payment-failed");
    assert_eq!((&problem["reason"], &problem["retryable"]), (&json!("insufficient_funds"), &json!(true)));
    assert_eq!(world.pay("rider-1", &id, "pm_card_visa").await.is_ok()["status"], "confirmed");

    world.scooter("sc-2").await;
    let id = world.book("rider-1", "sc-2").await;
    world.pay("rider-1", &id, "pm_card_chargeDeclined").await.is_problem(400, "payment-failed");
    world.book("rider-2", "sc-2").await;
    let lost = world.pay("rider-1", &id, "pm_card_visa").await;
    assert!(lost.is_problem(409, "vehicle-unavailable")["alternatives"].is_array());
}

#[tokio::test]
async fn the_profile_s_method_serves_a_payment_that_names_none() {
    let world = World::new();
    world.scooter("sc-1").await;
    assert_eq!(world.call("rider-1", "GET /me", Value::Null).await.is_ok(), json!({"user_id": "rider-1"}));
    let id = world.book("rider-1", "sc-1").await;
    let confirm = format!("POST /bookings/{id}/confirm-payment");
    world.call("rider-1", &confirm, Value::Null).await.is_problem(422, "invalid-request");
    let change = json!({"default_payment_method_id": "pm_card_visa", "locale": "de-DE"});
    assert_eq!(world.call("rider-1", "PUT /me", change).await.is_ok()["locale"], "de-DE");
    assert_eq!(world.call("rider-1", &confirm, Value::Null).await.is_ok()["status"], "confirmed");
}

#[tokio::test]
async fn a_vehicle_that_refuses_opens_no_trip_and_costs_nothing() {
    let world = World::new();
    let id = world.confirmed("rider-1", "sc-1").await;
    world.agents.set_fault(&VehicleId::new("sc-1").unwrap(), VehicleFault::Jammed, Lasts::Once);
    let failed = world.call("rider-1", "POST /vehicles/sc-1/unlock", Value::Null).await;
    assert_eq!(failed.is_problem(503, "unlock-failed")["retryable"], true);
    let booking = world.call("rider-1", &format!("GET /bookings/{id}"), Value::Null).await.is_ok();
    assert_eq!((&booking["status"], booking.get("trip")), (&json!("confirmed"), None));
    assert_eq!(
        world.call("rider-1", "POST /vehicles/sc-1/unlock", Value::Null).await.is_ok()["status"],
        "unlocked"
    );
}

#[tokio::test]
async fn a_vehicle_that_says_nothing_is_pending_and_then_heard() {
    let settings = HttpSettings { unlock_wait: Duration::from_millis(100), ..HttpSettings::default() };
    let world = World::with(settings, false);
    let id = world.confirmed("rider-1", "sc-1").await;
    let vehicle = VehicleId::new("sc-1").unwrap();
    world.agents.set_fault(&vehicle, VehicleFault::LateAck, Lasts::Once);
    let pending = world.call("rider-1", "POST /vehicles/sc-1/unlock", Value::Null).await;
    assert_eq!((pending.status, &pending.json()["status"]), (202, &json!("pending")));
    assert!(pending.json()["command_id"].is_string());
    assert_eq!(world.agents.release_late(&vehicle), 1);
    let unlocked = world.call("rider-1", "POST /vehicles/sc-1/unlock", Value::Null).await;
    assert_eq!(unlocked.is_ok()["status"], "unlocked");

    world.agents.set_fault(&vehicle, VehicleFault::LateAck, Lasts::Once);
    let end = format!("POST /bookings/{id}/end-trip");
    world.call("rider-1", &end, Value::Null).await.is_problem(503, "lock-failed");
    world.agents.release_late(&vehicle);
    let ended = world.call("rider-1", &end, Value::Null).await.is_ok();
    assert!(ended["receipt"].is_object());
}

#[tokio::test]
async fn a_webhook_is_reason_to_ask_and_nothing_more() {
    let world = World::new();
    world.scooter("sc-1").await;
    let id = world.book("rider-1", "sc-1").await;
    let paid = world.pay("rider-1", &id, "pm_card_authenticationRequired").await.is_ok();
    let intent = paid["payment"]["payment_intent_id"].as_str().unwrap();
    let event = |kind: &str| {
        json!({"id": "evt_1", "type": kind, "data": {"object": {"id": intent, "object": "payment_intent",
            "status": "requires_capture", "amount_capturable": 1}}})
        .to_string()
    };
    let secret = WebhookSecret::new(WEBHOOK_SECRET);
    let tell = async |body: String| {
        let signature = secret.sign(body.as_bytes(), world.app.now());
        world.raw("POST /webhooks/stripe", &[("stripe-signature", &signature)], body).await
    };
    let status = async || {
        let booking = world.call("rider-1", &format!("GET /bookings/{id}"), Value::Null).await.is_ok();
        booking["status"].as_str().unwrap().to_owned()
    };
    // The event lies: the provider still waits for the customer.
    tell(event("payment_intent.amount_capturable_updated")).await.is_ok();
    assert_eq!(status().await, "pending_payment");
    world.gateway.authenticate(&intent.parse().unwrap(), true).unwrap();
    tell(event("customer.created")).await.is_ok();
    assert_eq!(status().await, "pending_payment");
    tell(event("payment_intent.amount_capturable_updated")).await.is_ok();
    assert_eq!(status().await, "confirmed");
    tell(json!({"type": "payment_intent.succeeded", "data": {"object": {"id": "pi_unknown", "object": "payment_intent"}}}).to_string()).await.is_ok();

    let body = event("payment_intent.succeeded");
    let old = secret.sign(body.as_bytes(), world.app.now().minus(Span::from_seconds(301)));
    let forged = WebhookSecret::new("other").sign(body.as_bytes(), world.app.now());
    for signature in [old.as_str(), &forged, "t=1", ""] {
        let reply =
            world.raw("POST /webhooks/stripe", &[("stripe-signature", signature)], body.clone()).await;
        reply.is_problem(400, "bad-signature");
    }
    world.raw("POST /webhooks/stripe", &[], body).await.is_problem(400, "bad-signature");
}

#[tokio::test]
async fn the_operator_takes_out_puts_back_and_ends() {
    let world = World::new();
    let id = world.confirmed("rider-1", "sc-1").await;
    world.call("rider-1", "POST /vehicles/sc-1/unlock", Value::Null).await.is_ok();
    let end = format!("POST /operator/bookings/{id}/end-trip");
    let ended = world.operate(&end, Value::Null).await.is_ok();
    assert!(["ended", "completed"].contains(&ended["status"].as_str().unwrap()));
    world.scooter("sc-2").await;
    for (call, status) in [("maintenance", "maintenance"), ("in-service", "available"), ("retire", "retired")]
    {
        let vehicle =
            world.operate(&format!("POST /operator/vehicles/sc-2/{call}"), Value::Null).await.is_ok();
        assert_eq!(vehicle["status"], status, "{vehicle}");
    }
    world.operate("POST /operator/vehicles/none/retire", Value::Null).await.is_problem(404, "not-found");
}

#[tokio::test]
async fn cancelling_gives_the_vehicle_back() {
    let world = World::new();
    let id = world.confirmed("rider-1", "sc-1").await;
    let cancel = format!("POST /bookings/{id}/cancel");
    let cancelled = world.call("rider-1", &cancel, json!({})).await.is_ok();
    assert_eq!(
        (&cancelled["status"], &cancelled["status_reason"]),
        (&json!("cancelled"), &json!("cancelled_by_rider"))
    );
    assert_eq!(world.call("rider-1", &cancel, Value::Null).await.is_ok()["status"], "cancelled");
}
