//! A PgBouncer in transaction mode.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use crate::install;
use crate::postgres::{DATABASE, PASSWORD, USER, accepts};
use crate::process::{Process, folder, free_port, unique};

/// A private PgBouncer: transaction mode, every database of one cluster.
#[derive(Debug)]
pub struct PgBouncer {
    process: Process,
    port: u16,
}

impl PgBouncer {
    /// One on a free port before the cluster on `postgres_port`, with that many connections a database.
    ///
    /// # Errors
    /// When it can't be installed or started; the message names its log file.
    pub fn start(postgres_port: u16, pool_size: u32) -> Result<Self> {
        Self::start_in(folder().join(unique("pgbouncer")), free_port()?, postgres_port, pool_size)
    }

    pub(crate) fn start_in(folder: PathBuf, port: u16, postgres_port: u16, pool_size: u32) -> Result<Self> {
        let program = install::pgbouncer()?;
        let mut process = Process::new("PgBouncer", folder, Signal::TERM)?;
        let config = format!(
            "[databases]\n\
             * = host=127.0.0.1 port={postgres_port}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = scram-sha-256\n\
             auth_file = users.txt\n\
             pool_mode = transaction\n\
             max_client_conn = 2000\n\
             default_pool_size = {pool_size}\n\
             ignore_startup_parameters = extra_float_digits\n"
        );
        for (name, text) in [("pgbouncer.ini", config), ("users.txt", format!("\"{USER}\" \"{PASSWORD}\"\n"))]
        {
            let path = process.folder().join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let bin = install::postgres()?;
        let mut command = Command::new(program);
        command.arg("pgbouncer.ini");
        process.start(&mut command, || accepts(&bin, port))?;
        Ok(Self { process, port })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// `postgres://rideplane:rideplane@127.0.0.1:PORT/rideplane`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{USER}:{PASSWORD}@{}/{DATABASE}", self.address())
    }

    pub(crate) fn detach(self) -> Result<()> {
        self.process.detach()
    }
}
