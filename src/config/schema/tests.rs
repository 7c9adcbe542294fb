//! What files come to mean, and which of them ask for parts that are not there.

use std::time::Duration;

use super::read;
use crate::config::{DiskIncludes, ProcessEnvironment, parse_bytes};
use crate::options::{Options, WriteTimeout};

fn options(text: &str) -> Options {
    let document = parse_bytes("f", text.as_bytes(), &ProcessEnvironment, &DiskIncludes).expect(text);
    let outcome = read(&document);
    assert!(outcome.errors.is_empty(), "{text}: {:?}", outcome.errors);
    outcome.options
}

/// Key, part and line of each.
fn unsupported(text: &str) -> Vec<(String, &'static str, usize)> {
    options(text).unsupported.into_iter().map(|found| (found.key, found.part, found.line)).collect()
}

#[test]
fn keys_reach_their_options() {
    let options = options(
        "listen: \"127.0.0.1:-1\"; server_name: a; server_tags: [A, \"b \", a]; trace_verbose: true; logtime: false\n\
         max_conn: 0; max_payload: 8MB; max_sub_tokens: 7; ping_interval: 10s; write_timeout: retry\n\
         authorization { user: u, password: p, timeout: 0.5 }",
    );
    assert_eq!((options.host.as_str(), options.port), ("127.0.0.1", -1));
    assert_eq!(options.server_name.as_deref(), Some("a"));
    assert_eq!(options.server_tags, ["a", "b"]);
    assert!(options.logging.trace && options.logging.trace_verbose && !options.logging.logtime);
    assert_eq!(options.limits.max_connections, -1, "0 admits nobody");
    assert_eq!((options.limits.max_payload, options.limits.max_sub_tokens), (8 * 1024 * 1024, 7));
    assert_eq!(options.timers.ping_interval, Duration::from_secs(10));
    assert_eq!(options.timers.write_timeout, WriteTimeout::Retry);
    assert_eq!(options.auth.user.as_deref(), Some("u"));
    assert_eq!(options.auth_timeout(), Duration::from_millis(500));
    assert!(options.unsupported.is_empty());
    assert!(!format!("{options:?}").contains("\"p\""), "passwords stay out of debug output");
}

#[test]
fn a_cluster_is_kept_in_full() {
    let cluster = options(
        "cluster { name: C, listen: \"127.0.0.1:-1\", routes: [ \"nats://u:p@a:1\", \"nats://b\" ], no_advertise: true\n\
         authorization { user: x, password: y, timeout: 0.5, permissions { publish: \"old\" } }\n\
         permissions { import: [ \"a\", \"b.>\" ], export { allow: \"c\", deny: [ \"c.d\" ] } }\n\
         advertise: \"h:1\", connect_retries: 5, connect_backoff: on, pool_size: 5, accounts: [ A, B ]\n\
         compression { mode: auto, rtt_thresholds: [ \"10ms\", \"20ms\" ] }\n\
         ping_interval: \"5s\", ping_max: 7, write_deadline: \"3s\", write_timeout: close }",
    )
    .cluster;
    assert_eq!((cluster.name.as_deref(), cluster.host.as_str(), cluster.port), (Some("C"), "127.0.0.1", -1));
    let routes: Vec<_> = cluster.routes.iter().map(|route| (route.host.as_str(), route.port)).collect();
    assert_eq!(routes, [("a", Some(1)), ("b", None)]);
    assert_eq!(cluster.user.as_deref(), Some("x"));
    assert_eq!(cluster.auth_timeout(), Duration::from_millis(500));
    let permissions = cluster.permissions.expect("the block's own permissions");
    assert_eq!(permissions.import.allow.as_deref(), Some(&["a".to_owned(), "b.>".to_owned()][..]));
    assert_eq!(
        (permissions.export.allow, permissions.export.deny),
        (Some(vec!["c".to_owned()]), vec!["c.d".to_owned()])
    );
    assert!(cluster.no_advertise && cluster.connect_backoff);
    assert_eq!((cluster.advertise.as_deref(), cluster.connect_retries, cluster.pool_size), (Some("h:1"), 5, 5));
    assert_eq!(cluster.accounts, ["A", "B"]);
    assert_eq!((cluster.compression.mode.as_str(), cluster.compression.rtt_thresholds.len()), ("auto", 2));
    assert_eq!((cluster.ping_interval, cluster.ping_max), (Duration::from_secs(5), 7));
    assert_eq!((cluster.write_deadline, cluster.write_timeout), (Duration::from_secs(3), WriteTimeout::Close));

    let permissions = |text: &str| options(text).cluster.permissions.map(|found| found.import);
    let within = "cluster { authorization { user: x, password: y, permissions { publish: \"old\" } } }";
    assert_eq!(permissions(within).and_then(|rules| rules.allow), Some(vec!["old".to_owned()]));
    assert_eq!(permissions("cluster { permissions { import: [] } }").map(|rules| rules.allow), Some(None));
}

