//! Who may call what. Denied unless the endpoint's [`Access`] says otherwise.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use rideplane_core::ids::UserId;

use crate::auth::Principal;
use crate::problem::{self, Failure};
use crate::state::HttpState;

/// Who may call an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Whoever has a valid token.
    Rider,
    /// Whoever has a valid token with the role `operator`.
    Operator,
}

/// What the guard of one endpoint knows.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) state: HttpState,
    pub(crate) access: Access,
    /// Whether the endpoint has query parameters; otherwise any is refused.
    pub(crate) takes_query: bool,
}

/// The caller's id. Only a guarded endpoint has one: without a guard the request ends here.
pub(crate) struct Caller(pub(crate) UserId);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let principal = parts.extensions.get::<Principal>().ok_or_else(problem::internal)?;
        Ok(Self(principal.user_id.clone()))
    }
}

/// Lets a request through to its endpoint, or not.
pub(crate) async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    match judge(&guard, &mut request) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

fn judge(guard: &Guard, request: &mut Request) -> Result<(), Failure> {
    let needs_operator = match guard.access {
        Access::Public => return Ok(()),
        Access::Rider => false,
        Access::Operator => true,
    };
    let token = bearer(request.headers())?;
    let verified = guard.state.verifier.verify(token, guard.state.app.now());
    let principal = verified.map_err(|error| problem::unauthenticated(error.to_string()))?;
    if needs_operator && !principal.roles.operator {
        return Err(problem::forbidden());
    }
    if !guard.takes_query && request.uri().query().is_some_and(|query| !query.is_empty()) {
        return Err(problem::invalid("this call takes no query parameters"));
    }
    request.extensions_mut().insert(principal);
    Ok(())
}

/// The token of `Authorization: Bearer` (RFC 6750 2.1); the scheme's case does not matter (RFC 9110 11.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Failure> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(problem::unauthenticated("send one header Authorization: Bearer with a token"));
    };
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
    });
    match token {
        Some(token) if !token.is_empty() => Ok(token),
        Some(_) | None => Err(problem::unauthenticated("the header Authorization is not a Bearer token")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_scheme_is_bearer_in_any_case_and_nothing_else() {
        let token = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            bearer(&headers).map(str::to_owned).ok()
        };
        for good in ["Bearer abc", "bearer abc", "BEARER  abc"] {
            assert_eq!(token(good).as_deref(), Some("abc"), "{good}");
        }
        for bad in ["", "abc", "Bearer", "Bearer ", "Basic abc", "Bearerabc", "Token abc"] {
            assert_eq!(token(bad), None, "{bad}");
        }
        let mut twice = HeaderMap::new();
        twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        assert_eq!(bearer(&twice).unwrap_err().problem().status, 401);
        assert_eq!(bearer(&HeaderMap::new()).unwrap_err().problem().status, 401);
    }
}
