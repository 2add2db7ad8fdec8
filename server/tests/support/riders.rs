//! Riders who journey as fast as they are served, and remember what they were told.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses its part"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::Server;

/// Riders at a time.
pub const RIDERS: usize = 8;

/// How far a booking was when the server last said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    Created,
    Confirmed,
    Active,
    Ended,
}

#[derive(Default)]
pub struct Acknowledged {
    pub bookings: Mutex<BTreeMap<String, (usize, Seen)>>,
    /// What riders were told that can't be.
    pub lies: Mutex<Vec<String>>,
}

impl Acknowledged {
    fn saw(&self, id: &str, rider: usize, seen: Seen) {
        let mut bookings = self.bookings.lock();
        let entry = bookings.entry(id.to_owned()).or_insert((rider, seen));
        entry.1 = entry.1.max(seen);
    }
}

/// A number of the environment.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// SplitMix64.
pub fn mix(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One rider, journey after journey, until told to stop. A failed call is tried again on the next journey only: the
/// rider's app died with it.
async fn ride(
    rider: usize,
    base: String,
    token: String,
    seen: Arc<Acknowledged>,
    stop: Arc<AtomicBool>,
    seed: u64,
) {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        if journey(rider, &client, &base, &token, &seen, mix(seed, n)).await.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The riders of one round, until they are told to stop.
pub struct Round {
    stop: Arc<AtomicBool>,
    riders: Vec<tokio::task::JoinHandle<()>>,
}

impl Round {
    /// Sends out a rider for each token, the first of which is that of rider `first`, and waits until one of them has been
    /// told of a booking, however slow the machine is.
    pub async fn begin(
        base: &str,
        first: usize,
        tokens: &[String],
        seen: &Arc<Acknowledged>,
        seed: u64,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let before = seen.bookings.lock().len();
        let riders = tokens.iter().enumerate().map(|(n, token)| {
            let (base, token, seed) = (base.to_owned(), token.clone(), mix(seed, n as u64));
            tokio::spawn(ride(first + n, base, token, Arc::clone(seen), Arc::clone(&stop), seed))
        });
        let round = Self { riders: riders.collect(), stop: Arc::clone(&stop) };
        let began = std::time::Instant::now();
        while seen.bookings.lock().len() == before {
            assert!(began.elapsed() < Duration::from_secs(60), "no booking was acknowledged for a minute");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        round
    }

    /// Lets every rider come to the end of a call.
    pub async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for rider in self.riders {
            rider.await.unwrap();
        }
    }
}

async fn call(request: reqwest::RequestBuilder) -> Option<(u16, Value)> {
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.json().await.ok()?))
}

async fn journey(
    rider: usize,
    client: &reqwest::Client,
    base: &str,
    token: &str,
    seen: &Acknowledged,
    pick: u64,
) -> Option<()> {
    let search = format!("{base}/vehicles/search?lat=50.1109&lon=8.6821&radius_m=5000&limit=50");
    let (_, found) = call(client.get(search)).await?;
    let vehicles = found["vehicles"].as_array()?;
    let vehicle =
        vehicles.get(usize::try_from(pick).ok()? % vehicles.len().max(1))?["vehicle_id"].as_str()?;
    let key = format!("key-{pick}");
    let body = json!({ "vehicle_id": vehicle, "estimated_duration": 600 });
    let create = client.post(format!("{base}/bookings")).bearer_auth(token).header("Idempotency-Key", &key);
    let (status, booking) = call(create.json(&body)).await?;
    if status != 200 {
        return None;
    }
    let id = booking["booking_id"].as_str()?.to_owned();
    seen.saw(&id, rider, Seen::Created);
    let pay = client.post(format!("{base}/bookings/{id}/confirm-payment")).bearer_auth(token);
    let (status, paid) = call(pay.json(&json!({ "payment_method_id": "pm_card_visa" }))).await?;
    if status != 200 {
        return None;
    }
    if paid["status"] != "confirmed" {
        seen.lies.lock().push(format!("200 for confirm-payment of {id}, but {}", paid["status"]));
        return None;
    }
    seen.saw(&id, rider, Seen::Confirmed);
    let (status, opened) =
        call(client.post(format!("{base}/vehicles/{vehicle}/unlock")).bearer_auth(token)).await?;
    if status != 200 {
        return None;
    }
    if opened["booking_id"] != id.as_str() {
        seen.lies.lock().push(format!("unlock of {vehicle} for {id} answered {opened}"));
    }
    seen.saw(&id, rider, Seen::Active);
    let (status, _) = call(client.post(format!("{base}/bookings/{id}/end-trip")).bearer_auth(token)).await?;
    if status == 200 {
        seen.saw(&id, rider, Seen::Ended);
    }
    Some(())
}

/// Every acknowledged booking is there, at least as far as its rider was told.
pub async fn check(server: &Server, tokens: &[String], seen: &Acknowledged) {
    let client = reqwest::Client::new();
    assert_eq!(*seen.lies.lock(), Vec::<String>::new());
    let bookings = seen.bookings.lock().clone();
    for (id, (rider, told)) in bookings {
        let get = client.get(format!("{}/bookings/{id}", server.base)).bearer_auth(&tokens[rider]);
        let (status, booking) = call(get).await.expect("the server answers");
        assert_eq!(status, 200, "booking {id} of rider {rider}, told {told:?}, is gone: {booking}");
        let state = booking["status"].as_str().unwrap();
        let allowed: &[&str] = match told {
            Seen::Created => {
                &["pending_payment", "confirmed", "active", "ended", "completed", "expired", "cancelled"]
            }
            Seen::Confirmed => &["confirmed", "active", "ended", "completed"],
            Seen::Active => &["active", "ended", "completed"],
            Seen::Ended => &["ended", "completed"],
        };
        assert!(allowed.contains(&state), "booking {id} was told to be {told:?}, but is {state}: {booking}");
    }
}
