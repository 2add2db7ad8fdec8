//! The URL of a database server, which may hold a password.

use core::fmt;

/// `postgres://USER:PASSWORD@HOST/DATABASE`. Shown without user, password and parameters, however it is shown.
///
/// ```
/// use rideplane::config::DatabaseUrl;
/// let url = DatabaseUrl::new("postgres://rideplane:secret@db-1,db-2/rideplane?sslmode=require");
/// assert_eq!(url.to_string(), "postgres://db-1,db-2/rideplane");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// Takes the text as it is. It is read when the database is opened, so that no parser repeats it in an error.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether a text begins as a Postgres URL does.
    #[must_use]
    pub fn is_postgres(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// Whether a text begins as a Redis URL does.
    #[must_use]
    pub fn is_redis(text: &str) -> bool {
        text.starts_with("redis://")
    }

    /// The whole text, for whoever connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let (_, address) = rest.rsplit_once('@').unwrap_or(("", rest));
        let address = address.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{address}")
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}
