//! What every answer keeps, whatever was asked.

use axum::http::HeaderMap;
use serde_json::Value;

/// The contract's statuses; a 500 is a defect.
const STATUSES: [u16; 14] = [200, 202, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 503];

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(super) fn is_replayed(&self) -> bool {
        self.headers.contains_key("idempotent-replayed")
    }

    /// Holds the answer against the contract; `asked` is shown when it breaks it.
    pub(super) fn check(&self, asked: &str, token: Option<&str>) {
        let text = String::from_utf8_lossy(&self.body);
        assert!(STATUSES.contains(&self.status), "{} {text}\nto {asked}", self.status);
        assert!(!self.header("x-request-id").is_empty(), "no request id\nto {asked}");
        if let Some(token) = token {
            assert!(!text.contains(token), "the token came back\nto {asked}");
        }
        // An answer to HEAD has the headers of one to GET, and no body.
        if asked.starts_with("HEAD ") {
            assert!(self.body.is_empty(), "{text}\nto {asked}");
        } else if self.status < 400 {
            let json = self.header("content-type").starts_with("application/json");
            assert!(!json || serde_json::from_slice::<Value>(&self.body).is_ok(), "{text}\nto {asked}");
        } else {
            self.check_problem(asked, &text);
        }
    }

    /// RFC 9457, and what the contract adds.
    fn check_problem(&self, asked: &str, text: &str) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{text}\nto {asked}");
        let problem = self.json();
        let words = |name: &str| problem[name].as_str().unwrap_or_default();
        assert!(words("type").starts_with("https://rideplane.dev/problems/"), "{text}\nto {asked}");
        assert!(!words("title").is_empty() && !words("detail").is_empty(), "{text}\nto {asked}");
        assert_eq!(problem["status"], self.status, "{text}\nto {asked}");
        if !self.is_replayed() {
            assert_eq!(words("request_id"), self.header("x-request-id"), "{text}\nto {asked}");
        }
        if self.status == 401 {
            assert_eq!(self.header("www-authenticate"), "Bearer", "{asked}");
        }
        if self.status == 429 || self.status == 503 {
            assert!(self.header("retry-after").parse::<u32>().is_ok_and(|after| after > 0), "{asked}");
        }
    }
}
