//! The router over the use cases, over memory, with two vehicles that answer.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
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
use rideplane_ports::{Clock as _, FromVehicle, PortError, Telemetry, VehicleInbox as _};

const SECRET: [u8; 32] = [5; 32];
const PLANS: &str = r#"[{"plan_id":"scooter","currency":"EUR","price":1.0,"is_taxable":false,
    "per_min_pricing":[{"start":0,"rate":0.25,"interval":1}]}]"#;

struct Customer(Arc<TestGateway>);

#[async_trait]
impl TestGatewayControl for Customer {
    async fn authenticate(&self, intent: &PaymentIntentId, success: bool) -> Result<(), PortError> {
        self.0.authenticate(intent, success).map(drop)
    }
}

pub(super) struct World {
    pub(super) app: App,
    pub(super) clock: Arc<ManualClock>,
    pub(super) router: Router,
    pub(super) store: Arc<MemoryStore>,
    pub(super) webhooks: WebhookSecret,
    agents: Arc<Agents>,
}

impl World {
    pub(super) async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_780_000_000)));
        let key_id = KeyId::new("fuzz").expect("a key id");
        let signer = LocalSigner::new(key_id.clone(), &[7; 32]);
        let trusted = TrustedKeys::new(key_id, signer.public_key()).expect("a key");
        let agents = Arc::new(Agents::new([8; 32], trusted, clock.clone()));
        let gateway = Arc::new(TestGateway::in_memory(clock.clone(), [9; 32]));
        let store = Arc::new(MemoryStore::new());
        let ports = Ports {
            store: store.clone(),
            outbox: store.clone(),
            inbox: store.clone(),
            availability: Arc::new(IndexAvailability::default()),
            gateway: gateway.clone(),
            link: agents.clone(),
            notifier: Arc::new(RecordingNotifier::new()),
            signer: Arc::new(signer),
            demand: Arc::new(NoSurge),
            clock: clock.clone(),
            ids: Arc::new(SeededIds::new(1)),
        };
        let plans: PlanCatalogue = serde_json::from_str(PLANS).expect("plans");
        let app = App::new(ports, Settings { plans, ..Settings::default() });
        let key = LocalKey::from_bytes(SECRET).trusted();
        let verifier = Verifier::new(whom(), Span::from_seconds(5), vec![key]);
        let webhooks = WebhookSecret::new(b"whsec_fuzz".as_slice());
        let settings = HttpSettings { webhook_secret: Some(webhooks.clone()), ..HttpSettings::default() };
        let state = HttpState::new(app.clone(), Arc::new(verifier), settings)
            .with_test_gateway(Arc::new(Customer(gateway)));
        let world = Self { app, clock, router: router(state), store, webhooks, agents };
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

    pub(super) fn token(&self, user: &str) -> Option<String> {
        let roles = Roles { operator: user == "operator" };
        let issuer = Issuer::new(&LocalKey::from_bytes(SECRET), whom());
        issuer.issue(&UserId::new(user).ok()?, roles, self.clock.now(), Span::from_minutes(60)).ok()
    }

    /// A vehicle that is there and was heard from; free, if it is registered.
    pub(super) async fn place(&self, id: &str) {
        let vehicle_id = VehicleId::new(id).expect("an id");
        let position = Point::new(50.1109, 8.6821).expect("a place");
        self.agents.place(&vehicle_id, position, None, 0).expect("an agent");
        let last_reported = self.app.now();
        let telemetry =
            Telemetry { vehicle_id, position: Some(position), charge: None, range_m: None, last_reported };
        // Of a vehicle that is not registered nobody wants to hear.
        drop(self.app.vehicle_said(&FromVehicle::Telemetry(telemetry)).await);
    }
}

fn whom() -> Audience {
    Audience { issuer: "https://id.example".into(), audience: "rideplane".into() }
}
