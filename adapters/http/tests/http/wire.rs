//! Over a real connection.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::world::World;

async fn start(
    world: &World,
    grace: Duration,
) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let shutdown = async { drop(stopped.await) };
    (address, stop, tokio::spawn(rideplane_http::serve(listener, world.router.clone(), shutdown, grace)))
}

#[tokio::test]
async fn a_booking_over_http() {
    let world = World::new();
    world.scooter("sc-1").await;
    let (address, stop, server) = start(&world, Duration::from_secs(5)).await;
    let client = reqwest::Client::new();
    let token = world.token("rider-1", false);
    let post = async |path: &str, body: Value| {
        let request =
            client.post(format!("http://{address}{path}")).bearer_auth(&token).header("idempotency-key", "k");
        let response = request.json(&body).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let (status, booking) = post("/bookings", json!({"vehicle_id": "sc-1"})).await;
    assert_eq!(status, 200, "{booking}");
    let path = format!("/bookings/{}/confirm-payment", booking["booking_id"].as_str().unwrap());
    let (_, paid) = post(&path, json!({"payment_method_id": "pm_card_visa"})).await;
    assert_eq!(paid["status"], "confirmed");
    assert_eq!(post("/vehicles/sc-1/unlock", json!({})).await.1["status"], "unlocked");

    let big = vec![b' '; 10 << 20];
    let request = client
        .put(format!("http://{address}/me"))
        .bearer_auth(&token)
        .header("content-type", "application/json");
    // The server answers without reading it all; a client that only writes may see the connection closed instead.
    if let Ok(response) = request.body(big).send().await {
        assert_eq!(response.status(), 413);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
    let head = client.head(format!("http://{address}/healthz")).send().await.unwrap();
    assert_eq!(head.status(), 200);
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(3), server).await.unwrap().unwrap().unwrap();
    assert!(client.get(format!("http://{address}/healthz")).send().await.is_err());
}

#[tokio::test]
async fn going_away_waits_for_requests_but_not_for_ever() {
    let world = World::new();
    world.search.hang();
    let (address, stop, server) = start(&world, Duration::from_millis(300)).await;
    let url = format!("http://{address}/vehicles/search?lat=50&lon=8");
    let hanging = tokio::spawn(async move { reqwest::get(url).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = std::time::Instant::now();
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    assert!((Duration::from_millis(250)..Duration::from_secs(3)).contains(&began.elapsed()));
    hanging.abort();
}
