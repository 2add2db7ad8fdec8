//! Measurements. They print numbers and judge none: machines differ, and no check may depend on a time.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::report::Parameters;
use crate::workspace::Workspace;
use crate::{replay as replays, sh};

/// How long `serve` may take to answer before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a started server is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(3);

/// Runs every `core/examples/bench_*.rs`, optimised.
///
/// # Errors
/// When there is none, or one fails.
pub(crate) fn core(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root.join("core").join("examples");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .flatten()
        .filter_map(|file| file.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .filter(|name| name.starts_with("bench_"))
        .collect();
    names.sort();
    if names.is_empty() {
        bail!("there is no bench_*.rs in {}", folder.display());
    }
    for name in names {
        let args =
            ["run", "--release", "--locked", "--package", "rideplane-core", "--example", name.as_str()];
        sh::run(&mut workspace.cargo(args))?;
    }
    Ok(())
}

/// Reserves on Postgres through the adapter and through pgbench.
///
/// # Errors
/// When there is no server, or pgbench is not installed.
pub(crate) fn reserve(workspace: &Workspace) -> Result<()> {
    let example =
        ["run", "--release", "--locked", "--package", "rideplane-postgres", "--example", "bench_reserve"];
    sh::run(&mut workspace.cargo(example))
}

/// Searches by the index, by PostGIS and through the cache, then the cache's hit rate on the searches of real trips.
///
/// # Errors
/// When a program does not build, or Postgres or Redis cannot be installed or started.
pub(crate) fn search(workspace: &Workspace) -> Result<()> {
    let run = ["run", "--release", "--locked", "--package"];
    let speed = ["rideplane", "--features", "production", "--example", "bench_search"];
    sh::run(workspace.cargo(run).args(speed))?;
    sh::run(workspace.cargo(run).args(["rideplane-redis", "--example", "replay_searches"]))
}

/// Replays without faults on each store, and starts `serve`.
///
/// # Errors
/// When the binary does not build, a replay fails, or `serve` does not answer.
pub(crate) fn replay(workspace: &Workspace) -> Result<()> {
    let binary = replays::build(workspace)?;
    let mut lines = Vec::new();
    for store in replays::STORES {
        let asked = Parameters { store: store.to_owned(), faults: "none".to_owned(), seed: 1 };
        let report = replays::run(workspace, &binary, &asked)?.report;
        let (rate, wall) = (report.bookings_per_s, report.wall_s);
        lines.push(format!("replay, {store:<7} {rate:>10.0} bookings/s   {wall:>7.2} s in all"));
    }
    let (start_up, memory) = serve(workspace, &binary)?;
    lines.push(format!(
        "serve, start-up  {:>8.0} ms to the first 200 of /healthz",
        start_up.as_secs_f64() * 1e3
    ));
    lines.push(match memory {
        Some(kib) => {
            format!("serve, idle      {:>8.1} MiB resident after {} s", kib / 1024.0, IDLE.as_secs())
        }
        None => "serve, idle      resident memory is only known on Linux".to_owned(),
    });
    sh::say("");
    lines.iter().for_each(|line| sh::say(line));
    Ok(())
}

/// A server that is ended with its measurement, however that ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The time to the first healthy answer, and the resident memory in KiB when idle.
fn serve(workspace: &Workspace, binary: &Path) -> Result<(Duration, Option<f64>)> {
    let folder = workspace.scratch("serve");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let address = free_address()?;
    let mut command = Command::new(binary);
    command.args(["serve", "--listen", &address.to_string(), "--data"]).arg(folder.join("data"));
    sh::say(&format!("$ {}", sh::line(&command)));
    let start = Instant::now();
    let child = command.current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let mut server = Server(child.with_context(|| format!("cannot start {}", binary.display()))?);
    while !healthy(address) {
        if let Some(status) = server.0.try_wait()? {
            bail!("`serve` ended before it answered ({status})");
        }
        if start.elapsed() > PATIENCE {
            bail!("`serve` did not answer on {address} within {} s", PATIENCE.as_secs());
        }
        sleep(Duration::from_millis(2));
    }
    let start_up = start.elapsed();
    sleep(IDLE);
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.0.id())).unwrap_or_default();
    Ok((start_up, resident_kib(&status)))
}

fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot open a port on loopback")?;
    listener.local_addr().context("the port on loopback has no address")
}

/// Whether `GET /healthz` answers 200.
fn healthy(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200 "))
    };
    ask().unwrap_or(false)
}

/// `VmRSS` of a `/proc/PID/status`.
fn resident_kib(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_its_line() {
        assert_eq!(resident_kib("VmHWM:\t 9 kB\nVmRSS:\t   12345 kB\nThreads:\t1\n"), Some(12345.0));
        assert_eq!(resident_kib("Threads:\t1\n"), None);
    }

    #[test]
    fn only_a_200_is_healthy() {
        for (answer, expected) in [("HTTP/1.1 200 OK", true), ("HTTP/1.1 503 Service Unavailable", false)] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = listener.local_addr().unwrap();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                // Closing with unread bytes would reset the connection and lose the answer.
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.extend(byte);
                }
                write!(stream, "{answer}\r\nContent-Length: 0\r\n\r\n").unwrap();
            });
            assert_eq!(healthy(address), expected);
            server.join().unwrap();
        }
        assert!(!healthy(free_address().unwrap()));
    }
}
