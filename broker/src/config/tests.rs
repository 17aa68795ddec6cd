use super::*;

fn strings<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

fn file(text: &str) -> Layers {
    Layers { file: Some(("synod.toml".into(), text.into())), ..Layers::default() }
}

fn env<const N: usize>(pairs: [(&str, &str); N]) -> Layers {
    Layers { env: strings(pairs), ..Layers::default() }
}

fn loaded(layers: &Layers) -> Loaded {
    layers.load().unwrap_or_else(|error| panic!("{error}"))
}

fn problems(layers: &Layers) -> Vec<String> {
    let error = layers.load().expect_err("a problem");
    error.problems.iter().map(Problem::to_string).collect()
}

#[test]
fn nothing_written_gives_the_documented_defaults() {
    let Loaded { config, sources } = loaded(&Layers::default());
    assert_eq!(config, Config::default());
    assert!(sources.is_empty());
    assert_eq!(config.listen.to_string(), "127.0.0.1:9092");
    assert_eq!(config.peer_listen.to_string(), "127.0.0.1:9192");
    assert_eq!(config.http_listen.to_string(), "127.0.0.1:9644");
    assert_eq!(config.data_dir, PathBuf::from("./synod-data"));
    assert_eq!((config.node_id, config.num_partitions), (1, 1));
    assert_eq!(config.limits.frame_size, ByteSize(100 << 20));
}

/// Each subset of the three layers: the highest one that speaks wins and is named as source.
#[test]
fn flags_win_over_environment_over_file_over_default() {
    for present in 0..8_u32 {
        let has = |bit: u32| present & (1 << bit) != 0;
        let mut layers = Layers::default();
        let mut expected = (1, None);
        if has(0) {
            layers.file = Some(("f.toml".into(), "\nnode_id = 10\n".into()));
            expected = (10, Some(Source::File { path: "f.toml".into(), line: 2 }));
        }
        if has(1) {
            layers.env = strings([("SYNOD_NODE_ID", "20"), ("HOME", "/")]);
            expected = (20, Some(Source::Env("SYNOD_NODE_ID".into())));
        }
        if has(2) {
            layers.flags = vec![("--node-id".into(), "node_id".into(), "30".into())];
            expected = (30, Some(Source::Flag("--node-id".into())));
        }
        let Loaded { config, sources } = loaded(&layers);
        assert_eq!((config.node_id, sources.get("node_id").cloned()), expected, "{present:03b}");
    }
}

#[test]
fn a_file_sets_every_kind_of_value() {
    let text = r#"
        node_id = 7
        listen = "[::1]:0"
        advertise = "kafka.example.com:9092"
        cluster = ["7@c:9192", "1@a:9192"]
        auto_create_topics = false
        rack = "r1"
        producer_id_expiration = "12h"
        storage.sync_threads = 2
        [limits]
        frame_size = "1MiB"
        in_flight_size = 10_485_760
        idle_timeout = 1500
        [logging]
        level = "Debug"
        format = "json"
        [topic_defaults]
        retention.ms = 1000
        "segment.bytes" = 0x100000
        min.cleanable.dirty.ratio = 0.5
        cleanup.policy = ["compact", "delete"]
    "#;
    let config = loaded(&file(text)).config;
    assert_eq!(config.node_id, 7);
    assert_eq!((config.listen.host(), config.listen.port()), ("::1", 0));
    assert_eq!(config.advertise.map(|a| a.to_string()).as_deref(), Some("kafka.example.com:9092"));
    let cluster = config.cluster.expect("set");
    assert_eq!(cluster.to_string(), "1@a:9192,7@c:9192");
    assert!(!config.auto_create_topics);
    assert_eq!(config.rack.as_deref(), Some("r1"));
    assert_eq!(config.producer_id_expiration, Duration::from_secs(12 * 3600));
    assert_eq!(config.limits.frame_size, ByteSize(1 << 20));
    assert_eq!(config.limits.in_flight_size, ByteSize(10 << 20));
    assert_eq!(config.storage.sync_threads, 2);
    assert_eq!(config.limits.idle_timeout, Duration::from_millis(1500));
    assert_eq!(config.logging, Logging { level: LogLevel::Debug, format: LogFormat::Json });
    let topic_defaults = strings([
        ("cleanup.policy", "compact,delete"),
        ("min.cleanable.dirty.ratio", "0.5"),
        ("retention.ms", "1000"),
        ("segment.bytes", "1048576"),
    ]);
    assert_eq!(config.topic_defaults.into_iter().collect::<Vec<_>>(), topic_defaults);
}

