//! One error for every port, told apart by meaning.

use std::error::Error;
use std::fmt;

use rideplane_core::time::Span;

/// What an error means for the caller, whatever the technology behind it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// There is no such thing.
    NotFound,
    /// Somebody else was first.
    Conflict,
    /// Nothing was done: the other side could not be reached or was not able.
    Unavailable,
    /// Nothing was done: too much was asked in a short time.
    RateLimited,
    /// It may or may not have been done. Only a read tells; it is never a failure.
    OutcomeUnknown,
    /// Nothing was done: the other side will not do it, however often it is asked.
    Rejected,
    /// What was read can't be what was written.
    Corrupt,
}

/// What a retry may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It ends the same way.
    Never,
    /// The same request, under the same key, may be sent again.
    Safe,
    /// The same, but not before this much time.
    After(Span),
}

/// An error of a port. Its text names what was attempted and why it failed; it never holds a token, card data or an
/// e-mail address.
#[derive(Debug)]
pub struct PortError {
    kind: Kind,
    operation: &'static str,
    retry: Retry,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// A text that is none of the names of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is none of the names there are")]
pub struct UnknownName {
    text: String,
}

impl UnknownName {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.chars().take(64).collect() }
    }
}

impl PortError {
    /// An error of `operation`. [`Kind::Unavailable`] and [`Kind::RateLimited`] may be retried, the others not, unless
    /// [`with_retry`](Self::with_retry) says otherwise.
    #[must_use]
    pub fn new(kind: Kind, operation: &'static str, message: impl Into<String>) -> Self {
        let retry = match kind {
            Kind::Unavailable | Kind::RateLimited => Retry::Safe,
            Kind::NotFound | Kind::Conflict | Kind::OutcomeUnknown | Kind::Rejected | Kind::Corrupt => {
                Retry::Never
            }
        };
        Self { kind, operation, retry, message: message.into(), source: None }
    }

    /// Says what a retry may do.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Names the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What it means.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What was attempted, such as `store.commit`.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        self.operation
    }

    /// What a retry may do.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        self.retry
    }

    /// Whether the other side is in trouble, rather than the request: what a breaker counts.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        match self.kind {
            Kind::Unavailable | Kind::OutcomeUnknown => true,
            Kind::NotFound | Kind::Conflict | Kind::RateLimited | Kind::Rejected | Kind::Corrupt => false,
        }
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.message)
    }
}

impl Error for PortError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
