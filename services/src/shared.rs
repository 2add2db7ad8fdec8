//! The shared servers: on fixed ports, kept running across commands.
//!
//! | Server | Default | Another port by | Told to tests by |
//! |---|---|---|---|
//! | Postgres | 127.0.0.1:55432 | `RIDEPLANE_SERVICES_POSTGRES_PORT` | `RIDEPLANE_TEST_POSTGRES` |
//! | PgBouncer | 127.0.0.1:56432 | `RIDEPLANE_SERVICES_PGBOUNCER_PORT` | `RIDEPLANE_TEST_PGBOUNCER` |
//! | Redis | 127.0.0.1:56379 | `RIDEPLANE_SERVICES_REDIS_PORT` | `RIDEPLANE_TEST_REDIS` |
//! | Toxiproxy | 127.0.0.1:58474 | `RIDEPLANE_SERVICES_TOXIPROXY_PORT` | `RIDEPLANE_TEST_TOXIPROXY` |
//!
//! What tests are told may name any server, such as one in a container; unset, it is the one on its default port.

use std::fs::{self, File};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use crate::postgres::{DATABASE, PASSWORD, USER, accepts};
use crate::process::{detached, end_detached, folder, listens};
use crate::{PgBouncer, Postgres, PostgresOptions, Redis, Toxiproxy, install, redis, say, toxiproxy};

/// Connections of the shared PgBouncer to each database: fewer than a test's clients, so that they share.
const POOL: u32 = 8;

/// A shared server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Postgres with PostGIS.
    Postgres,
    /// PgBouncer in transaction mode, before [`Self::Postgres`].
    PgBouncer,
    /// Redis.
    Redis,
    /// Toxiproxy.
    Toxiproxy,
}

impl Service {
    /// All, in the order in which they start.
    pub const ALL: [Self; 4] = [Self::Postgres, Self::PgBouncer, Self::Redis, Self::Toxiproxy];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::PgBouncer => "pgbouncer",
            Self::Redis => "redis",
            Self::Toxiproxy => "toxiproxy",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Postgres => 55_432,
            Self::PgBouncer => 56_432,
            Self::Redis => 56_379,
            Self::Toxiproxy => 58_474,
        }
    }

    /// The variable of another port.
    #[must_use]
    pub fn port_variable(self) -> String {
        format!("RIDEPLANE_SERVICES_{}_PORT", self.name().to_uppercase())
    }

    /// The variable that tells tests where it is.
    #[must_use]
    pub fn url_variable(self) -> String {
        format!("RIDEPLANE_TEST_{}", self.name().to_uppercase())
    }

    fn port(self) -> Result<u16> {
        let variable = self.port_variable();
        match std::env::var(&variable) {
            Ok(text) => text.parse().with_context(|| format!("{variable}={text} is not a port: 1 to 65535")),
            Err(_) => Ok(self.default_port()),
        }
    }

    /// Where this machine's shared server is, running or not.
    ///
    /// # Errors
    /// When the variable of its port does not name one.
    pub fn url(self) -> Result<String> {
        let port = self.port()?;
        Ok(match self {
            Self::Postgres | Self::PgBouncer => {
                format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{DATABASE}")
            }
            Self::Redis => format!("redis://127.0.0.1:{port}"),
            Self::Toxiproxy => format!("http://127.0.0.1:{port}"),
        })
    }

    fn folder(self) -> PathBuf {
        folder().join("shared").join(self.name())
    }

    const fn stop(self) -> Signal {
        match self {
            Self::Postgres => Signal::QUIT,
            Self::PgBouncer | Self::Redis | Self::Toxiproxy => Signal::TERM,
        }
    }

    /// Whether a server of this kind answers on the port, whoever started it.
    fn answers(self) -> Result<bool> {
        let port = self.port()?;
        Ok(match self {
            Self::Postgres | Self::PgBouncer => listens(port) && accepts(&install::postgres()?, port),
            Self::Redis => redis::answers(port),
            Self::Toxiproxy => toxiproxy::answers(port),
        })
    }

    fn start(self) -> Result<()> {
        let (folder, port) = (self.folder(), self.port()?);
        match self {
            Self::Postgres => {
                let options = PostgresOptions { port: Some(port), ..PostgresOptions::default() };
                Postgres::start_in(folder, &options)?.detach()
            }
            Self::PgBouncer => PgBouncer::start_in(folder, port, Self::Postgres.port()?, POOL)?.detach(),
            Self::Redis => Redis::start_in(folder, port, &[])?.detach(),
            Self::Toxiproxy => Toxiproxy::start_in(folder, port)?.detach(),
        }
    }
}