#[test]
fn environment_reaches_sections_and_topic_settings() {
    let layers = env([
        ("SYNOD_LIMITS_CONNECTIONS", "5"),
        ("SYNOD_TOPIC_DEFAULTS_RETENTION_MS", "77"),
        ("SYNOD_CLUSTER", "1@[::1]:1,2@b:2,3@c:3"),
    ]);
    let config = loaded(&layers).config;
    assert_eq!(config.limits.connections, 5);
    assert_eq!(config.topic_defaults["retention.ms"], "77");
    assert_eq!(config.voter_count(), 3);
}

#[test]
fn defaults_follow_the_cluster_unless_set() {
    let three = ("SYNOD_CLUSTER", "1@a:1,2@b:2,3@c:3");
    let config = loaded(&env([three])).config;
    assert_eq!((config.auto_create_topics, config.default_replication_factor), (false, 3));
    let config = loaded(&env([
        three,
        ("SYNOD_AUTO_CREATE_TOPICS", "true"),
        ("SYNOD_DEFAULT_REPLICATION_FACTOR", "2"),
    ]))
    .config;
    assert_eq!((config.auto_create_topics, config.default_replication_factor), (true, 2));
    let config = loaded(&env([("SYNOD_CLUSTER", "1@a:1,2@b:2")])).config;
    assert_eq!((config.auto_create_topics, config.default_replication_factor), (false, 1));
}

