//! Finding the servers' programs, and installing what is missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail};
use rustix::process::getuid;

use crate::{folder, say};

/// The last release that Debian 12's Go (1.19) compiles.
const TOXIPROXY: &str = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0";
/// Debian's packages start a server of the system when they are installed; here nobody asked for one.
/// `policy-rc.d` keeps it from being started, `createcluster.conf` from being made. Neither is changed if it exists.
const APT: &str = r#"set -e
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
fi
conf=/etc/postgresql-common/createcluster.conf
if [ ! -e $conf ]; then
    mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' >$conf
fi
apt-get update -q -o DPkg::Lock::Timeout=300
apt-get install -y -q -o DPkg::Lock::Timeout=300 --no-install-recommends -o Dpkg::Options::=--force-confold "$@"
"#;

/// One installation at a time in this process; apt-get itself keeps processes apart.
static TURN: Mutex<()> = Mutex::new(());

/// The folder of `initdb`, `postgres` and `pg_basebackup`, of the newest version that has PostGIS.
pub(crate) fn postgres() -> Result<PathBuf> {
    find_or_install("Postgres with PostGIS", &["postgresql", "postgresql-postgis"], || {
        std::env::var_os("RIDEPLANE_POSTGRES_BIN").map(PathBuf::from).or_else(newest_postgres)
    })
}

fn newest_postgres() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let numbers = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let newest = numbers.filter(|version| {
        let bin = Path::new("/usr/lib/postgresql").join(version.to_string()).join("bin");
        let postgis = format!("/usr/share/postgresql/{version}/extension/postgis.control");
        bin.join("initdb").exists() && Path::new(&postgis).exists()
    });
    newest.max().map(|version| Path::new("/usr/lib/postgresql").join(version.to_string()).join("bin"))
}

pub(crate) fn pgbouncer() -> Result<PathBuf> {
    find_or_install("PgBouncer", &["pgbouncer"], || program("pgbouncer"))
}

pub(crate) fn redis() -> Result<PathBuf> {
    find_or_install("Redis", &["redis-server"], || program("redis-server"))
}

pub(crate) fn toxiproxy() -> Result<PathBuf> {
    let bin = folder().join("bin");
    // The binary that `go install` makes is called after its folder.
    let built = bin.join("server");
    if let Some(found) = program("toxiproxy-server").or_else(|| built.exists().then(|| built.clone())) {
        return Ok(found);
    }
    let go = find_or_install("Go", &["golang-go"], || {
        program("go").or_else(|| Some("/usr/local/go/bin/go".into()).filter(|go: &PathBuf| go.exists()))
    })?;
    let _turn = TURN.lock();
    if !built.exists() {
        say(&format!("installing Toxiproxy: go install {TOXIPROXY} (about a minute)"));
        let mut command = Command::new(go);
        command.args(["install", TOXIPROXY]).env("GOBIN", &bin);
        crate::process::output(&mut command).context("Toxiproxy cannot be built")?;
    }
    Ok(built)
}

/// A program of the search path, or of a folder that is often missing from it.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/bin", "/usr/sbin", "/usr/local/bin"].map(PathBuf::from));
    folders.into_iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn find_or_install(what: &str, packages: &[&str], find: impl Fn() -> Option<PathBuf>) -> Result<PathBuf> {
    if let Some(found) = find() {
        return Ok(found);
    }
    let _turn = TURN.lock();
    if let Some(found) = find() {
        return Ok(found);
    }
    let by_hand = format!("install it: sudo apt-get install {}", packages.join(" "));
    let mut command = if getuid().is_root() {
        Command::new("sh")
    } else {
        let allowed = Command::new("sudo").args(["-n", "true"]).stderr(Stdio::null()).status();
        if !allowed.is_ok_and(|status| status.success()) {
            bail!(
                "{what} is not installed, and this is neither root nor may use sudo without a password; {by_hand}"
            );
        }
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "sh"]);
        sudo
    };
    if program("apt-get").is_none() {
        bail!(
            "{what} is not installed and there is no apt-get here; install it with this system's own means"
        );
    }
    say(&format!("installing {what}: apt-get install {} (about a minute)", packages.join(" ")));
    command.args(["-c", APT, "sh"]).args(packages);
    crate::process::output(&mut command).with_context(|| format!("{what} cannot be installed; {by_hand}"))?;
    find().with_context(|| format!("{what} is installed and was not found; {by_hand}"))
}
