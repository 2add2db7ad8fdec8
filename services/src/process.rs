//! One server process: started in a folder of its own, awaited, stopped.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, getuid, kill_process, test_kill_process};

use crate::say;
use crate::watchdog::Watchdog;

/// How long a server may take to answer after its start.
const READY: Duration = Duration::from_secs(60);
/// How long a server may take to end when asked to.
const ENDED: Duration = Duration::from_secs(15);
/// How much of a log an error shows.
const TAIL: u64 = 2_000;

/// The folder of all servers: `RIDEPLANE_SERVICES_DIR`, else `services` below `CARGO_TARGET_DIR`, else below the
/// workspace's `target`.
///
/// As root the servers run as the user `postgres`; when that one can't enter the folder (a home of mode 0700), it is
/// `/var/tmp/rideplane-services` with a name derived from the folder.
#[must_use]
pub fn folder() -> PathBuf {
    let wanted = std::env::var_os("RIDEPLANE_SERVICES_DIR").map_or_else(
        || {
            let target = std::env::var_os("CARGO_TARGET_DIR")
                .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
            target.join("services")
        },
        PathBuf::from,
    );
    let wanted = std::path::absolute(&wanted).unwrap_or(wanted);
    let _ = fs::create_dir_all(&wanted);
    let enters = |user: User| {
        let mut command = Command::new("test");
        command.arg("-x").arg(&wanted).uid(user.uid).gid(user.gid);
        command.status().is_ok_and(|status| status.success())
    };
    match unprivileged() {
        Some(user) if !enters(user) => {
            let name = wanted.to_string_lossy().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            Path::new("/var/tmp/rideplane-services").join(name.trim_matches('-'))
        }
        Some(_) | None => wanted,
    }
}

/// A port on loopback that nobody listens on.
///
/// # Errors
/// When none can be opened.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot open a port on loopback")?;
    Ok(listener.local_addr().context("the port on loopback has no address")?.port())
}

/// Whether somebody listens on the port.
pub(crate) fn listens(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// A user of the system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    uid: u32,
    gid: u32,
}

/// Who runs the servers instead of root, which Postgres and PgBouncer refuse: `postgres`, made by Debian's package.
/// `None` when this process is not root's, or there is no such user.
fn unprivileged() -> Option<User> {
    if !getuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = users.lines().find(|line| line.starts_with("postgres:"))?.split(':').skip(2);
    Some(User { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
}

/// Makes a command run as [`unprivileged`].
pub(crate) fn drop_root(command: &mut Command) {
    if let Some(user) = unprivileged() {
        command.uid(user.uid).gid(user.gid);
    }
}

/// Makes a folder with its parents that only the servers' user may enter.
pub(crate) fn own_folder(path: &Path) -> Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, chown};
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    if !path.is_dir() {
        let made = fs::DirBuilder::new().mode(0o700).create(path);
        made.with_context(|| format!("cannot make {}", path.display()))?;
    }
    if let Some(user) = unprivileged() {
        let given = chown(path, Some(user.uid), Some(user.gid));
        given.with_context(|| format!("cannot give {} to the user postgres", path.display()))?;
    }
    Ok(())
}

/// A name for a private server, used once.
pub(crate) fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs a helper to its end and returns what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("{program} cannot be started"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} failed ({}): {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A server process and its folder. Dropped, it ends the server and removes the folder, unless detached. Should this
/// process be killed instead, a [`Watchdog`] does.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    folder: PathBuf,
    child: Option<Child>,
    watchdog: Option<Watchdog>,
    /// What ends it at once but in good order.
    stop: Signal,
    detached: bool,
    /// The last start went wrong: the log is worth keeping.
    failed: bool,
}

