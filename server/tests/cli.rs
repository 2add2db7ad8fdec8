//! The commands as processes: exit codes, which stream says what, and the files they leave.

#![allow(clippy::unwrap_used, reason = "a failure of a helper is a failure of the test")]

use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

fn rideplane(folder: &Path, line: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rideplane"));
    command.current_dir(folder).args(line.split_whitespace());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RIDEPLANE_"))
    {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied()).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn token_prints_one_line_and_makes_the_key_once() {
    let folder = tempfile::tempdir().unwrap();
    let output = rideplane(folder.path(), "token --user rider-1 --role operator --ttl-s 60", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!((stdout(&output).lines().count(), stderr(&output)), (1, ""));
    let payload = URL_SAFE_NO_PAD.decode(stdout(&output).split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(claims["sub"], "rider-1");
    assert_eq!(claims["roles"][0], "operator");
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);

    let key = folder.path().join("rideplane-data/jwt.key");
    let before = std::fs::read(&key).unwrap();
    assert!(rideplane(folder.path(), "token --user rider-2", &[]).status.success());
    assert_eq!(std::fs::read(&key).unwrap(), before);
    // The directory of the flag, over that of the environment.
    let other = [("RIDEPLANE_DATA", "from-env")];
    assert!(rideplane(folder.path(), "token --user rider-2 --data from-flag", &other).status.success());
    assert!(folder.path().join("from-flag/jwt.key").exists() && !folder.path().join("from-env").exists());
}

#[test]
fn config_check_prints_what_is_in_effect_and_where_it_came_from() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rideplane.toml"), "[demo]\ncount = 7\n").unwrap();
    let output = rideplane(folder.path(), "config check", &[("RIDEPLANE_POLICY__HOLD_S", "60")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("count = 7 # rideplane.toml"), "{}", stdout(&output));
    assert!(stdout(&output).contains("hold_s = 60 # RIDEPLANE_POLICY__HOLD_S"), "{}", stdout(&output));
    let table: toml::Table = stdout(&output).parse().unwrap();
    assert_eq!(table["policy"]["hold_max_s"].as_integer(), Some(600));
}

#[test]
fn what_can_not_be_done_has_exit_code_2_and_says_why_on_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.toml"), "lisen = 1\n[policy]\nhold_s = 0\n").unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    for (line, variables, says) in [
        ("", vec![], "Usage"),
        ("fly", vec![], "fly"),
        ("config check --config bad.toml", vec![], "did you mean listen?"),
        ("config check --config absent.toml", vec![], "absent.toml: can't be read"),
        ("config check", vec![("RIDEPLANE_HOLD", "1")], "RIDEPLANE_POLICY__HOLD_S"),
        ("config check", vec![("RIDEPLANE_ZONES_FILE", "absent.json")], "zones_file: absent.json"),
        ("token --user a --data file", vec![], "file"),
        ("token --user a", vec![("RIDEPLANE_AUTH__PUBLIC_KEY_FILE", "idp.pem")], "auth.public_key_file"),
    ] {
        let output = rideplane(folder.path(), line, &variables);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert_eq!(stdout(&output), "", "{line}");
        assert!(stderr(&output).contains(says), "{line}: {}", stderr(&output));
    }
}

#[cfg(not(feature = "postgres"))]
#[test]
fn a_build_without_postgres_says_how_to_get_one_that_has_it() {
    let folder = tempfile::tempdir().unwrap();
    for line in ["serve", "migrate", "audit", "replay", "fleet list"] {
        let line = format!("{line} --store postgres://rideplane:hunter2@127.0.0.1/rideplane");
        let output = rideplane(folder.path(), &line, &[]);
        assert_eq!(output.status.code(), Some(2), "{line}: {}", stderr(&output));
        assert!(stderr(&output).contains("--features postgres"), "{line}: {}", stderr(&output));
        assert!(!stderr(&output).contains("hunter2"), "{}", stderr(&output));
    }
}
