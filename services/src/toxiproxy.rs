//! A Toxiproxy server, which delays, cuts and swallows TCP connections, and a client of its API.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::http::request;
use crate::install;
use crate::process::{Process, folder, free_port, unique};

/// A private Toxiproxy.
#[derive(Debug)]
pub struct Toxiproxy {
    process: Process,
    port: u16,
}

/// A proxy before one server. It is removed when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    api: SocketAddr,
    name: String,
    address: SocketAddr,
}

impl Toxiproxy {
    /// One whose API is on a free port.
    ///
    /// # Errors
    /// When it can't be installed or started; the message names its log file.
    pub fn start() -> Result<Self> {
        Self::start_in(folder().join(unique("toxiproxy")), free_port()?)
    }

    pub(crate) fn start_in(folder: PathBuf, port: u16) -> Result<Self> {
        let mut command = Command::new(install::toxiproxy()?);
        command.args(["-host", "127.0.0.1", "-port", &port.to_string()]);
        let mut process = Process::new("Toxiproxy", folder, Signal::TERM)?;
        process.start(&mut command, || answers(port))?;
        Ok(Self { process, port })
    }

    /// Where the API listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A proxy on a free port that leads to `upstream`.
    ///
    /// # Errors
    /// When the API refuses it.
    pub fn proxy(&self, name: &str, upstream: SocketAddr) -> Result<Proxy> {
        Proxy::create(self.address(), name, upstream)
    }

    pub(crate) fn detach(self) -> Result<()> {
        self.process.detach()
    }
}

impl Proxy {
    /// A proxy of the Toxiproxy whose API is at `api`, on a free port, that leads to `upstream`. The name is made
    /// unique.
    ///
    /// # Errors
    /// When the API does not answer or refuses it.
    pub fn create(api: SocketAddr, name: &str, upstream: SocketAddr) -> Result<Self> {
        let name = unique(name);
        let asked = json!({ "name": name, "listen": "127.0.0.1:0", "upstream": upstream.to_string(), "enabled": true });
        let made = request(api, "POST", "/proxies", Some(&asked))?;
        let address = made.get("listen").and_then(Value::as_str).unwrap_or_default();
        let address = address.parse().with_context(|| format!("Toxiproxy made a proxy on {address:?}"))?;
        Ok(Self { api, name, address })
    }

    /// Where to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a toxic to what the server answers, named by its kind: `latency` (`{"latency": ms, "jitter": ms}`),
    /// `reset_peer` (`{"timeout": ms}`), `timeout` (`{"timeout": 0}`: half open, nothing comes and nothing ends),
    /// `bandwidth`, `slow_close`, `limit_data`.
    ///
    /// # Errors
    /// When the API refuses it.
    pub fn add(&self, kind: &str, attributes: &Value) -> Result<()> {
        let toxic = json!({ "name": kind, "type": kind, "stream": "downstream", "attributes": attributes });
        request(self.api, "POST", &format!("/proxies/{}/toxics", self.name), Some(&toxic)).map(drop)
    }

    /// Takes a toxic away again.
    ///
    /// # Errors
    /// When there is none of this kind.
    pub fn remove(&self, kind: &str) -> Result<()> {
        request(self.api, "DELETE", &format!("/proxies/{}/toxics/{kind}", self.name), None).map(drop)
    }

    /// Refuses new connections and ends all there are, or takes them again.
    ///
    /// # Errors
    /// When the API refuses it.
    pub fn set_up(&self, up: bool) -> Result<()> {
        let asked = json!({ "enabled": up });
        request(self.api, "POST", &format!("/proxies/{}", self.name), Some(&asked)).map(drop)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = request(self.api, "DELETE", &format!("/proxies/{}", self.name), None);
    }
}

/// Whether a Toxiproxy's API answers on the port.
pub(crate) fn answers(port: u16) -> bool {
    request((Ipv4Addr::LOCALHOST, port).into(), "GET", "/version", None).is_ok()
}
