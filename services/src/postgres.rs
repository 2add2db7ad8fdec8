//! A Postgres cluster with PostGIS, and its synchronous standby.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use crate::install;
use crate::process::{Process, drop_root, folder, free_port, output, unique};

/// The cluster's superuser.
pub const USER: &str = "rideplane";
/// Its password; the server listens on loopback alone.
pub const PASSWORD: &str = "rideplane";
/// The database that is there from the start.
pub const DATABASE: &str = "rideplane";

/// How long a standby may take to stream, or to be promoted.
const STANDBY: Duration = Duration::from_secs(60);

/// How a cluster is made.
#[derive(Clone, Debug, Default)]
pub struct PostgresOptions {
    /// Its port; a free one when absent.
    pub port: Option<u16>,
    /// Whether a commit waits for the disk. Off, a crash of the machine (not of the server) may lose the cluster.
    pub fsync: bool,
    /// Further settings, as in `postgresql.conf`: `("max_connections", "20")`.
    pub settings: Vec<(String, String)>,
}

/// A private cluster with the role and database `rideplane`; the extension `postgis` can be created in it.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    bin: PathBuf,
    port: u16,
}

impl Postgres {
    /// Makes a cluster and starts it.
    ///
    /// # Errors
    /// When it can't be installed, made or started; the message names its log file.
    pub fn start(options: &PostgresOptions) -> Result<Self> {
        Self::start_in(folder().join(unique("postgres")), options)
    }

    pub(crate) fn start_in(folder: PathBuf, options: &PostgresOptions) -> Result<Self> {
        let bin = install::postgres()?;
        let port = options.port.map_or_else(free_port, Ok)?;
        // SIGQUIT: no checkpoint, the files are removed anyway; a shared server recovers at its next start.
        let process = Process::new("Postgres", folder, Signal::QUIT)?;
        let mut cluster = Self { process, bin, port };
        if !cluster.data().join("PG_VERSION").exists() {
            cluster.init()?;
        }
        cluster.configure(options)?;
        cluster.restart()?;
        if !cluster.has(&format!("SELECT FROM pg_database WHERE datname = '{DATABASE}'"))? {
            cluster.psql("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
        }
        Ok(cluster)
    }

    fn init(&self) -> Result<()> {
        let password = self.process.folder().join("password");
        fs::write(&password, PASSWORD).with_context(|| format!("cannot write {}", password.display()))?;
        let mut command = self.tool("initdb");
        command.arg("--pgdata").arg(self.data()).arg("--pwfile").arg(&password);
        command.args(["--username", USER, "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"]);
        command.args(["--auth-host", "scram-sha-256", "--auth-local", "scram-sha-256"]);
        output(&mut command).context("the Postgres cluster cannot be made")?;
        let _ = fs::remove_file(password);
        Ok(())
    }

    /// Writes what differs from the defaults into a file of its own; the last setting of a name holds.
    fn configure(&self, options: &PostgresOptions) -> Result<()> {
        let mut text = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nport = {}\nmax_connections = 200\n\
             wal_level = replica\nmax_wal_senders = 10\nhot_standby = on\n",
            self.port
        );
        if !options.fsync {
            text.push_str("fsync = off\nfull_page_writes = off\n");
        }
        for (name, value) in &options.settings {
            text.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        }
        let path = self.data().join("rideplane.conf");
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        let main = self.data().join("postgresql.conf");
        let include = "include = 'rideplane.conf'\n";
        if !fs::read_to_string(&main).unwrap_or_default().contains(include) {
            let file = fs::File::options().append(true).open(&main);
            let written = file.and_then(|mut file| file.write_all(include.as_bytes()));
            written.with_context(|| format!("cannot write {}", main.display()))?;
        }
        Ok(())
    }