impl Process {
    /// One that does not run yet. `folder` holds its files and `server.log`.
    pub(crate) fn new(name: &'static str, folder: PathBuf, stop: Signal) -> Result<Self> {
        own_folder(&folder)?;
        Ok(Self { name, folder, child: None, watchdog: None, stop, detached: false, failed: false })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// Starts it and waits until `ready`.
    ///
    /// # Errors
    /// When it can't be started, ends, or is not ready within a minute; with the end of its log and the log's name.
    pub(crate) fn start(&mut self, command: &mut Command, ready: impl Fn() -> bool) -> Result<()> {
        self.failed = true;
        let log = File::options().create(true).append(true).open(self.log());
        let log = log.with_context(|| format!("cannot write {}", self.log().display()))?;
        drop_root(command);
        // A group of its own: Ctrl-C in the terminal ends the test, whose handle then ends the server in good order.
        command.process_group(0).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn();
        let program = command.get_program().to_string_lossy();
        let mut child = child.with_context(|| format!("{}: {program} cannot be started", self.name))?;
        let watchdog = Watchdog::with(&child, self.stop, &self.folder)?;
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                bail!("{} ended at its start ({status}); {}", self.name, self.last_words());
            }
            if ready() {
                break;
            }
            if start.elapsed() > READY {
                let _ = child.kill();
                let _ = child.wait();
                bail!("{} did not answer within {} s; {}", self.name, READY.as_secs(), self.last_words());
            }
            sleep(Duration::from_millis(10));
        }
        (self.child, self.watchdog) = (Some(child), Some(watchdog));
        self.failed = false;
        Ok(())
    }

    fn last_words(&self) -> String {
        let path = self.log();
        let mut bytes = Vec::new();
        if let Ok(mut file) = File::open(&path) {
            let length = file.metadata().map_or(0, |data| data.len());
            let _ = file.seek(SeekFrom::Start(length.saturating_sub(TAIL)));
            let _ = file.read_to_end(&mut bytes);
        }
        format!("its log {} ends:\n{}", path.display(), String::from_utf8_lossy(&bytes).trim())
    }

    /// `kill -9`, and waits until the process is gone. Nothing when it does not run.
    pub(crate) fn kill9(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().with_context(|| format!("{} cannot be killed", self.name))?;
            child.wait().with_context(|| format!("{} cannot be awaited", self.name))?;
        }
        self.watchdog = None;
        Ok(())
    }

    /// Ends it in good order, or by `kill -9` when that takes too long.
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = kill_process(Pid::from_child(&child), self.stop);
        let start = Instant::now();
        while start.elapsed() < ENDED {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Stops (SIGSTOP) or continues (SIGCONT) the process: a server that hangs, with its connections open.
    pub(crate) fn freeze(&self, frozen: bool) -> Result<()> {
        let Some(child) = &self.child else { bail!("{} does not run", self.name) };
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        kill_process(Pid::from_child(child), signal).with_context(|| format!("{} takes no signal", self.name))
    }

    /// Leaves the server running beyond this handle; the id of its process is in `server.pid`.
    pub(crate) fn detach(mut self) -> Result<()> {
        let Some(child) = &self.child else { bail!("{} does not run", self.name) };
        fs::write(self.folder.join("server.pid"), child.id().to_string())
            .with_context(|| format!("cannot write below {}", self.folder.display()))?;
        self.watchdog = None;
        self.detached = true;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.detached {
            return;
        }
        // What hangs by SIGSTOP hears no other signal.
        let _ = self.freeze(false);
        self.stop();
        if self.failed || std::thread::panicking() {
            say(&format!("{}: the log is kept in {}", self.name, self.log().display()));
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The detached server of a folder: its process, if that runs and was started in this folder.
pub(crate) fn detached(folder: &Path) -> Option<Pid> {
    let text = fs::read_to_string(folder.join("server.pid")).ok()?;
    let pid = Pid::from_raw(text.trim().parse().ok()?)?;
    // A pid file outlives its process, and the number is given to another one: only who works here is meant.
    let works_in = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_pid())).ok()?;
    let ours = works_in.starts_with(folder.canonicalize().ok()?);
    (ours && test_kill_process(pid).is_ok()).then_some(pid)
}

/// Ends the detached server of a folder. `false` when none runs.
pub(crate) fn end_detached(folder: &Path, signal: Signal) -> bool {
    let Some(pid) = detached(folder) else { return false };
    let _ = kill_process(pid, signal);
    let start = Instant::now();
    while detached(folder).is_some() && start.elapsed() < ENDED {
        sleep(Duration::from_millis(10));
    }
    if detached(folder).is_some() {
        let _ = kill_process(pid, Signal::KILL);
    }
    let _ = fs::remove_file(folder.join("server.pid"));
    true
}
