//! A whole data plane in a test: the use cases over memory, with vehicles that answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use rideplane_app::{App, Ports, Settings};
use rideplane_core::geo::Point;
use rideplane_core::ids::{KeyId, PaymentIntentId, UserId, VehicleId};
use rideplane_core::pricing::PlanCatalogue;
use rideplane_core::time::{Span, Timestamp};
use rideplane_core::unlock::TrustedKeys;
use rideplane_http::auth::{Audience, Issuer, LocalKey, Roles, Verifier};
use rideplane_http::{HttpSettings, HttpState, TestGatewayControl, WebhookSecret, router};
use rideplane_memory::{
    Agents, IndexAvailability, LocalSigner, ManualClock, MemoryStore, NoSurge, RecordingNotifier, SeededIds,
    TestGateway,
};
use rideplane_ports::{
    Availability, AvailabilityUpdate, Breaker, Clock as _, FromVehicle, Guarded, Nearby, Nearest, PortError,
    Store, Telemetry, VehicleInbox as _,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub(crate) const SECRET: [u8; 32] = *b"a secret that only tests know...";
pub(crate) const WEBHOOK_SECRET: &str = "whsec_test";
const PLANS: &str = r#"[{"plan_id":"scooter","currency":"EUR","price":1.0,"is_taxable":false,
    "per_min_pricing":[{"start":0,"rate":0.25,"interval":1}]}]"#;

/// Search that misbehaves when told to.
#[derive(Default)]
pub(crate) struct MoodySearch {
    inner: IndexAvailability,
    mood: AtomicU8,
}

impl MoodySearch {
    pub(crate) fn hang(&self) {
        self.mood.store(1, Ordering::SeqCst);
    }

    pub(crate) fn be_slow(&self, slow: bool) {
        self.mood.store(if slow { 3 } else { 0 }, Ordering::SeqCst);
    }

    pub(crate) fn panic(&self) {
        self.mood.store(2, Ordering::SeqCst);
    }
}

#[async_trait]
impl Availability for MoodySearch {
    async fn nearest(&self, query: &Nearest, now: Timestamp) -> Result<Nearby, PortError> {
        match self.mood.load(Ordering::SeqCst) {
            0 => self.inner.nearest(query, now).await,
            1 => std::future::pending().await,
            _ => panic!("a secret of the caller"),
        }
    }

    async fn apply(&self, updates: &[AvailabilityUpdate]) -> Result<(), PortError> {
        if self.mood.load(Ordering::SeqCst) == 3 {
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        }
        self.inner.apply(updates).await
    }
}

struct Customer(Arc<TestGateway>);

#[async_trait]
impl TestGatewayControl for Customer {
    async fn authenticate(&self, intent: &PaymentIntentId, success: bool) -> Result<(), PortError> {
        self.0.authenticate(intent, success).map(drop)
    }
}

pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) agents: Arc<Agents>,
    pub(crate) gateway: Arc<TestGateway>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) search: Arc<MoodySearch>,
    pub(crate) state: HttpState,
    pub(crate) router: Router,
}

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Reply {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.bytes)))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Holds a problem against everything that the contract says of problems.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, name: &str) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        let problem = self.json();
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(problem["type"], format!("https://rideplane.dev/problems/{name}"), "{problem}");
        assert_eq!(problem["status"], status);
        assert!(!problem["title"].as_str().unwrap().is_empty());
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        if self.header("idempotent-replayed").is_none() {
            assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"));
        }
        if status == 401 {
            assert_eq!(self.header("www-authenticate"), Some("Bearer"));
        }
        if status == 429 || status == 503 {
            assert!(self.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
        }
        problem
    }

    #[track_caller]
    pub(crate) fn is_ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.bytes));
        self.json()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(
            HttpSettings {
                webhook_secret: Some(WebhookSecret::new(WEBHOOK_SECRET)),
                ..HttpSettings::default()
            },
            false,
        )
    }

    /// With a store whose breaker is open.
    pub(crate) fn down() -> Self {
        Self::with(HttpSettings::default(), true)
    }

    pub(crate) fn with(settings: HttpSettings, store_is_down: bool) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_780_000_000)));
        let key_id = KeyId::new("test").unwrap();
        let signer = LocalSigner::new(key_id.clone(), &[7; 32]);
        let trusted = TrustedKeys::new(key_id, signer.public_key()).unwrap();
        let agents = Arc::new(Agents::new([8; 32], trusted, clock.clone()));
        let gateway = Arc::new(TestGateway::in_memory(clock.clone(), [9; 32]));
        let memory = Arc::new(MemoryStore::new());
        let search = Arc::new(MoodySearch::default());
        let mut store: Arc<dyn Store> = memory.clone();
        if store_is_down {
            let mut breaker = Breaker::new(1, Span::from_seconds(20));
            breaker.record(true, clock.now());
            store = Arc::new(Guarded::new(memory.clone(), breaker, clock.clone()));
        }
        let ports = Ports {
            store,
            outbox: memory.clone(),
            inbox: memory,
            availability: search.clone(),
            gateway: gateway.clone(),
            link: agents.clone(),
            notifier: Arc::new(RecordingNotifier::new()),
            signer: Arc::new(signer),
            demand: Arc::new(NoSurge),
            clock: clock.clone(),
            ids: Arc::new(SeededIds::new(1)),
        };
        let plans: PlanCatalogue = serde_json::from_str(PLANS).unwrap();
        let app = App::new(ports, Settings { plans, ..Settings::default() });
        let verifier =
            Verifier::new(whom(), Span::from_seconds(5), vec![LocalKey::from_bytes(SECRET).trusted()]);
        let state = HttpState::new(app.clone(), Arc::new(verifier), settings)
            .with_test_gateway(Arc::new(Customer(gateway.clone())));
        let router = router(state.clone());
        let world = Self { app, agents, gateway, clock, search, state, router };
        world.listen();
        world
    }

    /// Hears what the vehicles say.
    fn listen(&self) {
        let (app, agents) = (self.app.clone(), self.agents.clone());
        tokio::spawn(async move {
            while let Ok(Some(message)) = agents.next().await {
                drop(app.vehicle_said(&message).await);
            }
        });
    }

    pub(crate) fn token(&self, user: &str, operator: bool) -> String {
        let issuer = Issuer::new(&LocalKey::from_bytes(SECRET), whom());
        let user = UserId::new(user).unwrap();
        issuer.issue(&user, Roles { operator }, self.clock.now(), Span::from_minutes(60)).unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap().to_vec();
        let id = headers.get("x-request-id").unwrap_or_else(|| panic!("no x-request-id on {status}"));
        assert!(!id.is_empty());
        Reply { status, headers, bytes }
    }

    /// Calls with a raw body and whatever headers.
    pub(crate) async fn raw(&self, call: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
        let (method, path) = call.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Calls as a user; `Value::Null` sends no body.
    pub(crate) async fn call(&self, user: &str, call: &str, body: Value) -> Reply {
        self.call_as(&self.token(user, false), call, body).await
    }

    pub(crate) async fn operate(&self, call: &str, body: Value) -> Reply {
        self.call_as(&self.token("operator-1", true), call, body).await
    }

    async fn call_as(&self, token: &str, call: &str, body: Value) -> Reply {
        let authorization = format!("Bearer {token}");
        if body.is_null() {
            return self.raw(call, &[("authorization", &authorization)], Body::empty()).await;
        }
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        self.raw(call, &headers, body.to_string()).await
    }

    /// Registers a free scooter in Frankfurt.
    pub(crate) async fn scooter(&self, id: &str) {
        let (lat, lon) = (50.1109, 8.6821);
        let body = json!({"vehicle_type": "scooter", "form_factor": "scooter_standing", "propulsion_type": "electric",
            "plan_id": "scooter", "lat": lat, "lon": lon, "current_fuel_percent": 0.9});
        self.operate(&format!("PUT /operator/vehicles/{id}"), body).await.is_ok();
        let (vehicle_id, position) = (VehicleId::new(id).unwrap(), Point::new(lat, lon).unwrap());
        self.agents.place(&vehicle_id, position, None, 0).unwrap();
        // A vehicle is free once it has been heard from.
        let telemetry = Telemetry {
            vehicle_id,
            position: Some(position),
            charge: None,
            range_m: None,
            last_reported: self.app.now(),
        };
        self.app.vehicle_said(&FromVehicle::Telemetry(telemetry)).await.unwrap();
    }

    pub(crate) async fn create(&self, user: &str, key: &str, body: &str) -> Reply {
        let authorization = format!("Bearer {}", self.token(user, false));
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        self.raw("POST /bookings", &headers, body.to_owned()).await
    }

    /// A new booking of a vehicle; its id.
    pub(crate) async fn book(&self, user: &str, vehicle: &str) -> String {
        let body = json!({"vehicle_id": vehicle}).to_string();
        let booking = self
            .create(user, &format!("{user}-{vehicle}-{}", self.clock.now().as_micros()), &body)
            .await
            .is_ok();
        booking["booking_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn pay(&self, user: &str, booking: &str, method: &str) -> Reply {
        let call = format!("POST /bookings/{booking}/confirm-payment");
        self.call(user, &call, json!({"payment_method_id": method})).await
    }

    /// A booking that is paid for; its id.
    pub(crate) async fn confirmed(&self, user: &str, vehicle: &str) -> String {
        self.scooter(vehicle).await;
        let booking = self.book(user, vehicle).await;
        let paid = self.pay(user, &booking, "pm_card_visa").await.is_ok();
        assert_eq!(paid["status"], "confirmed", "{paid}");
        booking
    }
}

pub(crate) fn whom() -> Audience {
    Audience { issuer: "https://id.example".into(), audience: "rideplane".into() }
}
