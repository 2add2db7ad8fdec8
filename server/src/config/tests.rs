use super::*;

fn parse(text: &str) -> Result<Loaded, ConfigError> {
    Loaded::parse(Some((Path::new("r.toml"), text)), [], &[])
}

fn env(pairs: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    Loaded::parse(None, pairs.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())), &[])
}

fn refusal(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

#[test]
fn nothing_at_all_is_the_defaults_and_the_defaults_keep_their_own_rules() {
    assert_eq!(parse("").unwrap().config, Config::default());
    assert_eq!(env(&[("PATH", "/bin"), ("RIDEPLANET", "x")]).unwrap().config, Config::default());
    let printed = parse("").unwrap().to_string();
    assert_eq!(parse(&printed).unwrap().config, Config::default());
}

#[test]
fn the_example_says_the_defaults_and_names_every_setting() {
    let text = include_str!("../../../rideplane.example.toml");
    let loaded = parse(text).unwrap();
    assert_eq!(loaded.config, Config::default());
    let mut section = "";
    let mut named = Vec::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix('[') {
            section = head.trim_end_matches(']');
        }
        let line = line.trim_start_matches("# ");
        if let Some((name, _)) = line.split_once(" = ").filter(|(name, _)| !name.contains(' ')) {
            named.push(if section.is_empty() { name.to_string() } else { format!("{section}.{name}") });
        }
    }
    let known: Vec<_> = SETTINGS.iter().map(|setting| setting.key.to_string()).collect();
    assert_eq!(named, known, "in the order of the table");
}

#[test]
fn every_number_of_the_policy_is_a_setting() {
    let policy = serde_json::to_value(Policy::default()).unwrap();
    for field in policy.as_object().unwrap().keys() {
        let known = [format!("policy.{field}"), format!("policy.{field}_s")];
        assert!(SETTINGS.iter().any(|setting| known.iter().any(|key| key == setting.key)), "{field}");
    }
    let settings = SETTINGS.iter().filter(|setting| setting.key.starts_with("policy.")).count();
    assert_eq!(settings, policy.as_object().unwrap().len());
}

/// Another value for each setting than its default, as TOML.
fn another(setting: &Setting) -> String {
    match setting.key {
        "listen" => "\"[::1]:1\"".into(),
        "store" => "\"memory:\"".into(),
        "store_replicas" => "\"postgres://a/d postgres://b/d\"".into(),
        "cache" => "\"redis://a:1/2\"".into(),
        "demo.around" => "\"-1.5,2\"".into(),
        "log.level" => "\"warn,a::b=trace\"".into(),
        "log.format" => "\"json\"".into(),
        "policy.hold_headroom" => "2.25".into(),
        "policy.hold_max_s" => "601".into(),
        key if Setting::number(key, &Config::default()).is_some() => {
            (Setting::number(key, &Config::default()).unwrap() + 1).to_string()
        }
        _ => "\"some text\"".into(),
    }
}

#[test]
fn each_setting_reaches_its_own_place_from_file_and_environment_and_is_printed() {
    for setting in SETTINGS {
        let value = another(setting);
        // Where one setting must stay below another, both are raised.
        let raised = ORDERED.iter().find(|(small, ..)| *small == setting.key);
        let raise = raised.map_or(String::new(), |(_, large, _)| {
            format!("{large} = {}\n", Setting::number(large, &Config::default()).unwrap() + 1)
        });
        let text = format!("{raise}{} = {value}\n", setting.key);
        let from_file = parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(setting.get(&from_file.config), Some(value.clone()), "{text}");
        for other in SETTINGS.iter().filter(|other| other.key != setting.key && raise.is_empty()) {
            assert_eq!(other.get(&from_file.config), other.get(&Config::default()), "{text}");
        }
        assert!(from_file.origins.contains_key(setting.key));
        assert_eq!(parse(&from_file.to_string()).unwrap().config, from_file.config);

        let variable = format!("RIDEPLANE_{}", setting.key.to_uppercase().replace('.', "__"));
        let raise_variable = raised.map(|(_, large, _)| {
            let name = format!("RIDEPLANE_{}", large.to_uppercase().replace('.', "__"));
            (name, (Setting::number(large, &Config::default()).unwrap() + 1).to_string())
        });
        let untyped = value.trim_matches('"');
        let mut pairs = vec![(variable.as_str(), untyped)];
        pairs.extend(raise_variable.as_ref().map(|(name, value)| (name.as_str(), value.as_str())));
        assert_eq!(env(&pairs).unwrap().config, from_file.config, "{variable}");
    }
}