    /// Starts it again on its data and port. One that runs is killed first.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn restart(&mut self) -> Result<()> {
        self.kill9()?;
        let mut command = self.tool("postgres");
        command.arg("-D").arg(self.data());
        let (bin, port) = (self.bin.clone(), self.port);
        self.process.start(&mut command, || accepts(&bin, port))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `postgres://rideplane:rideplane@127.0.0.1:PORT/rideplane`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{USER}:{PASSWORD}@{}/{DATABASE}", self.address())
    }

    /// Runs SQL in a database and returns what it prints, columns parted by `|`.
    ///
    /// # Errors
    /// With what the server said.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let mut command = Command::new("psql");
        command.env("PGPASSWORD", PASSWORD).env("PGCONNECT_TIMEOUT", "10");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", USER]);
        command.args(["-p", &self.port.to_string(), "-d", database, "-c", sql]);
        output(&mut command)
    }

    /// Whether the query has a row.
    fn has(&self, query: &str) -> Result<bool> {
        Ok(self.psql("postgres", &format!("SELECT EXISTS ({query})"))? == "t")
    }

    /// `kill -9` of the server, and waits until the last of its processes has let go of the data.
    ///
    /// # Errors
    /// When the process can't be killed.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.kill9()?;
        // Its children notice within a moment; until then a new server would refuse the shared memory.
        let start = Instant::now();
        while children_live(&self.data()) && start.elapsed() < STANDBY {
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// A synchronous standby: from now on a commit waits until this one has it. On a free port.
    ///
    /// # Errors
    /// When the copy or the start fails, or it does not stream within a minute.
    pub fn standby(&self) -> Result<Self> {
        let process = Process::new("Postgres standby", folder().join(unique("standby")), Signal::QUIT)?;
        let mut standby = Self { process, bin: self.bin.clone(), port: free_port()? };
        let from = format!(
            "host=127.0.0.1 port={} user={USER} password={PASSWORD} application_name=standby",
            self.port
        );
        let mut command = self.tool("pg_basebackup");
        command.arg("--pgdata").arg(standby.data()).args(["--write-recovery-conf", "--no-sync"]);
        command.args(["--wal-method=stream", "--checkpoint=fast", "--dbname", &from]);
        output(&mut command).context("the Postgres standby cannot be copied")?;
        let conf = standby.data().join("rideplane.conf");
        let settings =
            fs::read_to_string(&conf).with_context(|| format!("cannot read {}", conf.display()))?;
        fs::write(&conf, format!("{settings}port = {}\n", standby.port))
            .with_context(|| format!("cannot write {}", conf.display()))?;
        standby.restart()?;
        // Set after the copy, so that the standby, once promoted, does not wait for one of its own.
        self.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'standby'")?;
        self.psql("postgres", "SELECT pg_reload_conf()")?;
        let start = Instant::now();
        let streams = "SELECT FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'";
        while !self.has(streams)? {
            if start.elapsed() > STANDBY {
                bail!("the standby does not stream; its log is {}", standby.process.log().display());
            }
            sleep(Duration::from_millis(50));
        }
        Ok(standby)
    }

    /// Makes a standby a primary, and waits until it takes writes.
    ///
    /// # Errors
    /// When it is no standby, or does not get there within a minute.
    pub fn promote(&self) -> Result<()> {
        let mut command = self.tool("pg_ctl");
        command.args(["promote", "--wait", "--timeout", &STANDBY.as_secs().to_string(), "--pgdata"]);
        command.arg(self.data());
        output(&mut command).map(drop).context("the standby cannot be promoted")
    }

    fn data(&self) -> PathBuf {
        self.process.folder().join("data")
    }

    /// A program of this version of Postgres, as the servers' user.
    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command.current_dir(self.process.folder());
        drop_root(&mut command);
        command
    }

    pub(crate) fn detach(self) -> Result<()> {
        self.process.detach()
    }
}

/// Whether a server lets clients in on the port.
pub(crate) fn accepts(bin: &Path, port: u16) -> bool {
    let mut command = Command::new(bin.join("pg_isready"));
    command.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string(), "-d", DATABASE]);
    output(&mut command).is_ok()
}

/// Whether a process works in the data folder.
fn children_live(data: &Path) -> bool {
    let Ok(data) = data.canonicalize() else { return false };
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    processes
        .flatten()
        .any(|process| fs::read_link(process.path().join("cwd")).is_ok_and(|works_in| works_in == data))
}
