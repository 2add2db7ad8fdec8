//! What a failure of the server or of the way to it means.

use std::time::Duration;

use rideplane_ports::{Kind, PortError};

/// Why a statement did not end well, told apart by what is known of its effect.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No connection was to be had: nothing was done.
    NoConnection(sqlx::Error),
    /// The server answered with an error and rolled back: nothing was done.
    Refused(sqlx::Error),
    /// The answer was lost: it may have been done.
    Lost(sqlx::Error),
    /// No answer came in this time: it may have been done.
    Silent(Duration),
}

/// Classes and codes of SQLSTATE that mean something of their own here.
mod state {
    pub(super) const SERIALIZATION_FAILURE: &str = "40001";
    pub(super) const DEADLOCK_DETECTED: &str = "40P01";
    pub(super) const READ_ONLY: &str = "25006";
    pub(super) const DISK_FULL: &str = "53100";
    pub(super) const QUERY_CANCELED: &str = "57014";
    /// The server goes down while it answers; the transaction may have been durable already.
    pub(super) const SHUTDOWN: [&str; 4] = ["57P01", "57P02", "57P03", "57P04"];
    /// The class of a connection's exceptions: a pooler lost its server, maybe after the server had committed.
    pub(super) const CONNECTION: &str = "08";
    pub(super) const STATEMENT_NAMES: [&str; 2] = ["26000", "42P05"];
}

/// The SQLSTATE, when it is the server that failed.
pub(crate) fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(Into::into)
}

impl Failure {
    /// What an error of a statement that was sent means.
    pub(crate) fn of_statement(error: sqlx::Error) -> Self {
        match sqlstate(&error) {
            Some(code)
                if !state::SHUTDOWN.contains(&code.as_str()) && !code.starts_with(state::CONNECTION) =>
            {
                Self::Refused(error)
            }
            Some(_) | None => Self::Lost(error),
        }
    }

    /// The same, within a transaction that has yet to be committed: the server rolls back what it can't answer for.
    pub(crate) fn before_commit(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(_) => Self::Refused(error),
            None => Self::NoConnection(error),
        }
    }

    /// Whether the connection is of no use any more.
    pub(crate) fn is_broken(&self) -> bool {
        match self {
            Self::NoConnection(_) | Self::Lost(_) | Self::Silent(_) => true,
            Self::Refused(error) => sqlstate(error)
                .is_some_and(|code| code == state::READ_ONLY || state::SHUTDOWN.contains(&code.as_str())),
        }
    }

    /// Whether another attempt may end otherwise: somebody else's transaction was in the way.
    pub(crate) fn is_contention(&self) -> bool {
        match self {
            Self::Refused(error) => sqlstate(error).is_some_and(|code| {
                [state::SERIALIZATION_FAILURE, state::DEADLOCK_DETECTED].contains(&code.as_str())
            }),
            Self::NoConnection(_) | Self::Lost(_) | Self::Silent(_) => false,
        }
    }

    /// Whether one row of many is in the way: class 22, data exception, 23, integrity constraint, or a trigger's.
    pub(crate) fn is_of_a_row(&self) -> bool {
        match self {
            Self::Refused(error) => sqlstate(error)
                .is_some_and(|code| ["22", "23", "P0"].iter().any(|class| code.starts_with(class))),
            Self::NoConnection(_) | Self::Lost(_) | Self::Silent(_) => false,
        }
    }

    /// As the error of a write.
    pub(crate) fn of_write(&self, operation: &'static str) -> PortError {
        match self {
            Self::NoConnection(_) | Self::Refused(_) => self.nothing_was_done(operation),
            Self::Lost(error) => PortError::new(
                Kind::OutcomeUnknown,
                operation,
                format!("the write may or may not have happened, the connection was lost: {error}"),
            ),
            Self::Silent(time) => PortError::new(
                Kind::OutcomeUnknown,
                operation,
                format!("the write may or may not have happened, no answer came within {time:?}"),
            ),
        }
    }

    /// As the error of a read, or of a write that changes nothing when it is repeated.
    pub(crate) fn nothing_was_done(&self, operation: &'static str) -> PortError {
        match self {
            Self::NoConnection(error) => PortError::new(Kind::Unavailable, operation, no_connection(error)),
            Self::Refused(error) => refused(operation, error),
            Self::Lost(error) => {
                PortError::new(Kind::Unavailable, operation, format!("the connection was lost: {error}"))
            }
            Self::Silent(time) => PortError::new(
                Kind::Unavailable,
                operation,
                format!("the database did not answer within {time:?}"),
            ),
        }
    }
}

fn no_connection(error: &sqlx::Error) -> String {
    if matches!(error, sqlx::Error::PoolTimedOut) {
        return "nothing was done: no connection to the database became free in time".to_owned();
    }
    format!("nothing was done, the database can't be reached: {error}")
}

fn refused(operation: &'static str, error: &sqlx::Error) -> PortError {
    let code = sqlstate(error).unwrap_or_default();
    let (kind, what) = match code.as_str() {
        state::DISK_FULL => {
            (Kind::Unavailable, "nothing was written, there is no room for the database: free disk space")
        }
        state::QUERY_CANCELED => (Kind::Unavailable, "nothing was done, the statement took too long"),
        state::READ_ONLY => {
            (Kind::Unavailable, "nothing was written, the server only reads: is it a standby?")
        }
        code if state::STATEMENT_NAMES.contains(&code) => (
            Kind::Unavailable,
            "nothing was done, a pooler mixes up prepared statements: add pool_mode=transaction to the URL",
        ),
        code if code.starts_with("22") || code.starts_with("23") => {
            (Kind::Corrupt, "nothing was written, a row is in the way that can't be there")
        }
        _ => (Kind::Unavailable, "nothing was done, the database refused"),
    };
    // Not the whole error: its detail may repeat the values of a row.
    let message =
        error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    PortError::new(kind, operation, format!("{what} ({code} {message})"))
}
