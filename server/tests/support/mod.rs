//! Starting the real binary and talking to it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test file uses its part"
)]

pub mod riders;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running `rideplane serve`; ended when dropped.
pub struct Server {
    child: Child,
    pub base: String,
}

/// The binary, with nothing of this process's environment.
pub fn rideplane() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rideplane"));
    command.env_clear();
    command
}

impl Server {
    /// Starts on a free port over this data directory and waits until it is ready.
    pub async fn start(data: &Path, fleet: u32) -> Self {
        Self::start_with(data, fleet, &[]).await
    }

    /// The same with further environment variables.
    pub async fn start_with(data: &Path, fleet: u32, env: &[(&str, &str)]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(data.join("serve.log")).unwrap();
        let child = rideplane()
            .args(["serve", "--listen", &listen, "--demo-fleet", &fleet.to_string(), "--data"])
            .arg(data)
            .envs(env.iter().copied())
            .current_dir(data)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self { child, base: format!("http://{listen}") };
        let started = Instant::now();
        let client = reqwest::Client::new();
        loop {
            let ready = client.get(format!("{}/readyz", server.base)).send().await;
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                return server;
            }
            let log = || std::fs::read_to_string(data.join("serve.log")).unwrap_or_default();
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("serve ended with {status}:\n{}", log());
            }
            assert!(started.elapsed() < Duration::from_secs(60), "serve is not ready:\n{}", log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it without a chance to say goodbye.
    pub fn kill_9(&mut self) {
        // `Child::kill` sends SIGKILL on unix.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits.
    pub fn terminate(&mut self) -> std::process::ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A token of this installation's own key.
pub fn token(data: &Path, user: &str) -> String {
    run(data, &["token", "--user", user])
}

/// An operator's token.
pub fn operator_token(data: &Path) -> String {
    run(data, &["token", "--user", "ops-1", "--role", "operator"])
}

fn run(data: &Path, args: &[&str]) -> String {
    let output = rideplane().args(args).arg("--data").arg(data).current_dir(data).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Whether the audit finds nothing, and what it says.
pub fn audit(data: &Path) -> (bool, String) {
    let output = rideplane().args(["audit", "--data"]).arg(data).current_dir(data).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code() == Some(0), String::from_utf8_lossy(&text).into_owned())
}