#[test]
fn flags_go_over_variables_and_variables_over_the_file() {
    let file = Path::new("r.toml");
    let variables = [("RIDEPLANE_LISTEN".to_string(), "127.0.0.1:2".to_string())];
    let flag = Flag { key: "listen", flag: "--listen", value: "127.0.0.1:3".into() };
    let text = "listen = \"127.0.0.1:1\"\ndata = \"d\"";
    let two = Loaded::parse(Some((file, text)), variables.clone(), &[]).unwrap();
    assert_eq!(two.config.listen.port(), 2);
    let three = Loaded::parse(Some((file, text)), variables, &[flag]).unwrap();
    assert_eq!(three.config.listen.port(), 3);
    let printed = three.to_string();
    assert!(printed.contains("listen = \"127.0.0.1:3\" # --listen"), "{printed}");
    assert!(printed.contains("data = \"d\" # r.toml"), "{printed}");
    assert_eq!(three.config.store_file(), Some(PathBuf::from("d/rideplane.db")));
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one() {
    for (text, hint) in [
        ("lisen = \"x\"", "r.toml: \"lisen\" is not a setting: did you mean listen?"),
        ("[auth]\naudiance = 1", "\"auth.audiance\" is not a setting: did you mean auth.audience?"),
        ("[auht]\naudience = \"a\"", "did you mean auth.audience?"),
        ("audience = \"a\"", "did you mean auth.audience?"),
        ("[policy]\nhold = 3", "did you mean policy.hold_s?"),
        ("auth = 3", "\"auth\" is not a setting: it is a section, write [auth]"),
        ("[[auth]]\nissuer = \"a\"", "it is a section"),
        ("[colour]", "\"colour\" is not a setting: rideplane.example.toml lists them all"),
        ("[auth.audience]\nx = 1", "\"auth.audience.x\" is not a setting"),
        ("[auth.audience]", "auth.audience can't be \"a table\""),
        ("\"\" = 1", "is not a setting"),
    ] {
        let error = refusal(text);
        assert!(error.contains(hint), "{text}\n{error}");
    }
    assert_eq!(parse("[auth]\n[policy]").unwrap().config, Config::default());
    let error = env(&[("RIDEPLANE_AUTH__AUDIANCE", "x"), ("RIDEPLANE_", "x")]).unwrap_err().to_string();
    assert!(error.contains("did you mean RIDEPLANE_AUTH__AUDIENCE?"), "{error}");
    assert!(error.starts_with("2 problems"), "{error}");
    let long = refusal(&format!("{} = 1", "x".repeat(100_000)));
    assert!(long.len() < 300, "{long}");
}

#[test]
fn values_that_break_a_rule_are_named_with_the_rule() {
    for (text, hint) in [
        ("listen = \"localhost\"", "r.toml: listen can't be \"localhost\": it is an IP address and a port"),
        ("listen = 8080", "listen can't be \"8080\""),
        ("data = \"\"", "the path of a directory"),
        ("store = \"mysql:x\"", "sqlite:FILE"),
        ("store = \"sqlite::memory:\"", "memory:"),
        ("store = \"sqlite:a?mode=rw\"", "store can't be"),
        ("demo.count = -1", "a whole number from 0 to 1000000"),
        ("demo.around = \"91,0\"", "demo.around can't be \"91,0\""),
        ("demo.around = [1, 2]", "demo.around can't be \"a list\""),
        ("auth.issuer = \" x\"", "without spaces at its ends"),
        ("auth.audience = \"\"", "1 to 256 characters"),
        ("auth.leeway_s = 301", "a whole number of seconds from 0 to 300"),
        (
            "policy.hold_s = 0",
            "policy.hold_s can't be \"0\": it is a whole number of seconds from 1 to 86400",
        ),
        ("policy.hold_s = 1.5", "policy.hold_s can't be \"1.5\""),
        ("policy.hold_s = \"300\"", "policy.hold_s can't be \"300\""),
        ("policy.hold_s = 9223372036854775807", "policy.hold_s can't be"),
        ("policy.hold_headroom = 0.99", "a number from 1 to 10"),
        ("policy.hold_headroom = nan", "a number from 1 to 10"),
        ("policy.hold_headroom = 1.00001", "at most four decimals"),
        ("http.body_limit_bytes = 4294967296", "a whole number from 1024 to 16777216"),
        ("log.level = \"inof\"", "off, error, warn, info, debug or trace"),
        ("log.level = \"\"", "off, error, warn, info"),
        ("log.format = \"JSON\"", "auto, human or json"),
        ("zones_file = true", "zones_file can't be \"true\": it is the path of a file"),
    ] {
        let error = refusal(text);
        assert!(error.contains(hint), "{text}\n{error}");
    }
    let error = env(&[("RIDEPLANE_POLICY__HOLD_S", "five")]).unwrap_err().to_string();
    assert!(error.starts_with("RIDEPLANE_POLICY__HOLD_S: policy.hold_s can't be \"five\""), "{error}");
    assert_eq!(env(&[("RIDEPLANE_ZONES_FILE", "")]).unwrap().config.zones_file, None);
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (text, hint) in [
        ("policy.hold_s = 601", "policy.hold_s (601) must be at most policy.hold_max_s (600)"),
        (
            "policy.search_limit_max = 19",
            "policy.search_limit (20) must be at most policy.search_limit_max (19)",
        ),
        ("http.unlock_wait_s = 10", "http.unlock_wait_s (10) must be less than http.request_timeout_s (10)"),
    ] {
        assert!(refusal(text).contains(hint), "{}", refusal(text));
    }
    for (small, large, _) in ORDERED {
        for key in [small, large] {
            assert!(Setting::number(key, &Config::default()).is_some(), "{key} is a number");
        }
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let error = refusal("x1y2z3 = 1\nlisten = 3\n[policy]\nhold_s = 0");
    assert_eq!(error.lines().count(), 4, "{error}");
}

#[test]
fn text_that_is_not_toml_is_named_by_line_and_column() {
    let error = refusal("listen = \"127.0.0.1:1\"\ndata = \n");
    assert!(error.starts_with("r.toml: line 2, column 8"), "{error}");
    assert!(refusal("listen = \"a\"\nlisten = \"b\"").contains("line 2"));
}

#[test]
fn passwords_in_urls_are_not_printed() {
    let error = env(&[("RIDEPLANE_STORE", "mysql://app:hunter2@db/ride")]).unwrap_err().to_string();
    assert!(error.contains("mysql://***@db/ride") && !error.contains("hunter2"), "{error}");
    let url = "postgres://app:hunter2@db/ride?password=hunter2";
    let loaded = env(&[("RIDEPLANE_STORE", url), ("RIDEPLANE_STORE_REPLICAS", url)]).unwrap();
    let texts = [loaded.to_string(), format!("{loaded:?}")];
    assert!(
        texts.iter().all(|text| text.contains("postgres://db/ride") && !text.contains("hunter2")),
        "{texts:?}"
    );
    let error = env(&[("RIDEPLANE_STRIPE_KEY", "sk_live_hunter2")]).unwrap_err().to_string();
    assert!(!error.contains("hunter2"), "the value of an unknown variable stays unsaid: {error}");
}

#[test]
fn files_are_read_and_missing_ones_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r.toml");
    let missing = Config::load(Some(&file), []).unwrap_err().to_string();
    assert!(missing.contains("r.toml: can't be read"), "{missing}");
    std::fs::write(&file, "data = \"d\"\nzones_file = \"no-such-zones.json\"").unwrap();
    let config = Config::load(Some(&file), []).unwrap();
    assert_eq!(config.data, PathBuf::from("d"));
    let error = config.check_files().unwrap_err().to_string();
    assert!(error.contains("zones_file: no-such-zones.json can't be read"), "{error}");
    assert!(Config::default().check_files().is_ok());
    std::fs::write(&file, b"data = \"\xff\"").unwrap();
    assert!(Config::load(Some(&file), []).is_err());
    std::fs::write(&file, "#".repeat(MAX_FILE_BYTES as usize + 1)).unwrap();
    assert!(Config::load(Some(&file), []).unwrap_err().to_string().contains("larger than"));
    assert!(Config::load(Some(folder.path()), []).is_err(), "a directory is not a file");
}

#[test]
fn nothing_that_is_read_brings_the_process_down() {
    let deep = "[".repeat(100_000);
    let dotted = format!("{}a = 1", "a.".repeat(100_000));
    let header = format!("[{}a]\nb = 1", "a.".repeat(100_000));
    let tables = format!("a = {}", "{a = ".repeat(10_000));
    for text in
        [deep.as_str(), &format!("a = {deep}"), &dotted, &header, &tables, "\0", "a", "= 1", "[", "]]"]
    {
        assert!(parse(text).is_err());
    }
    // Every prefix and every single-byte change of the example is an answer, whichever.
    let example = include_str!("../../../rideplane.example.toml");
    for at in (0..example.len()).step_by(7) {
        let _ = parse(&example[..at]);
        let mut bytes = example.as_bytes().to_vec();
        bytes[at] = b"\"=[].\n-x9"[at % 9];
        let _ = parse(&String::from_utf8(bytes).unwrap());
    }
}
