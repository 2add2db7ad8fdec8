use std::time::Duration;

use rideplane_http::{HttpSettings, HttpState, OPENAPI, endpoints, router};
use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn health_readiness_and_metrics() {
    let world = World::new();
    assert_eq!(world.raw("GET /healthz", &[], "").await.is_ok(), json!({"status": "ok"}));
    world.raw("GET /readyz", &[], "").await.is_ok();
    world.scooter("sc-1").await;
    world.raw("GET /nowhere/secret-path", &[], "").await;
    let metrics = world.raw("GET /metrics", &[], "").await;
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = String::from_utf8(metrics.bytes).unwrap();
    for line in [
        "rideplane_http_requests_total{method=\"PUT\",route=\"/operator/vehicles/{id}\",status=\"200\"} 1",
        "rideplane_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"} 1",
        "rideplane_outbox_pending 2",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("secret-path") && text.contains("rideplane_build_info{version="));
    world.state.draining.start();
    world.raw("GET /readyz", &[], "").await.is_problem(503, "service-unavailable");
    world.raw("GET /healthz", &[], "").await.is_ok();
}

#[tokio::test]
async fn a_store_that_is_down_is_503_and_retry_after() {
    let world = World::down();
    for call in ["GET /readyz", "GET /me", "GET /bookings", "POST /vehicles/sc-1/unlock"] {
        world.call("rider-1", call, Value::Null).await.is_problem(503, "service-unavailable");
    }
    let reply = world.create("rider-1", "k", r#"{"vehicle_id":"sc-1"}"#).await;
    reply.is_problem(503, "service-unavailable");
    assert_eq!(reply.header("retry-after"), Some("20"));
    world.raw("GET /healthz", &[], "").await.is_ok();
    world.raw("GET /metrics", &[], "").await;
}

#[tokio::test]
async fn no_route_and_no_such_method_are_problems_too() {
    let world = World::new();
    for path in ["/", "/nowhere", "/bookings/", "/operator", "/vehicles/sc-1/unlock/x"] {
        world.raw(&format!("GET {path}"), &[], "").await.is_problem(404, "not-found");
    }
    for endpoint in endpoints() {
        let path = endpoint.path.replace("{id}", "x");
        let reply = world.raw(&format!("DELETE {path}"), &[], "").await;
        reply.is_problem(405, "method-not-allowed");
        assert!(
            reply.header("allow").unwrap().contains(endpoint.method),
            "{path}: {:?}",
            reply.header("allow")
        );
    }
    let head = world.raw("HEAD /healthz", &[], "").await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
}

#[tokio::test]
async fn a_panic_is_a_problem_that_tells_nothing() {
    let world = World::new();
    world.search.panic();
    let reply = world.raw("GET /vehicles/search?lat=50&lon=8", &[], "").await;
    let problem = reply.is_problem(500, "internal-error");
    assert!(!problem.to_string().contains("secret"));
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered() {
    let settings = HttpSettings { request_timeout: Duration::from_millis(50), ..HttpSettings::default() };
    let world = World::with(settings, false);
    world.search.hang();
    let problem = world.raw("GET /vehicles/search?lat=50&lon=8", &[], "").await;
    let problem = problem.is_problem(503, "service-unavailable");
    assert!(!problem["detail"].as_str().unwrap().contains("fail"));
}

/// The claim is durable when the time is up: its answer is finished, kept, and given to the repeat.
#[tokio::test]
async fn what_was_begun_is_finished_after_the_time_limit() {
    let settings = HttpSettings { request_timeout: Duration::from_millis(100), ..HttpSettings::default() };
    let world = World::with(settings, false);
    world.scooter("sc-1").await;
    world.search.be_slow(true);
    let body = r#"{"vehicle_id":"sc-1"}"#;
    world.create("rider-1", "k", body).await.is_problem(503, "service-unavailable");
    world.search.be_slow(false);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let again = world.create("rider-1", "k", body).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    again.is_ok();
}

#[tokio::test]
async fn a_client_s_request_id_is_kept_and_an_unsafe_one_is_not() {
    let world = World::new();
    let id = async |value: &str| {
        let reply = world.raw("GET /nowhere", &[("x-request-id", value)], "").await;
        reply.is_problem(404, "not-found");
        reply.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(id("abc-123").await, "abc-123");
    assert_eq!(id("a b").await.len(), 32);
    assert_ne!(id("").await, id("").await);
}

#[tokio::test]
async fn without_the_embedded_gateway_there_is_no_customer_to_play() {
    let mut world = World::new();
    world.router = router(HttpState { test_gateway: None, ..world.state.clone() });
    let call = "POST /test-gateway/payment-intents/pi_1/authenticate";
    let json = [("content-type", "application/json")];
    world.raw(call, &json, r#"{"success":true}"#).await.is_problem(404, "not-found");
    world.raw(call, &[], "x").await.is_problem(404, "not-found");
}

#[tokio::test]
async fn the_description_is_served_and_its_page_asks_nobody_else() {
    let world = World::new();
    let api = world.raw("GET /openapi.json", &[], "").await;
    assert_eq!((api.status, api.header("content-type")), (200, Some("application/json")));
    assert_eq!(api.bytes, OPENAPI.as_bytes());
    let docs = world.raw("GET /docs", &[], "").await;
    let page = String::from_utf8(docs.bytes.clone()).unwrap();
    assert!(docs.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="));
}
