//! The primary dies and a synchronous standby is promoted: the store goes on by itself, and what was acknowledged is there.
//!
//! Runs two servers of its own, so it needs the programs of Postgres: in `PG_BIN`, in the `PATH` or where Debian puts them.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rideplane_ports::conformance::fixtures::{Journey, at, vehicle_id};
use rideplane_ports::{CommitError, Kind, Store as _};
use rideplane_postgres::{PostgresConfig, PostgresStore};
use tempfile::TempDir;

/// How long the store may take to go on.
const PATIENCE: Duration = Duration::from_secs(60);

struct Servers {
    folder: TempDir,
    ports: [u16; 2],
}

fn program(name: &str) -> PathBuf {
    let folders = std::env::var_os("PG_BIN").into_iter().map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folders.chain(std::env::split_paths(&path).collect::<Vec<_>>());
    let debian = (13..30).rev().map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")));
    let mut found = folders.chain(debian).map(|folder| folder.join(name)).filter(|file| file.exists());
    found.next().unwrap_or_else(|| {
        panic!("{name} is missing: install Postgres, or name its programs' folder in PG_BIN")
    })
}

impl Servers {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = [free_port(), free_port()];
        let servers = Self { folder, ports };
        if servers.are_ours_as_root() {
            // Postgres refuses to run as root.
            std::fs::set_permissions(servers.folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        let primary = servers.data(0);
        servers.run("initdb", &["-D", &primary, "-U", "rideplane", "-A", "trust", "-N", "--locale=C.UTF-8"]);
        servers.pg_ctl(0, &["-w", "start"]);
        let from =
            format!("host=127.0.0.1 port={} user=rideplane application_name=standby", servers.ports[0]);
        servers
            .run("pg_basebackup", &["-D", &servers.data(1), "-d", &from, "-R", "-X", "stream", "-c", "fast"]);
        servers.pg_ctl(1, &["-w", "start"]);
        let names = "ALTER SYSTEM SET synchronous_standby_names = '*'";
        let primary = format!("host=127.0.0.1 port={} user=rideplane dbname=postgres", servers.ports[0]);
        servers.run("psql", &["-q", "-d", &primary, "-c", names, "-c", "SELECT pg_reload_conf()"]);
        servers
    }

    fn data(&self, number: usize) -> String {
        self.folder.path().join(format!("data-{number}")).to_str().unwrap().to_owned()
    }

    fn are_ours_as_root(&self) -> bool {
        std::fs::metadata(self.folder.path()).unwrap().uid() == 0
    }

    fn run(&self, name: &str, args: &[&str]) {
        let program = program(name);
        let mut command = if self.are_ours_as_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        // What goes on running must not hold our pipes, so a file takes what is said.
        let said = std::fs::File::create(self.folder.path().join("said.log")).unwrap();
        command.args(args).stdout(said.try_clone().unwrap()).stderr(said).current_dir(self.folder.path());
        let status = command.status().unwrap();
        let said = || std::fs::read_to_string(self.folder.path().join("said.log")).unwrap_or_default();
        assert!(status.success(), "{name} {args:?} failed: {}", said());
    }

    fn pg_ctl(&self, number: usize, what: &[&str]) {
        let data = self.data(number);
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=50",
            self.ports[number]
        );
        let log = format!("{data}.log");
        let mut args = vec!["-D", &data, "-o", &options, "-l", &log];
        args.extend(what);
        self.run("pg_ctl", &args);
    }

    /// As the kernel would when memory is short.
    fn kill_primary(&self) {
        let pid = std::fs::read_to_string(Path::new(&self.data(0)).join("postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    }

    fn config(&self) -> PostgresConfig {
        let [primary, standby] = self.ports;
        let url = format!("postgres://rideplane@127.0.0.1:{primary},127.0.0.1:{standby}/postgres");
        let mut config: PostgresConfig = url.parse().unwrap();
        config.acquire_timeout = Duration::from_secs(2);
        config
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for number in [0, 1] {
            let file = Path::new(&self.data(number)).join("postmaster.pid");
            let Ok(pid) = std::fs::read_to_string(file) else { continue };
            let pid = pid.lines().next().unwrap_or_default().to_owned();
            // SIGQUIT ends a server at once, with all of its processes.
            drop(Command::new("kill").args(["-QUIT", &pid]).status());
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_promotion_the_store_goes_on_with_everything_acknowledged() {
    let servers = Servers::start();
    PostgresStore::migrate(&servers.config()).await.unwrap();
    let store = Arc::new(PostgresStore::open(servers.config()).await.unwrap());
    let writing = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let (mut acknowledged, mut failures) = (Vec::new(), 0);
            let mut since_failure = 0;
            let start = Instant::now();
            for n in 0.. {
                match store.commit(Journey::register(n, at(0)).1).await {
                    Ok(()) => {
                        acknowledged.push(n);
                        since_failure += 1;
                    }
                    Err(CommitError::Port(error)) => {
                        assert!(matches!(error.kind(), Kind::Unavailable | Kind::OutcomeUnknown), "{error}");
                        (failures, since_failure) = (failures + 1, 0);
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    Err(other) => panic!("an outage is no conflict: {other}"),
                }
                if failures > 0 && since_failure >= 20 {
                    break;
                }
                assert!(start.elapsed() < PATIENCE * 2, "the store does not go on: {failures} failures");
            }
            (acknowledged, failures)
        }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let servers = tokio::task::spawn_blocking(move || {
        servers.kill_primary();
        std::thread::sleep(Duration::from_secs(1));
        servers.pg_ctl(1, &["-w", "promote"]);
        servers
    });
    let servers = servers.await.unwrap();
    let (acknowledged, failures) = writing.await.unwrap();
    assert!(failures > 0 && acknowledged.len() > 20, "the primary died while it was written to");
    for n in &acknowledged {
        assert!(store.vehicle(&vehicle_id(*n)).await.unwrap().is_some(), "{n} was acknowledged");
    }
    store.close().await;
    drop(servers);
}
