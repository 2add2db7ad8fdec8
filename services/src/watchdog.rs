//! Ends a server whose test was killed: a handle can't do it, since nothing of a killed process runs.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use rustix::process::Signal;

/// Its input ends when the process that started it is gone, however it went. Then it ends the server, by force if
/// need be, and removes the folder. A process number is given away again: only who works in the folder is meant.
const SCRIPT: &str = r#"
read -r _
ours() { case "$(readlink "/proc/$1/cwd")" in "$3" | "$3"/*) ;; *) return 1 ;; esac; }
ours "$@" && kill "-$2" "$1" && kill -CONT "$1"
for _ in 1 2 3 4 5 6 7 8 9 10; do
    ours "$@" || break
    sleep 0.2
done
ours "$@" && kill -KILL "$1"
rm -rf "$3"
"#;

/// A shell that outlives this process for as long as it takes to end a server. Dropped, it forgets the server.
#[derive(Debug)]
pub struct Watchdog(Child);

impl Watchdog {
    /// Watches over a process that works in this folder or below it: should this process die, that one is asked to end
    /// (SIGTERM), is killed when it does not within two seconds, and the folder is removed.
    ///
    /// # Errors
    /// When there is no `sh`, or no such folder.
    pub fn over(server: &Child, folder: &Path) -> Result<Self> {
        Self::with(server, Signal::TERM, folder)
    }

    pub(crate) fn with(server: &Child, stop: Signal, folder: &Path) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let folder = folder.canonicalize().with_context(|| format!("there is no {}", folder.display()))?;
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "watchdog", &server.id().to_string(), &stop.as_raw().to_string()]);
        command.arg(folder).process_group(0).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn().context("sh cannot be started")?))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // Before its input ends, which waiting brings about.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