#[test]
fn unknown_keys_name_the_nearest_with_file_and_line() {
    assert_eq!(
        problems(&file("node_id = 1\nlisten_address = \"x\"\n\n[limits]\nframe_sise = 1\n")),
        [
            "synod.toml:2: unknown key \"listen_address\"; `synod config show-default` lists the \
             known ones",
            r#"synod.toml:5: unknown key "limits.frame_sise"; did you mean "limits.frame_size"?"#,
        ]
    );
    for (text, nearest) in [
        ("node-id = 1", "node_id"),
        ("lisen = 'x'", "listen"),
        ("frame_size = 1", "limits.frame_size"),
        ("[limit]\nframe_size = 1", "limits.frame_size"),
        ("retention.ms = 1", "topic_defaults.retention.ms"),
        ("topic_defaults.retention.mss = 1", "topic_defaults.retention.ms"),
        ("[log]\nlevel = 'info'", "logging.level"),
    ] {
        let problems = problems(&file(text));
        let suffix = format!("did you mean {nearest:?}?");
        assert!(problems.len() == 1 && problems[0].ends_with(&suffix), "{text}: {problems:?}");
    }
    assert_eq!(
        problems(&env([("SYNOD_LISTN", "x")])),
        ["environment variable SYNOD_LISTN: unknown key \"SYNOD_LISTN\"; did you mean \
             \"SYNOD_LISTEN\"?"]
    );
    let layers =
        Layers { flags: vec![("--set".into(), "shard".into(), "1".into())], ..Layers::default() };
    assert_eq!(problems(&layers), [r#"flag --set: unknown key "shard"; did you mean "shards"?"#]);
}

#[test]
fn variables_of_others_are_let_alone() {
    let layers = env([
        ("SYNOD_CONFIG", "x"),
        ("SYNOD_BROKERS", "x"),
        ("SYNOD_SERVICE_HOST", "10.0.0.1"),
        ("SYNOD_PORT", "tcp://10.0.0.1:9092"),
        ("SYNOD_PORT_9092_TCP_ADDR", "10.0.0.1"),
        ("PATH", "/bin"),
    ]);
    assert_eq!(loaded(&layers).config, Config::default());
}

#[test]
fn bad_values_name_key_value_and_what_is_expected() {
    for (key, value, expected) in [
        ("node_id", "0", "a whole number from 1 to 2147483647"),
        ("node_id", "2147483648", "a whole number from 1 to 2147483647"),
        ("node_id", "-1", "a whole number from 1 to 2147483647"),
        ("node_id", "+1", "a whole number from 1 to 2147483647"),
        ("node_id", "", "a whole number from 1 to 2147483647"),
        ("listen", "9092", "HOST:PORT such as 127.0.0.1:9092 or [::1]:9092"),
        ("listen", "::1:9092", "HOST:PORT such as 127.0.0.1:9092 or [::1]:9092"),
        ("listen", "[::1:9092", "HOST:PORT such as 127.0.0.1:9092 or [::1]:9092"),
        ("listen", "a:65536", "HOST:PORT such as 127.0.0.1:9092 or [::1]:9092"),
        ("listen", "a:+1", "HOST:PORT such as 127.0.0.1:9092 or [::1]:9092"),
        ("listen", "a b:1", "HOST:PORT such as 127.0.0.1:9092 or [::1]:9092"),
        ("data_dir", "", "a path"),
        ("auto_create_topics", "yes", "true or false"),
        ("shards", "0", "a whole number from 1 to 256"),
        ("rack", "a b", "a word of 1 to 249 letters, digits and . _ -"),
        ("default_replication_factor", "8", "a whole number from 1 to 7"),
        (
            "producer_id_expiration",
            "1 week",
            "a time such as 500ms, 30s, 10m, 1h or 7d from 1s to 365d",
        ),
        ("limits.frame_size", "1KB", "a size such as 65536, 64KiB or 100MiB from 1KiB to 1GiB"),
        (
            "limits.frame_size",
            "99999999999999999999",
            "a size such as 65536, 64KiB or 100MiB from 1KiB to 1GiB",
        ),
        ("logging.level", "loud", "error, warn, info, debug or trace"),
        ("logging.format", "xml", "text or json"),
    ] {
        let layers =
            Layers { flags: vec![("--set".into(), key.into(), value.into())], ..Layers::default() };
        assert_eq!(
            problems(&layers),
            [format!("flag --set: {key} = {value:?}: expected {expected}")]
        );
    }
}

#[test]
fn topic_defaults_are_judged_by_the_topic_settings_own_rules() {
    for (text, reason) in [
        ("retention.ms = 'soon'", "Invalid value soon for configuration retention.ms"),
        ("cleanup.policy = 'x'", "Invalid value x for configuration cleanup.policy"),
        ("segment.bytes = -1", "Invalid value -1 for configuration segment.bytes"),
    ] {
        let problems = problems(&file(&format!("[topic_defaults]\n{text}")));
        assert_eq!(problems.len(), 1, "{problems:?}");
        let start = format!("synod.toml:2: topic_defaults: {reason}: ");
        assert!(problems[0].starts_with(&start), "{problems:?}");
    }
}

#[test]
fn bad_voters_are_refused() {
    for value in [
        "a:1",
        "1@a",
        "0@a:1",
        "1@a:1,1@b:2",
        "1@a:1,2@a:1",
        "1@a:0",
        "1@0.0.0.0:1",
        "1@a:1,",
        "1@a:1,2@a:2,3@a:3,4@a:4,5@a:5,6@a:6,7@a:7,8@a:8",
    ] {
        let problems = problems(&env([("SYNOD_CLUSTER", value)]));
        assert!(problems[0].contains("expected up to seven distinct voters"), "{problems:?}");
    }
    assert_eq!(loaded(&env([("SYNOD_CLUSTER", "")])).config.cluster, None, "empty text unsets");
}

#[test]
fn relations_between_settings_are_checked() {
    let expect = |text: &str, part: &str| {
        let problems = problems(&file(text));
        assert!(problems.len() == 1 && problems[0].contains(part), "{text}: {problems:?}");
    };
    expect(
        "limits.in_flight_size = '1MiB'",
        "synod.toml:1: limits.in_flight_size = \"1MiB\": expected at least limits.frame_size",
    );
    expect("peer_listen = '127.0.0.1:9092'", "expected an address other than that of listen");
    expect("advertise = '0.0.0.0:9092'", "expected a host and port that clients can connect to");
    expect("advertise = '[::]:9092'", "expected a host and port that clients can connect to");
    expect("advertise = 'a:0'", "expected a host and port that clients can connect to");
    loaded(&file("listen = 'a:0'\npeer_listen = 'a:0'"));
}

#[test]
fn broken_files_are_told_in_one_line() {
    for text in ["node_id = ", "node_id 1", "[limits", "node_id = 1\nnode_id = 2", "\u{0}"] {
        let problems = problems(&file(text));
        assert!(problems.len() == 1 && problems[0].starts_with("synod.toml:"), "{problems:?}");
        assert!(!problems[0].contains('\n'), "{problems:?}");
    }
    let problems = problems(&file("rack = 2020-01-01\nunknown_section = {}\nlimits = {}\n"));
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("expected a word"), "{problems:?}");
    assert!(problems[1].contains("unknown key \"unknown_section\""), "{problems:?}");
}

#[test]
fn hostile_values_are_escaped_and_cut() {
    let long = format!("\u{1b}[2J{}", "x".repeat(10_000));
    let problems = problems(&env([("SYNOD_LISTEN", &long)]));
    assert!(problems[0].len() < 300, "{}", problems[0].len());
    assert!(problems[0].contains("\\u{1b}[2J"), "{problems:?}");
}

#[test]
fn the_default_file_loads_to_the_defaults_and_names_every_setting() {
    let text = show_default();
    assert_eq!(loaded(&file(&text)).config, Config::default());
    for setting in settings::SETTINGS {
        assert!(text.contains(&setting.env_name()), "{} is missing", setting.key);
    }
}

#[test]
fn the_effective_configuration_loads_to_itself() {
    let layers = Layers {
        file: Some(("f.toml".into(), "rack = 'r'\n[topic_defaults]\nsegment.ms = 5".into())),
        env: strings([("SYNOD_SHARDS", "3")]),
        flags: vec![("--listen".into(), "listen".into(), "[::]:0".into())],
    };
    let first = loaded(&layers);
    let text = show_effective(&first);
    assert_eq!(loaded(&file(&text)).config, first.config);
    assert!(text.contains("listen = \"[::]:0\" # flag --listen\n"), "{text}");
    assert!(text.contains("shards = 3 # environment variable SYNOD_SHARDS\n"), "{text}");
    assert!(text.contains("rack = \"r\" # f.toml:1\n"), "{text}");
    assert!(text.contains("segment.ms = \"5\" # f.toml:3\n"), "{text}");
    let json = show_json(&first);
    assert_eq!(json["shards"]["value"], 3);
    assert_eq!(json["listen"]["source"], "flag --listen");
    assert_eq!(json["advertise"]["value"], serde_json::Value::Null);
    assert_eq!(json["topic_defaults.segment.ms"]["value"], "5");
}

#[test]
fn sizes_times_and_addresses_survive_a_round_trip() {
    for (text, bytes, shown) in [
        ("0", 0, "0"),
        ("1023", 1023, "1023B"),
        ("64 kib", 65_536, "64KiB"),
        ("1MB", 1_000_000, "1000000"),
        ("1048576", 1 << 20, "1MiB"),
        ("16TiB", 16 << 40, "16TiB"),
    ] {
        let size: ByteSize = text.parse().expect(text);
        assert_eq!(size.0, bytes, "{text}");
        assert_eq!(size.to_string().trim_end_matches('B'), shown.trim_end_matches('B'), "{text}");
        assert_eq!(size.to_string().parse(), Ok(size), "{text}");
    }
    for text in ["500ms", "30s", "10m", "1h", "7d", "0ms"] {
        let time = units::parse_duration(text).expect(text);
        assert_eq!(units::show_duration(time), text);
    }
    for text in ["127.0.0.1:9092", "[::1]:0", "[fe80::1]:9", "a-b.example:65535"] {
        let address: HostPort = text.parse().expect(text);
        assert_eq!(address.to_string(), text);
    }
}
