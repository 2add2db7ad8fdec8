//! The real binary as its operator runs it: a journey over HTTP, a restart in the middle of one, a fleet from a file, a
//! second writer, a stop signal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::{Server, audit, operator_token, rideplane, token};

async fn send(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: not JSON: {text}")))
}

async fn a_scooter(client: &reqwest::Client, base: &str) -> String {
    let search = format!("{base}/vehicles/search?lat=50.1109&lon=8.6821&type=scooter&radius_m=5000");
    let (status, found) = send(client.get(search)).await;
    assert_eq!(status, 200, "{found}");
    let first = &found["vehicles"][0];
    assert_eq!(
        (first["form_factor"].as_str(), first["status"].as_str()),
        (Some("scooter_standing"), Some("available"))
    );
    assert_eq!(first["price"]["unlock"]["currency"], "EUR");
    first["vehicle_id"].as_str().unwrap().to_owned()
}

async fn book(client: &reqwest::Client, base: &str, rider: &str, vehicle: &str, key: &str) -> (u16, Value) {
    let body = json!({ "vehicle_id": vehicle, "estimated_duration": 900 });
    let request = client.post(format!("{base}/bookings")).bearer_auth(rider);
    send(request.header("Idempotency-Key", key).json(&body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journey_survives_a_restart_in_its_middle() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start(data.path(), 30).await;
    let (client, rider) = (reqwest::Client::new(), token(data.path(), "rider-1"));
    let vehicle = a_scooter(&client, &server.base).await;
    let (status, booking) = book(&client, &server.base, &rider, &vehicle, "k1").await;
    assert_eq!((status, booking["status"].as_str()), (200, Some("pending_payment")), "{booking}");
    assert!(booking["payment"]["client_secret"].is_string());
    let id = booking["booking_id"].as_str().unwrap().to_owned();
    let (status, lost) = book(&client, &server.base, &token(data.path(), "rider-2"), &vehicle, "k1").await;
    assert_eq!(status, 409, "{lost}");
    assert!(lost["type"].as_str().unwrap().ends_with("vehicle-unavailable"));
    assert!(!lost["alternatives"].as_array().unwrap().is_empty());
    let url = |base: &str, what: &str| format!("{base}/bookings/{id}{what}");
    let pay = client.post(url(&server.base, "/confirm-payment")).bearer_auth(&rider);
    let (status, paid) = send(pay.json(&json!({ "payment_method_id": "pm_card_visa" }))).await;
    assert_eq!((status, paid["status"].as_str()), (200, Some("confirmed")), "{paid}");
    let unlock = client.post(format!("{}/vehicles/{vehicle}/unlock", server.base)).bearer_auth(&rider);
    let (status, unlocked) = send(unlock).await;
    assert_eq!((status, unlocked["status"].as_str()), (200, Some("unlocked")), "{unlocked}");

    server.kill_9();
    let mut server = Server::start(data.path(), 30).await;
    let (_, riding) = send(client.get(url(&server.base, "")).bearer_auth(&rider)).await;
    assert_eq!(riding["status"], "active", "{riding}");
    let (status, ended) = send(client.post(url(&server.base, "/end-trip")).bearer_auth(&rider)).await;
    assert_eq!(status, 200, "{ended}");
    assert!(["ended", "completed"].contains(&ended["status"].as_str().unwrap()), "{ended}");
    assert!(ended["receipt"]["total"]["amount"].is_string());
    for _ in 0..100 {
        let (_, now) = send(client.get(url(&server.base, "")).bearer_auth(&rider)).await;
        if now["status"] == "completed" {
            assert_eq!(now["payment"]["captured"], now["receipt"]["total"]);
            assert!(now["receipt"]["captured_at"].is_string());
            assert!(server.terminate().success(), "a stop signal ends it cleanly");
            let (clean, report) = audit(data.path());
            assert!(clean, "{report}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the ride was never charged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_file_is_imported_listed_and_found() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("fleet.csv");
    std::fs::write(
        &file,
        "vehicle_id,vehicle_type,lat,lon\nx-1,scooter,48.1374,11.5755\nx-2,car,48.1375,11.5756\n",
    )
    .unwrap();
    let run = |args: &[&str]| {
        let output =
            rideplane().args(args).arg("--data").arg(data.path()).current_dir(data.path()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, text) = run(&["fleet", "import", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = run(&["fleet", "list"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("x-1") && text.contains("48.13740") && text.contains("available"), "{text}");
    std::fs::write(&file, "vehicle_id,vehicle_type,lat,lon\nx-3,scooter,91,11\n").unwrap();
    let (code, text) = run(&["fleet", "import", file.to_str().unwrap()]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("line 2") && text.contains("lat") && text.contains("91"), "{text}");

    let server = Server::start(data.path(), 30).await;
    let client = reqwest::Client::new();
    let near = format!("{}/vehicles/search?lat=48.1374&lon=11.5755", server.base);
    let (_, found) = send(client.get(near)).await;
    let ids: Vec<&str> =
        found["vehicles"].as_array().unwrap().iter().map(|v| v["vehicle_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["x-1", "x-2"], "no demo fleet is made where there are vehicles: {found}");
    // A second process may look, but not write.
    let (code, text) = run(&["fleet", "list"]);
    assert_eq!(code, Some(0), "{text}");
    std::fs::write(&file, "vehicle_id,vehicle_type,lat,lon\nx-4,scooter,48,11\n").unwrap();
    let (code, text) = run(&["fleet", "import", file.to_str().unwrap()]);
    assert_eq!(code, Some(2), "a second writer: {text}");
    // The operator takes one out.
    let ops = operator_token(data.path());
    let out = format!("{}/operator/vehicles/x-1/maintenance", server.base);
    let (status, vehicle) = send(client.post(out).bearer_auth(&ops)).await;
    assert_eq!((status, vehicle["status"].as_str()), (200, Some("maintenance")), "{vehicle}");
    let near = format!("{}/vehicles/search?lat=48.1374&lon=11.5755", server.base);
    let (_, found) = send(client.get(near)).await;
    assert_eq!(found["vehicles"].as_array().unwrap().len(), 1, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_line_holds_a_secret() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), 30, &[("RIDEPLANE_LOG__LEVEL", "debug")]).await;
    let (client, rider) = (reqwest::Client::new(), token(data.path(), "rider-1"));
    let put =
        json!({ "email": "canary@example.org", "push_token": "canary-push", "phone": "+4915112345678" });
    let (status, _) = send(client.put(format!("{}/me", server.base)).bearer_auth(&rider).json(&put)).await;
    assert_eq!(status, 200);
    let vehicle = a_scooter(&client, &server.base).await;
    let (_, booking) = book(&client, &server.base, &rider, &vehicle, "k").await;
    let id = booking["booking_id"].as_str().unwrap();
    let pay = client.post(format!("{}/bookings/{id}/confirm-payment", server.base)).bearer_auth(&rider);
    // A card number has no place here; a client that sends one must not find it in the logs.
    let (status, _) =
        send(pay.json(&json!({ "payment_method_id": "pm_card_visa", "card": "4242424242424242" }))).await;
    assert_eq!(status, 422);
    let pay = client.post(format!("{}/bookings/{id}/confirm-payment", server.base)).bearer_auth(&rider);
    let (status, _) = send(pay.json(&json!({ "payment_method_id": "pm_card_visa" }))).await;
    assert_eq!(status, 200);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let log = std::fs::read_to_string(data.path().join("serve.log")).unwrap();
    assert!(log.contains("request_id"), "{log}");
    let secret = booking["payment"]["client_secret"].as_str().unwrap();
    for canary in ["canary", "4915112345678", "4242424242424242", rider.as_str(), secret] {
        assert!(!log.contains(canary), "the log holds {canary}");
    }
}
