//! Each server starts, does what its handle promises, and is gone with it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rideplane_services::{PgBouncer, Postgres, PostgresOptions, Redis, Toxiproxy};
use serde_json::json;

fn ask_redis(address: SocketAddr, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut bytes = [0; 64];
    let length = stream.read(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes[..length]).trim().to_owned())
}

#[test]
fn redis_takes_options_and_comes_back_empty_after_kill_9() {
    let mut redis = Redis::start(&["--maxmemory", "3mb"]).unwrap();
    assert!(ask_redis(redis.address(), "CONFIG GET maxmemory").unwrap().ends_with("3145728"));
    assert_eq!(ask_redis(redis.address(), "SET a 1").unwrap(), "+OK");
    redis.kill9().unwrap();
    assert!(ask_redis(redis.address(), "PING").is_err());
    redis.restart().unwrap();
    assert_eq!(ask_redis(redis.address(), "EXISTS a").unwrap(), ":0");
    let address = redis.address();
    drop(redis);
    assert!(TcpStream::connect(address).is_err(), "a dropped handle ends its server");
}

#[test]
fn toxiproxy_cuts_and_heals() {
    let redis = Redis::start(&[]).unwrap();
    let toxiproxy = Toxiproxy::start().unwrap();
    let proxy = toxiproxy.proxy("redis", redis.address()).unwrap();
    assert_eq!(ask_redis(proxy.address(), "PING").unwrap(), "+PONG");
    proxy.add("reset_peer", &json!({ "timeout": 0 })).unwrap();
    let cut = ask_redis(proxy.address(), "PING");
    assert!(cut.as_ref().map_or(true, String::is_empty), "{cut:?}");
    proxy.remove("reset_peer").unwrap();
    assert_eq!(ask_redis(proxy.address(), "PING").unwrap(), "+PONG");
    proxy.set_up(false).unwrap();
    assert!(ask_redis(proxy.address(), "PING").is_err());
    proxy.set_up(true).unwrap();
    assert_eq!(ask_redis(proxy.address(), "PING").unwrap(), "+PONG");
}

#[test]
fn a_standby_has_every_commit_and_takes_over() {
    let options = PostgresOptions { fsync: true, ..PostgresOptions::default() };
    let mut primary = Postgres::start(&options).unwrap();
    primary.psql("rideplane", "CREATE EXTENSION postgis; CREATE TABLE t (n int)").unwrap();
    let bouncer = PgBouncer::start(primary.port(), 4).unwrap();
    assert!(bouncer.url().starts_with("postgres://rideplane:rideplane@127.0.0.1:"));
    let standby = primary.standby().unwrap();
    primary.psql("rideplane", "INSERT INTO t VALUES (7)").unwrap();
    primary.kill9().unwrap();
    assert!(primary.psql("rideplane", "SELECT 1").is_err());
    standby.promote().unwrap();
    assert_eq!(standby.psql("rideplane", "SELECT n FROM t").unwrap(), "7");
    standby.psql("rideplane", "INSERT INTO t VALUES (8)").unwrap();
}

#[test]
fn a_killed_cluster_recovers_and_keeps_its_settings() {
    let settings = vec![("max_connections".to_owned(), "17".to_owned())];
    let mut cluster = Postgres::start(&PostgresOptions { settings, ..PostgresOptions::default() }).unwrap();
    cluster.psql("rideplane", "CREATE TABLE t AS SELECT 1 AS n").unwrap();
    cluster.kill9().unwrap();
    cluster.restart().unwrap();
    assert_eq!(cluster.psql("rideplane", "SELECT n FROM t").unwrap(), "1");
    assert_eq!(cluster.psql("rideplane", "SHOW max_connections").unwrap(), "17");
    assert_eq!(cluster.psql("rideplane", "SHOW fsync").unwrap(), "off");
    let error = cluster.psql("rideplane", "SELEC 1").unwrap_err().to_string();
    assert!(error.contains("syntax error"), "{error}");
}

#[test]
fn a_server_that_cannot_start_names_its_log() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Redis::start(&["--port", &port.to_string()]).unwrap_err();
    let text = format!("{error:#}");
    let log = text.split_whitespace().find(|word| word.ends_with("server.log")).expect("a log is named");
    assert!(std::fs::read_to_string(log).unwrap().contains("in use"), "{text}");
    std::fs::remove_dir_all(std::path::Path::new(log).parent().unwrap()).unwrap();
}

/// Plays both parts: the test that is killed, when it is told to, and the one that kills it.
#[test]
fn servers_end_when_their_test_is_killed() {
    const PART: &str = "RIDEPLANE_SERVICES_TEST_IS_KILLED";
    if std::env::var_os(PART).is_some() {
        let (postgres, redis) =
            (Postgres::start(&PostgresOptions::default()).unwrap(), Redis::start(&[]).unwrap());
        // One that hears of nothing but SIGKILL.
        let frozen = Redis::start(&[]).unwrap();
        frozen.freeze(true).unwrap();
        println!("\nstarted {} {} {}", postgres.address(), redis.address(), frozen.address());
        sleep(Duration::from_secs(600));
    }
    let name = "servers_end_when_their_test_is_killed";
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", name, "--nocapture"]).env(PART, "1").stdout(Stdio::piped());
    let mut test = test.spawn().unwrap();
    let mut said = BufReader::new(test.stdout.take().unwrap()).lines();
    let started = said.find_map(|line| line.unwrap().strip_prefix("started ").map(str::to_owned));
    let servers: Vec<SocketAddr> =
        started.expect("its servers start").split(' ').map(|address| address.parse().unwrap()).collect();
    let listening = || servers.iter().filter(|server| TcpStream::connect(server).is_ok()).count();
    let mark = format!("-{}-", test.id());
    let folders = || {
        let all = std::fs::read_dir(rideplane_services::folder()).unwrap().flatten();
        all.filter(|entry| entry.file_name().to_string_lossy().contains(&mark)).count()
    };
    assert_eq!((listening(), folders()), (3, 3));
    test.kill().unwrap();
    test.wait().unwrap();
    let start = Instant::now();
    while listening() + folders() > 0 {
        assert!(start.elapsed() < Duration::from_secs(30), "{} servers, {} folders", listening(), folders());
        sleep(Duration::from_millis(20));
    }
}
