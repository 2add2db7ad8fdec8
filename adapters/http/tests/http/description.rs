use std::collections::BTreeSet;

use rideplane_http::{Access, OPENAPI, endpoints};
use serde_json::{Value, json};

use crate::world::World;

fn api() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

#[test]
fn it_lists_exactly_the_routes() {
    let api = api();
    let listed: BTreeSet<String> = api["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, calls)| {
            calls.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let routed: BTreeSet<String> =
        endpoints().iter().map(|endpoint| format!("{} {}", endpoint.method, endpoint.path)).collect();
    assert_eq!(listed, routed);
    for endpoint in endpoints() {
        let call = &api["paths"][endpoint.path][endpoint.method.to_lowercase()];
        let is_public = call["security"] == json!([]);
        assert_eq!(is_public, endpoint.access == Access::Public, "{}", endpoint.path);
        assert_eq!(
            call["responses"].get("403").is_some(),
            endpoint.access == Access::Operator,
            "{}",
            endpoint.path
        );
        assert_eq!(
            call["responses"].get("401").is_none(),
            endpoint.access == Access::Public,
            "{}",
            endpoint.path
        );
        let ids = call["parameters"].as_array().into_iter().flatten().filter(|one| {
            let one = one["$ref"].as_str().map_or(*one, |at| api.pointer(&at[1..]).unwrap());
            one["in"] == "path"
        });
        assert_eq!(ids.count(), endpoint.path.matches('{').count(), "{}", endpoint.path);
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let api = api();
    let mut waiting = vec![&api];
    let mut seen = 0;
    while let Some(value) = waiting.pop() {
        if let Some(at) = value.get("$ref").and_then(Value::as_str) {
            assert!(api.pointer(at.strip_prefix('#').unwrap()).is_some(), "{at}");
            seen += 1;
        }
        match value {
            Value::Object(members) => waiting.extend(members.values()),
            Value::Array(items) => waiting.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    assert!(seen > 100);
}

/// Holds a value against the part of JSON Schema that the description uses.
fn fits(api: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(to) = schema["$ref"].as_str() {
        return fits(api, api.pointer(&to[1..]).unwrap(), value, at);
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_number = kind == "integer" && kinds.contains(&"number");
    assert!(kinds.is_empty() || kinds.contains(&kind) || is_number, "{at}: {value} is no {kinds:?}");
    if let Some(values) = schema["enum"].as_array() {
        assert!(values.contains(value), "{at}: {value}");
    }
    if let Some(items) = value.as_array() {
        items.iter().for_each(|item| fits(api, &schema["items"], item, at));
    }
    let (Some(members), Some(properties)) = (value.as_object(), schema["properties"].as_object()) else {
        return;
    };
    for (name, member) in members {
        match properties.get(name) {
            Some(property) => fits(api, property, member, &format!("{at}.{name}")),
            None => assert_ne!(schema["additionalProperties"], false, "{at}.{name} is not described"),
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(members.contains_key(name), "{at}.{name} is missing");
    }
}

#[test]
fn the_examples_fit_their_schemas() {
    let api = api();
    for (name, schema) in api["components"]["schemas"].as_object().unwrap() {
        if let Some(example) = schema.get("example") {
            fits(&api, schema, example, name);
        }
    }
    let problem = &api["components"]["schemas"]["Problem"];
    for (name, example) in api["components"]["examples"].as_object().unwrap() {
        fits(&api, problem, &example["value"], name);
    }
}

#[tokio::test]
async fn real_answers_fit_it() {
    let world = World::new();
    let api = api();
    let schema = |name: &str| api["components"]["schemas"][name].clone();
    let id = world.confirmed("rider-1", "sc-1").await;
    world.scooter("sc-2").await;
    let get = format!("GET /bookings/{id}");
    let check = async |name: &str, call: &str| {
        let answer = world.call("rider-1", call, Value::Null).await.is_ok();
        fits(&api, &schema(name), &answer, call);
    };
    check("Search", "GET /vehicles/search?lat=50.1109&lon=8.6821").await;
    check("Prices", "GET /pricing/batch?vehicle_ids=sc-1").await;
    check("Booking", &get).await;
    check("Unlocked", "POST /vehicles/sc-1/unlock").await;
    check("Booking", &get).await;
    check("Booking", &format!("POST /bookings/{id}/end-trip")).await;
    check("Bookings", "GET /bookings").await;
    check("Profile", "GET /me").await;
    check("Status", "GET /readyz").await;
    let vehicle = world.operate("POST /operator/vehicles/sc-2/maintenance", Value::Null).await.is_ok();
    fits(&api, &schema("OperatorVehicle"), &vehicle, "vehicle");
}
