//! A Redis server.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use crate::install;
use crate::process::{Process, folder, free_port, unique};

/// A private Redis that writes nothing to disk.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    program: PathBuf,
    port: u16,
    options: Vec<String>,
}

impl Redis {
    /// One on a free port, with options as on the command line: `["--maxmemory", "2mb"]`.
    ///
    /// # Errors
    /// When it can't be installed or started; the message names its log file.
    pub fn start(options: &[&str]) -> Result<Self> {
        Self::start_in(folder().join(unique("redis")), free_port()?, options)
    }

    pub(crate) fn start_in(folder: PathBuf, port: u16, options: &[&str]) -> Result<Self> {
        let program = install::redis()?;
        let process = Process::new("Redis", folder, Signal::TERM)?;
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut redis = Self { process, program, port, options };
        redis.restart()?;
        Ok(redis)
    }

    /// Starts it again, empty, on the same port. Nothing is left to do when it runs: end it first.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill9()?;
        let port = self.port;
        let mut command = Command::new(&self.program);
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command.args(&self.options);
        self.process.start(&mut command, || answers(port))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// `kill -9`: whatever it held is gone, its clients are reset.
    ///
    /// # Errors
    /// When the process can't be killed.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.kill9()
    }

    /// Stops the process (`SIGSTOP`) with its connections open, or lets it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        self.process.freeze(frozen)
    }

    pub(crate) fn detach(self) -> Result<()> {
        self.process.detach()
    }
}

/// Whether a Redis answers on the port.
pub(crate) fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        // One with a password answers too: it asks for it.
        Ok(&answer == b"+PONG" || &answer == b"-NOAU")
    };
    ask().unwrap_or(false)
}
