use rideplane_http::{Access, endpoints};
use serde_json::{Value, json};

use crate::world::{Reply, World};

fn fill(path: &str, booking: &str) -> String {
    if path.contains("/bookings/{id}") { path.replace("{id}", booking) } else { path.replace("{id}", "sc-1") }
}

/// A body that the call would take from somebody who may make it.
fn body(path: &str) -> Value {
    match path {
        "/bookings" => json!({"vehicle_id": "sc-1"}),
        "/bookings/{id}/confirm-payment" => json!({"payment_method_id": "pm_card_visa"}),
        "/operator/vehicles/{id}" => {
            json!({"vehicle_type": "s", "form_factor": "car", "propulsion_type": "human", "plan_id": "scooter"})
        }
        _ => json!({}),
    }
}

async fn call(world: &World, token: Option<String>, method: &str, path: &str, booking: &str) -> Reply {
    let call = format!("{method} {}", fill(path, booking));
    let mut headers = vec![("content-type", "application/json"), ("idempotency-key", "matrix")];
    let authorization = token.map(|token| format!("Bearer {token}"));
    if let Some(authorization) = &authorization {
        headers.push(("authorization", authorization));
    }
    let body = if method == "GET" { String::new() } else { body(path).to_string() };
    world.raw(&call, &headers, body).await
}

/// Every route by everybody: nobody, a token that is none, a stranger, the owner, an operator.
#[tokio::test]
async fn route_by_role_by_owner() {
    let world = World::new();
    let booking = world.confirmed("owner", "sc-1").await;
    for endpoint in endpoints().iter().filter(|endpoint| endpoint.access != Access::Public) {
        let (method, path) = (endpoint.method, endpoint.path);
        for token in [None, Some("x.y.z".to_owned())] {
            call(&world, token, method, path, &booking).await.is_problem(401, "unauthenticated");
        }
        let stranger = call(&world, Some(world.token("stranger", false)), method, path, &booking).await;
        if endpoint.access == Access::Operator {
            stranger.is_problem(403, "forbidden");
            call(&world, Some(world.token("owner", false)), method, path, &booking)
                .await
                .is_problem(403, "forbidden");
        } else if path.contains("{id}") {
            stranger.is_problem(404, "not-found");
            // An operator's role opens the operator's calls, not other people's bookings.
            call(&world, Some(world.token("op", true)), method, path, &booking)
                .await
                .is_problem(404, "not-found");
        } else {
            assert!([200, 409].contains(&stranger.status), "{method} {path}: {}", stranger.status);
        }
    }
    let list = world.call("stranger", "GET /bookings", Value::Null).await.is_ok();
    assert_eq!(list["bookings"], json!([]));
    let untouched = world.call("owner", &format!("GET /bookings/{booking}"), Value::Null).await.is_ok();
    assert_eq!(untouched["status"], "confirmed");
    assert_eq!(
        world.call("owner", "POST /vehicles/sc-1/unlock", Value::Null).await.is_ok()["status"],
        "unlocked"
    );
}

#[tokio::test]
async fn only_these_calls_need_no_token() {
    let public: Vec<String> = endpoints()
        .iter()
        .filter(|endpoint| endpoint.access == Access::Public)
        .map(|endpoint| format!("{} {}", endpoint.method, endpoint.path))
        .collect();
    assert_eq!(
        public,
        [
            "GET /vehicles/search",
            "GET /fleet/available",
            "GET /pricing/batch",
            "POST /webhooks/stripe",
            "POST /test-gateway/payment-intents/{id}/authenticate",
            "GET /healthz",
            "GET /readyz",
            "GET /metrics",
            "GET /openapi.json",
            "GET /docs",
        ]
    );
    for endpoint in endpoints() {
        assert_eq!(
            endpoint.path.starts_with("/operator/"),
            endpoint.access == Access::Operator,
            "{}",
            endpoint.path
        );
    }
}