#[test]
fn blocks_of_missing_parts_are_named_with_their_place() {
    assert_eq!(
        unsupported("port: -1\nhttps: \"127.0.0.1:-1\"\nwebsocket { port: -1, no_tls: true }\nleaf { listen: -1 }"),
        [("https".to_owned(), "TLS", 2), ("websocket".to_owned(), "websocket", 3), ("leaf".to_owned(), "leafnodes", 4)]
    );
    let users = "authorization {\n users: [ {user: a, password: b} ]\n}";
    assert_eq!(unsupported(users), [("users".to_owned(), "more than one user", 2)]);
}

#[test]
fn what_is_switched_off_needs_no_part() {
    let harmless = [
        "jetstream: false",
        "jetstream: disabled",
        "jetstream { enabled: false }",
        "store_dir: \"/tmp/x\"",
        "http_port: 0",
        "cluster {}",
        "cluster { name: C }",
        "leafnodes { port: 0 }",
        "syslog: off",
        "proxy_protocol: false",
        "system_account: \"$SYS\"",
        "no_auth_user: \"\"",
        "accounts {}",
        "mappings {}",
        "authorization { users: [] }",
        "ocsp: false",
    ];
    for text in harmless {
        assert_eq!(unsupported(text), [], "{text}");
    }
}

#[test]
fn options_that_contradict_each_other_do_not_start() {
    let gateway = "gateway { name: G }\ncluster { port: -1";
    let named = |text: &str| {
        let mut options = options(text);
        options.validate().map(|()| options.cluster.name).map_err(|error| error.to_string())
    };
    assert_eq!(named(&format!("{gateway} }}")), Ok(Some("G".to_owned())));
    assert!(named(&format!("{gateway}, name: C }}")).is_err());
    let refusal = |text: &str| options(text).validate().map_err(|error| error.to_string());
    assert_eq!(refusal("port: 1"), Ok(()));
    assert_eq!(
        refusal("lame_duck_duration: \"30s\"; lame_duck_grace_period: \"30s\""),
        Err("lame duck grace period (30s) should be strictly lower than lame duck duration (30s)".to_owned())
    );
    assert_eq!(
        refusal("max_pending: 10"),
        Err("max_payload (1048576) cannot be higher than max_pending (10)".to_owned())
    );
}

#[test]
fn zeros_mean_the_default() {
    let mut options = options("port: 0; max_payload: 0; max_pending: 0; ping_max: 0; write_deadline: \"0s\"");
    options.fill_defaults();
    let default = Options::default();
    assert_eq!((options.port, options.limits.max_payload), (default.port, default.limits.max_payload));
    assert_eq!(options.limits.max_pending, default.limits.max_pending);
    assert_eq!(options.timers.ping_max, default.timers.ping_max);
    assert_eq!(options.timers.write_deadline, default.timers.write_deadline);
}
