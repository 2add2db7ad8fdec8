//! Running commands so that a reader sees which, and what became of each.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Prints one line at once: a log that is read while it grows must not lag behind.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A closed pipe is the reader's choice, not a failure of the check.
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// The cargo that started this program, so that one toolchain does everything.
pub(crate) fn cargo_path() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A command as one would type it: variables, program, arguments.
pub(crate) fn line(command: &Command) -> String {
    let mut text = String::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            let _ = write!(text, "{}={} ", name.to_string_lossy(), quoted(&value.to_string_lossy()));
        }
    }
    let program = Path::new(command.get_program());
    let typed =
        if command.get_program() == cargo_path() { "cargo".into() } else { program.to_string_lossy() };
    text.push_str(&typed);
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&quoted(&arg.to_string_lossy()));
    }
    text
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Runs a command, its output passing through.
///
/// # Errors
/// When it cannot be started or does not succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let text = line(command);
    say(&format!("$ {text}"));
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start `{text}`"))?;
    if !status.success() {
        bail!("`{text}` failed ({status})");
    }
    Ok(())
}

/// Runs a command and returns what it printed on its standard output.
///
/// # Errors
/// When it cannot be started, does not succeed (with what it printed on standard error) or does not
/// print UTF-8.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let text = line(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{text}`"))?;
    if !output.status.success() {
        bail!("`{text}` failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{text}` did not print UTF-8"))
}

/// Runs a command that may hang on a dead network. `false` when it failed, could not be started or took
/// longer than `limit`; it is ended then.
pub(crate) fn succeeds_within(command: &mut Command, limit: Duration) -> bool {
    say(&format!("$ {}", line(command)));
    let Ok(mut child) = command.stdin(Stdio::null()).spawn() else { return false };
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if start.elapsed() < limit => sleep(Duration::from_millis(100)),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

/// A duration for people: `0.4 s`, `73 s`, `12 min 05 s`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        120.. => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let mut command = Command::new("some-tool");
        command.env("FLAGS", "-D warnings").args(["run", "it's", ""]).env_remove("GONE");
        assert_eq!(line(&command), r"FLAGS='-D warnings' some-tool run 'it'\''s' ''");
    }

    #[test]
    fn failure_and_delay_are_noticed() {
        assert!(run(&mut Command::new("false")).is_err());
        assert!(run(&mut Command::new("true")).is_ok());
        assert!(run(&mut Command::new("no-such-program-here")).is_err());
        assert!(!succeeds_within(Command::new("sleep").arg("30"), Duration::from_millis(50)));
        assert!(succeeds_within(&mut Command::new("true"), Duration::from_secs(30)));
    }

    #[test]
    fn durations_read_well() {
        let shown = [400, 73_000, 725_000].map(|ms| duration(Duration::from_millis(ms)));
        assert_eq!(shown, ["0.4 s", "73 s", "12 min 05 s"]);
    }
}
