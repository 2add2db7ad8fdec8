//! The binary with its search cached in a real Redis.
#![cfg(feature = "redis")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first thing that fails"
)]

mod support;

use rideplane_services::Redis;
use serde_json::{Value, json};
use support::{Server, rideplane, token};

const SEARCH: &str = "/vehicles/search?lat=50.1109&lon=8.6821&limit=5";

async fn search(server: &Server) -> Value {
    let answer = reqwest::get(format!("{}{SEARCH}", server.base)).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

fn ids(found: &Value) -> Vec<String> {
    let vehicles = found["vehicles"].as_array().unwrap();
    vehicles.iter().map(|vehicle| vehicle["vehicle_id"].as_str().unwrap().to_owned()).collect()
}

async fn counted(server: &Server, name: &str) -> u64 {
    let text = reqwest::get(format!("{}/metrics", server.base)).await.unwrap().text().await.unwrap();
    let prefix = format!("rideplane_cache_{name}_total ");
    let line = text.lines().find_map(|line| line.strip_prefix(&prefix));
    line.unwrap_or_else(|| panic!("{name} is not in\n{text}")).parse().unwrap()
}

/// Searches until the answer comes from there: a slow machine may pass the cache by for once.
async fn search_from(server: &Server, source: &str) -> Value {
    for _ in 0..100 {
        let found = search(server).await;
        if found["source"] == source {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("no search was answered from the {source}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_are_cached_claims_are_seen_at_once_and_nobody_misses_a_dead_cache() {
    let mut redis = Redis::start(&[]).unwrap();
    let data = tempfile::tempdir().unwrap();
    let url = redis.url();
    let server = Server::start_with(data.path(), 50, &[("RIDEPLANE_CACHE", &url)]).await;
    let first = search(&server).await;
    let cached = search_from(&server, "cache").await;
    assert_eq!(ids(&cached), ids(&first));
    assert!(counted(&server, "hits").await > 0 && counted(&server, "fills").await > 0);

    let taken = ids(&cached)[0].clone();
    let booking = reqwest::Client::new()
        .post(format!("{}/bookings", server.base))
        .bearer_auth(token(data.path(), "rider-1"))
        .header("Idempotency-Key", "first")
        .json(&json!({ "vehicle_id": taken }))
        .send()
        .await
        .unwrap();
    assert_eq!(booking.status(), 200);
    assert!(!ids(&search(&server).await).contains(&taken), "{taken} is reserved, and still listed");

    redis.kill9().unwrap();
    let without = search_from(&server, "index").await;
    assert!(ids(&without).len() == 5 && !ids(&without).contains(&taken), "{without}");
    assert!(counted(&server, "failures").await > 0);
}

#[test]
fn a_cache_that_can_not_be_used_is_one_sentence_without_the_password() {
    let redis = Redis::start(&[]).unwrap();
    let locked = Redis::start(&["--requirepass", "s3cr3t"]).unwrap();
    let address = redis.address();
    let (without, old) = (locked.url(), format!("redis://:hunter2@{}", locked.address()));
    let (data, wrong) = (tempfile::tempdir().unwrap(), format!("redis://:hunter2@{address}"));
    let database = format!("redis://{address}/99");
    for (url, hint) in [
        (wrong.as_str(), "check user, password and database"),
        (database.as_str(), "check user, password and database"),
        (without.as_str(), "check user, password and database"),
        (old.as_str(), "check user, password and database"),
        ("memcached://hunter2@localhost", "redis://[USER:PASSWORD@]HOST:PORT"),
    ] {
        let mut serve = rideplane();
        serve
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .env("RIDEPLANE_CACHE", url);
        let output = serve.current_dir(data.path()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{url}: {errors}");
        assert!(errors.contains(hint) && !errors.contains("panicked"), "{url}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(!errors.contains("hunter2"), "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_with_a_password_that_falls_silent_is_passed_by_and_used_again() {
    let redis = Redis::start(&["--requirepass", "s3cr3t"]).unwrap();
    let data = tempfile::tempdir().unwrap();
    let url = format!("redis://:s3cr3t@{}", redis.address());
    let server = Server::start_with(data.path(), 50, &[("RIDEPLANE_CACHE", &url)]).await;
    let first = ids(&search(&server).await);
    assert_eq!(ids(&search_from(&server, "cache").await), first);
    redis.freeze(true).unwrap();
    for _ in 0..20 {
        assert_eq!(ids(&search(&server).await), first, "no rider hears of a silent cache");
    }
    assert!(counted(&server, "failures").await > 0);
    redis.freeze(false).unwrap();
    assert_eq!(ids(&search_from(&server, "cache").await), first, "it is used again once it answers");
}