/// Where tests find a server: its variable, else its default. It is not started.
///
/// # Errors
/// When it does not answer: one sentence that says how to start it.
pub fn url(service: Service) -> Result<String> {
    let url = std::env::var(service.url_variable()).map_or_else(|_| service.url(), Ok)?;
    let address = address(&url)?;
    if std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_secs(5)).is_err() {
        bail!("no {} answers on {address}; start it with `cargo xtask services up`", service.name());
    }
    Ok(url)
}

/// The address within a URL; a password stays out of the message.
fn address(url: &str) -> Result<SocketAddr> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let found = host.to_socket_addrs().with_context(|| format!("{host} is not HOST:PORT"))?.next();
    found.with_context(|| format!("{host} has no address"))
}

/// The servers that answer now, whoever started them.
///
/// # Errors
/// When a variable of a port does not name one.
pub fn running() -> Result<Vec<Service>> {
    let mut running = Vec::new();
    for service in Service::ALL {
        // Asking Postgres itself would install it; who does not listen does not run.
        if listens(service.port()?) {
            running.push(service);
        }
    }
    Ok(running)
}

/// Starts what does not run, installing what is missing.
///
/// # Errors
/// When a port is taken by something else, or a server can't be installed or started.
pub fn up() -> Result<()> {
    let _turn = turn()?;
    for service in Service::ALL {
        let (name, port) = (service.name(), service.port()?);
        if listens(port) {
            if !service.answers()? {
                let variable = service.port_variable();
                bail!(
                    "port {port} is taken and does not answer as {name}; end what listens there, or set {variable}"
                );
            }
            let whose =
                if detached(&service.folder()).is_some() { "" } else { ", started by something else" };
            say(&format!("{name:<10} 127.0.0.1:{port} is up already{whose}"));
            continue;
        }
        say(&format!("{name:<10} 127.0.0.1:{port} starts"));
        // What a crash left behind is not worth recovering.
        remove(service)?;
        service.start()?;
    }
    Ok(())
}

/// Ends the servers that [`up`] started, but for those in `except`, and removes their data. Others' are left alone.
///
/// # Errors
/// When another command is at work and its lock can't be had, or files can't be removed.
pub fn down(except: &[Service]) -> Result<()> {
    let _turn = turn()?;
    for service in Service::ALL.into_iter().rev().filter(|service| !except.contains(service)) {
        let ended = end_detached(&service.folder(), service.stop());
        remove(service)?;
        let name = service.name();
        if ended {
            say(&format!("{name:<10} is down"));
        } else if listens(service.port()?) {
            say(&format!("{name:<10} was started by something else and goes on"));
        }
    }
    Ok(())
}

/// One line for each server: where it is, whether it answers, its log.
///
/// # Errors
/// When a variable of a port does not name one.
pub fn status() -> Result<Vec<String>> {
    let line = |service: Service| -> Result<String> {
        let (name, port) = (service.name(), service.port()?);
        let what = match (listens(port), detached(&service.folder())) {
            (false, _) => "down".to_owned(),
            (true, None) => "up, started by something else".to_owned(),
            (true, Some(_)) => format!("up, log {}", service.folder().join("server.log").display()),
        };
        Ok(format!("{name:<10} 127.0.0.1:{port:<6} {what}"))
    };
    Service::ALL.into_iter().map(line).collect()
}

/// The lines that tell a shell's programs where the servers are.
///
/// # Errors
/// When a variable of a port does not name one.
pub fn env() -> Result<Vec<String>> {
    let line = |service: Service| Ok(format!("export {}={}", service.url_variable(), service.url()?));
    Service::ALL.into_iter().map(line).collect()
}

fn remove(service: Service) -> Result<()> {
    let folder = service.folder();
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// One command at a time.
fn turn() -> Result<File> {
    let path = folder().join("lock");
    fs::create_dir_all(folder()).with_context(|| format!("cannot make {}", folder().display()))?;
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_from_a_url_and_its_password_is_not_told() {
        for url in
            ["postgres://a:b@127.0.0.1:55432/c", "redis://127.0.0.1:55432", "http://127.0.0.1:55432/x?y"]
        {
            assert_eq!(address(url).unwrap().to_string(), "127.0.0.1:55432");
        }
        let error = address("postgres://a:secret@nowhere/c").unwrap_err();
        assert!(!format!("{error:#}").contains("secret"), "{error:#}");
    }
}
