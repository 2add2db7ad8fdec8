//! One client after another, talking to one server.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::Request;
use rideplane_app::audit::audit;
use rideplane_core::time::Span;
use rideplane_ports::{Clock as _, Store as _};
use tower::ServiceExt as _;

use super::promises::Answer;
use super::world::World;

/// So short that all waits of an input stay below the day for which a key is remembered.
const LONGEST_WAIT: i64 = 3_000;
/// Steps of the workers in one wait.
const ROUNDS: usize = 40;

pub(super) struct Session {
    world: World,
    /// What was last answered for `{booking}`, `{intent}` and `{command}`.
    ids: BTreeMap<&'static str, String>,
    /// First final answers, by user, key and body.
    answered: BTreeMap<(String, String, String), Answer>,
}

/// A request as it stands in the input.
#[derive(Default)]
struct Asked {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
    user: Option<String>,
    signed: bool,
}

impl Session {
    pub(super) fn new(world: World) -> Self {
        Self { world, ids: BTreeMap::new(), answered: BTreeMap::new() }
    }

    pub(super) async fn request(&mut self, bytes: &[u8]) {
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        for (name, id) in &self.ids {
            text = text.replace(name, id);
        }
        let asked = Asked::read(&text);
        let mut words = asked.line.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match (method, path) {
            ("WAIT", seconds) => {
                self.wait(seconds.parse::<i64>().unwrap_or(1).clamp(0, LONGEST_WAIT)).await;
            }
            ("PLACE", vehicle @ ("sc-1" | "sc-2")) => self.world.place(vehicle).await,
            _ => self.ask(&asked, method, path).await,
        }
    }

    async fn ask(&mut self, asked: &Asked, method: &str, path: &str) {
        let token = asked.user.as_ref().and_then(|user| self.world.token(user));
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in &asked.headers {
            request = request.header(name.as_str(), value.as_str());
        }
        if let Some(token) = &token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if asked.signed {
            let signature = self.world.webhooks.sign(asked.body.as_bytes(), self.world.clock.now());
            request = request.header("stripe-signature", signature);
        }
        // What is no request of HTTP never reaches the router.
        let Ok(request) = request.body(Body::from(asked.body.clone())) else { return };
        let router = self.world.router.clone();
        let Ok(response) = router.oneshot(request).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = axum::body::to_bytes(response.into_body(), 1 << 22).await;
        let body = body.unwrap_or_else(|error| panic!("an answer without an end: {error}")).to_vec();
        let answer = Answer { status, headers, body };
        let shown = format!("{method} {path} {:?} {}", asked.headers, asked.body);
        answer.check(&shown, token.as_deref());
        self.remember(&answer);
        if method == "POST" && path == "/bookings" {
            self.check_repeat(asked, &answer, &shown);
        }
    }

    fn remember(&mut self, answer: &Answer) {
        let json = answer.json();
        for (name, id) in [
            ("{booking}", &json["booking_id"]),
            ("{intent}", &json["payment"]["payment_intent_id"]),
            ("{command}", &json["command_id"]),
        ] {
            if let Some(id) = id.as_str() {
                self.ids.insert(name, id.to_owned());
            }
        }
    }

    /// A booking that was made is told again byte for byte; a repeat is never another booking.
    fn check_repeat(&mut self, asked: &Asked, answer: &Answer, shown: &str) {
        let keys: Vec<&String> =
            asked.headers.iter().filter(|(name, _)| name == "idempotency-key").map(|(_, key)| key).collect();
        let (Some(user), [key]) = (&asked.user, keys.as_slice()) else { return };
        let id = (user.clone(), (*key).clone(), asked.body.clone());
        if let Some(first) = self.answered.get(&id) {
            if answer.status == 200 {
                assert_eq!(first.body, answer.body, "another answer\nto {shown}");
                assert!(answer.is_replayed(), "not told as a repeat\nto {shown}");
            }
        } else if answer.status == 200 {
            assert!(!answer.is_replayed(), "told as a repeat of nothing\nto {shown}");
            self.answered.insert(id, answer.clone());
        }
    }

    /// Time goes on, deadline by deadline, as the worker would have it.
    async fn wait(&self, seconds: i64) {
        let World { app, clock, store, .. } = &self.world;
        let until = clock.now().plus(Span::from_seconds(seconds));
        for _ in 0..ROUNDS {
            let worked = app.run_due(64, 1).await.unwrap_or_else(|error| panic!("the worker: {error:?}"));
            assert_eq!(worked.failed, 0, "ticks failed");
            let next = store.next_deadline().await.unwrap_or_else(|error| panic!("the deadline: {error}"));
            match next.filter(|next| *next <= until) {
                Some(next) if next > clock.now() => clock.set(next),
                Some(_) => {}
                None => break,
            }
        }
        clock.set(until);
    }

    /// A day goes by, and the books are right.
    pub(super) async fn end(&self) {
        for _ in 0..30 {
            self.wait(LONGEST_WAIT).await;
        }
        let now = self.world.clock.now();
        let report = audit(&*self.world.store, now, Span::from_minutes(60)).await;
        let report = report.unwrap_or_else(|error| panic!("the audit: {error}"));
        assert!(report.violations.is_empty(), "{:?}", report.violations);
    }
}

impl Asked {
    /// Reads what is there; what is missing is empty.
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let line = lines.next().unwrap_or_default().to_owned();
        let mut asked =
            Self { line, body: body.strip_suffix('\n').unwrap_or(body).to_owned(), ..Self::default() };
        for line in lines {
            let Some((name, value)) = line.split_once(": ") else { continue };
            match name {
                "as" => asked.user = Some(value.to_owned()),
                "signed" => asked.signed = true,
                _ => asked.headers.push((name.to_ascii_lowercase(), value.to_owned())),
            }
        }
        asked
    }
}
