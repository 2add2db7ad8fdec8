//! Ids in paths.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::problem::{self, Failure};

/// The id in the path. A text that can't be an id names nothing: 404, as for every other thing that is not there.
pub(crate) struct PathId<T>(pub(crate) T);

/// The id in the path of something that the call may make: one that can't be an id is the caller's mistake, 422.
pub(crate) struct NewPathId<T>(pub(crate) T);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for PathId<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        text(parts, state).await?.parse().map(Self).map_err(|_| problem::not_found())
    }
}

impl<S: Send + Sync, T: FromStr<Err: ToString>> FromRequestParts<S> for NewPathId<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        text(parts, state)
            .await?
            .parse()
            .map(Self)
            .map_err(|error: T::Err| problem::invalid(error.to_string()))
    }
}

async fn text<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Failure> {
    let path = Path::<String>::from_request_parts(parts, state).await;
    path.map(|Path(text)| text).map_err(|_| problem::not_found())
}
