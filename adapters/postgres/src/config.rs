//! What a store is opened with.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

/// Where the servers are, as a URL, and how much may be asked of them.
///
/// `postgres://USER:PASSWORD@HOST[:PORT][,HOST[:PORT]...]/DATABASE[?KEY=VALUE...]`. Of several hosts the one that takes
/// writes is used, and looked for again when it fails. `pool_mode=transaction` says that a pooler such as PgBouncer
/// hands out connections by the transaction; other keys are those of the driver, such as `sslmode`.
///
/// ```
/// use rideplane_postgres::PostgresConfig;
/// let config: PostgresConfig = "postgres://rideplane:secret@db-1,db-2:5433/rideplane".parse()?;
/// assert_eq!(config.to_string(), "postgres://db-1:5432,db-2:5433/rideplane");
/// # Ok::<(), rideplane_postgres::InvalidPostgresUrl>(())
/// ```
#[derive(Clone)]
pub struct PostgresConfig {
    pub(crate) hosts: Vec<PgConnectOptions>,
    /// Whether a pooler hands out connections by the transaction: nothing is kept on a connection then, neither
    /// prepared statements nor settings.
    pub transaction_pooling: bool,
    /// The most connections for everything but commits, at least one.
    pub max_connections: u32,
    /// Connections that commit, at least one: while one waits for the disk, the next gathers.
    pub writers: u32,
    /// The most commits that share a transaction, at least one.
    pub max_batch: usize,
    /// How long a call may wait for a connection before it fails as unavailable.
    pub acquire_timeout: Duration,
    /// How long a statement may take.
    pub statement_timeout: Duration,
    /// How long a relay that is not heard of keeps others from its part of the outbox.
    pub lease: Duration,
}

/// A text that is not a Postgres URL. It does not repeat the text, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a Postgres URL is postgres://USER:PASSWORD@HOST[:PORT][,HOST[:PORT]]/DATABASE: {0}")]
pub struct InvalidPostgresUrl(&'static str);

impl PostgresConfig {
    /// The hosts and the database, for people: without user and password.
    #[must_use]
    pub fn address(&self) -> String {
        let hosts: Vec<String> =
            self.hosts.iter().map(|host| format!("{}:{}", host.get_host(), host.get_port())).collect();
        let database = self.hosts.first().and_then(PgConnectOptions::get_database).unwrap_or_default();
        format!("{}/{database}", hosts.join(","))
    }

    /// The same servers with another database.
    #[must_use]
    pub fn with_database(mut self, database: &str) -> Self {
        self.hosts = self.hosts.into_iter().map(|host| host.database(database)).collect();
        self
    }
}

impl FromStr for PostgresConfig {
    type Err = InvalidPostgresUrl;

    fn from_str(text: &str) -> Result<Self, InvalidPostgresUrl> {
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .ok_or(InvalidPostgresUrl("it begins with postgres://"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        if user.is_empty() || hosts.is_empty() {
            return Err(InvalidPostgresUrl("a user and a host are missing"));
        }
        if database.is_empty() {
            return Err(InvalidPostgresUrl("the database is missing"));
        }
        let (mut transaction_pooling, mut passed_on) = (false, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair {
                "pool_mode=transaction" => transaction_pooling = true,
                "pool_mode=session" => transaction_pooling = false,
                _ if pair.starts_with("pool_mode=") => {
                    return Err(InvalidPostgresUrl("pool_mode is transaction or session"));
                }
                _ => passed_on.push(pair),
            }
        }
        let query = passed_on.join("&");
        let host = |host: &str| {
            format!("postgres://{user}@{host}/{database}?{query}")
                .parse::<PgConnectOptions>()
                .map_err(|_| InvalidPostgresUrl("a host, a port or a parameter can't be read"))
        };
        let hosts = hosts.split(',').map(host).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            hosts,
            transaction_pooling,
            max_connections: 16,
            writers: 2,
            max_batch: 128,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
            lease: Duration::from_secs(10),
        })
    }
}

impl fmt::Display for PostgresConfig {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}", self.address())
    }
}

impl fmt::Debug for PostgresConfig {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig").field("address", &self.address()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_configuration_or_of_its_error_holds_the_password() {
        let config: PostgresConfig = "postgres://u:s3cr3t%40@a,b:6543/d?sslmode=disable".parse().unwrap();
        assert_eq!(config.hosts.len(), 2);
        let texts = [format!("{config:?}"), config.to_string(), config.address()];
        assert!(
            texts.iter().all(|text| !text.contains("s3cr3t") && text.contains("a:5432,b:6543/d")),
            "{texts:?}"
        );
        let broken =
            ["postgres://u:s3cr3t@h:port/d", "postgres://u:s3cr3t@/d", "postgres://u:s3cr3t@h", "s3cr3t"];
        for text in broken {
            let error = text.parse::<PostgresConfig>().unwrap_err();
            assert!(!error.to_string().contains("s3cr3t"), "{error}");
        }
    }

    #[test]
    fn a_pooler_is_named_in_the_url() {
        let parse = |text: &str| text.parse::<PostgresConfig>();
        assert!(parse("postgres://u@h/d?pool_mode=transaction&sslmode=disable").unwrap().transaction_pooling);
        assert!(!parse("postgres://u@h/d?pool_mode=session").unwrap().transaction_pooling);
        assert!(parse("postgres://u@h/d?pool_mode=statement").is_err());
    }
}
