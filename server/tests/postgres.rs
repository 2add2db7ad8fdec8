//! The binary on a real Postgres: what it says when it can't, and that a replay reports the same as on SQLite.
#![cfg(feature = "postgres")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first thing that fails"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rideplane::replay::driver::CHICAGO;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// A database that goes with its owner.
struct Database {
    server: String,
    name: String,
}

fn on_the_server(url: &str, sql: &[String]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut server = PgConnection::connect(url).await.unwrap_or_else(|error| {
            panic!("the test server does not answer ({error}): start it with `cargo xtask services up`")
        });
        for sql in sql {
            server.execute(sqlx::raw_sql(AssertSqlSafe(sql.as_str()))).await.unwrap();
        }
    });
}

impl Database {
    fn new(purpose: &str) -> Self {
        let server = std::env::var("RIDEPLANE_TEST_POSTGRES")
            .unwrap_or_else(|_| "postgres://rideplane:rideplane@127.0.0.1:55432/rideplane".to_owned());
        let name = format!("rideplane_server_{purpose}_{}", std::process::id());
        on_the_server(&server, &[format!("CREATE DATABASE {name}")]);
        Self { server, name }
    }

    fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').unwrap();
        format!("{server}/{}", self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        on_the_server(&self.server, &[format!("DROP DATABASE {} WITH (FORCE)", self.name)]);
    }
}

fn rideplane(folder: &Path, args: &[&str]) -> Output {
    rideplane_with(folder, args, &[])
}

fn rideplane_with(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rideplane"));
    command.current_dir(folder).args(args);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RIDEPLANE_"))
    {
        command.env_remove(name);
    }
    command.envs(env.iter().copied()).output().unwrap()
}

fn done(folder: &Path, args: &[&str]) -> String {
    let output = rideplane(folder, args);
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{args:?}: {said}{errors}");
    said.into_owned()
}

#[test]
fn what_is_wrong_with_the_store_is_one_sentence_without_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let (database, newer) = (Database::new("bad"), Database::new("newer"));
    let url = database.url();
    let (credentials, address) = url.rsplit_once('@').unwrap();
    let (user, _) = credentials.rsplit_once(':').unwrap();
    let wrong = format!("{user}:hunter2@{address}");
    let unreachable = "postgres://rideplane:hunter2@127.0.0.1:1/rideplane";
    done(folder.path(), &["migrate", "--store", &newer.url()]);
    on_the_server(&newer.url(), &["INSERT INTO rideplane_schema VALUES (99, now())".to_owned()]);
    let newer_url = newer.url();
    for (args, hint) in [
        (vec!["serve", "--store", &wrong], "user or password are wrong"),
        (vec!["audit", "--store", unreachable], "can't be reached"),
        (vec!["migrate", "--store", "postgres://rideplane:hunter2@:x/"], "a Postgres URL is"),
        (vec!["replay", "--store", &wrong], "user or password are wrong"),
        (vec!["fleet", "list", "--store", &url], "run `rideplane migrate`"),
        (vec!["serve", "--store", &newer_url], "schema version 99"),
        (vec!["migrate", "--store", &newer_url], "run a newer rideplane"),
        (vec!["migrate", "--store", "memory:"], "only a postgres:// store is migrated"),
    ] {
        let output = rideplane(folder.path(), &args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {errors}");
        assert!(errors.contains(hint), "{args:?}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            !errors.contains("hunter2") && !said.contains("hunter2") && !errors.contains("panicked"),
            "{errors}"
        );
    }
}

/// Whoever set the database up left PostGIS to a superuser, or one replica's password is an old one.
#[test]
fn a_database_without_postgis_and_a_replica_that_refuses_are_one_sentence_each() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::new("plain");
    let url = database.url();
    let role = format!("rideplane_plain_{}", std::process::id());
    on_the_server(
        &database.server,
        &[
            format!("CREATE ROLE {role} LOGIN PASSWORD 'hunter2'"),
            format!("ALTER DATABASE {} OWNER TO {role}", database.name),
        ],
    );
    let address = url.rsplit_once('@').unwrap().1;
    let plain = format!("postgres://{role}:hunter2@{address}");
    let migrated = rideplane(folder.path(), &["migrate", "--store", &plain]);
    on_the_server(&url, &["CREATE EXTENSION postgis".to_owned()]);
    let mended = rideplane(folder.path(), &["migrate", "--store", &plain]);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--store", &url];
    let refused = rideplane_with(
        folder.path(),
        &serve,
        &[("RIDEPLANE_STORE_REPLICAS", &plain.replace("hunter2", "hunter3"))],
    );
    on_the_server(
        &url,
        &[format!("REASSIGN OWNED BY {role} TO CURRENT_USER"), format!("DROP OWNED BY {role}")],
    );
    on_the_server(
        &database.server,
        &[format!("ALTER DATABASE {} OWNER TO CURRENT_USER", database.name), format!("DROP ROLE {role}")],
    );
    for (output, hint) in [(migrated, "CREATE EXTENSION postgis"), (refused, "user or password are wrong")] {
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(
            errors.contains(hint) && !errors.contains("hunter") && !errors.contains("panicked"),
            "{errors}"
        );
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
    let errors = String::from_utf8_lossy(&mended.stderr);
    assert_eq!(mended.status.code(), Some(0), "what the sentence says mends it: {errors}");
}

#[test]
fn a_replay_reports_the_same_as_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let log = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(CHICAGO);
    let log = std::fs::read_to_string(log).unwrap();
    let head: Vec<&str> = log.lines().take(301).collect();
    std::fs::write(folder.path().join("trips.csv"), head.join("\n")).unwrap();
    let database = Database::new("replay");
    let url = database.url();
    let report = |store: &str, out: &str| {
        let args = [
            "replay",
            "--trips",
            "trips.csv",
            "--faults",
            "storm",
            "--seed",
            "7",
            "--store",
            store,
            "--report",
            out,
        ];
        done(folder.path(), &args);
        let text = std::fs::read_to_string(folder.path().join(out).join("report.json")).unwrap();
        let mut report: Value = serde_json::from_str(&text).unwrap();
        let members = report.as_object_mut().unwrap();
        members.retain(|name, _| !["bookings_per_s", "latency_us", "wall_s"].contains(&name.as_str()));
        members["parameters"]["store"] = Value::Null;
        report
    };
    let (sqlite, postgres) = (report("sqlite", "on-sqlite"), report(&url, "on-postgres"));
    assert!(sqlite["bookings_completed"].as_u64().unwrap() > 10, "{sqlite}");
    assert_eq!(sqlite, postgres);
    let audit = done(folder.path(), &["audit", "--store", &url]);
    assert!(audit.contains("0 violations"), "{audit}");
    let again = rideplane(folder.path(), &["replay", "--trips", "trips.csv", "--store", &url]);
    let errors = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(2), "{errors}");
    assert!(errors.contains("begins with an empty store"), "{errors}");
}
