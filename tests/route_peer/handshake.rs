//! How a peer introduces itself: what is accepted and what is not.

use anyhow::{Context, Result, ensure};
use pinmesh_harness::cluster::CLUSTER_NAME;
use pinmesh_harness::{Introduction, Kind, ScriptedRoute};
use serde_json::{Value, json};

use crate::scene::{OURS, Scene};
use crate::streams::{Case, Outcome, after_joining, compare, outcome};

/// What comes of the first words on a new connection.
fn when_dialled(scene: &Scene, case: &Case, expected: Option<&Outcome>) -> Result<Outcome> {
    outcome(scene, |scene, _| scene.dial(), case, expected)
}

/// CONNECT and INFO as they should be, but for one field.
fn with_field(name: &str, which: &str, field: &str, value: Value) -> Case {
    let peer = match which {
        "CONNECT" => Introduction::new().connect(field, value),
        _ => Introduction::new().info(field, value),
    };
    Case { name: name.to_owned(), bytes: [peer.connect_line(), peer.info_line()].concat().into_bytes(), peer }
}

/// Something else than CONNECT and INFO, made of them.
fn with_lines(name: &str, lines: impl Fn(&str, &str) -> String) -> Case {
    let peer = Introduction::new();
    let bytes = lines(&peer.connect_line(), &peer.info_line()).into_bytes();
    Case { name: name.to_owned(), peer, bytes }
}

/// What peers without credentials say.
fn introductions(scene: &Scene) -> Vec<Case> {
    let mut cases = vec![
        with_lines("as it should be", |connect, info| format!("{connect}{info}")),
        with_lines("INFO first", |connect, info| format!("{info}{connect}")),
        with_lines("PING first", |connect, info| format!("PING\r\n{connect}{info}")),
        with_lines("PONG first", |connect, info| format!("PONG\r\n{connect}{info}")),
        with_lines("RS+ first", |connect, info| format!("RS+ $G foo\r\n{connect}{info}")),
        with_lines("garbage first", |_, _| "FOO\r\n".to_owned()),
        with_lines("something else that begins with C", |_, _| "CXNNECT {}\r\n".to_owned()),
        with_lines("a client", |_, _| "CONNECT {\"lang\":\"go\",\"verbose\":false}\r\nPING\r\n".to_owned()),
        with_lines("no JSON", |_, info| format!("CONNECT {{foo\r\n{info}")),
        with_lines("an unfinished object", |_, info| format!("CONNECT {{\r\n{info}")),
        with_lines("nothing in CONNECT", |_, info| format!("CONNECT {{}}\r\n{info}")),
        with_lines("an array for INFO", |connect, _| format!("{connect}INFO []\r\n")),
        with_lines("lower case and bare LF", |connect, info| {
            format!("{connect}{info}").replace("CONNECT", "connect").replace("INFO", "info").replace("\r\n", "\n")
        }),
        with_lines("CONNECT twice", |connect, info| format!("{connect}{connect}{info}")),
        with_lines("another cluster in the second CONNECT", |connect, info| {
            format!("{connect}{}{info}", connect.replace(CLUSTER_NAME, "other"))
        }),
        with_lines("-ERR in place of INFO", |connect, _| format!("{connect}-ERR 'boom'\r\n")),
        with_lines("blanks in front", |connect, info| {
            format!("{connect}{info}").replace(" {", " \t  {").replace("}\r\n", "} \t \r\n")
        }),
    ];
    for (name, field, value) in [
        ("another cluster", "cluster", json!("other")),
        ("an empty cluster", "cluster", json!("")),
        ("no cluster", "cluster", json!(null)),
        ("another cluster whose name was made up", "cluster_dynamic", json!(true)),
        ("a language", "lang", json!("go")),
        ("an account", "account", json!("X")),
        ("a new account", "new_account", json!(true)),
        ("a gateway", "gateway", json!("G")),
        ("another name", "name", json!("NOTHER")),
        ("no name", "name", json!(null)),
        ("headers of the wrong type", "headers", json!("yes")),
        ("a cluster of the wrong type", "cluster", json!(7)),
        ("a version of the wrong type", "version", json!(1)),
        ("a strange protocol", "protocol", json!(99)),
        ("an unknown field", "x_foo", json!({"a": [1, 2]})),
        ("verbose", "verbose", json!(true)),
        ("a user whom nobody asked for", "user", json!("u")),
    ] {
        cases.push(with_field(&format!("CONNECT with {name}"), "CONNECT", field, value));
    }
    for (name, field, value) in [
        ("another cluster", "cluster", json!("other")),
        ("no cluster", "cluster", json!(null)),
        ("an empty cluster", "cluster", json!("")),
        ("the id of the server", "server_id", json!(scene.id())),
        ("the name of the server", "server_name", json!("the-server")),
        ("an empty name", "server_name", json!("")),
        ("a port of the wrong type", "port", json!("1")),
        ("no port", "port", json!(null)),
        ("another proto", "proto", json!(0)),
        ("an unknown field", "x_foo", json!("z")),
        ("a private field of nonsense", "x_pinmesh_route", json!({"v": "?"})),
        ("an unknown compression", "compression", json!("zstd")),
        ("compression off", "compression", json!("off")),
        ("compression that agrees on none", "compression", json!("accept")),
        ("a gossip mode", "gossip_mode", json!(2)),
        ("a gossip mode that is too large", "gossip_mode", json!(300)),
        ("an account without a pool", "route_account", json!("$SYS")),
        ("a pool index without a pool", "route_pool_idx", json!(1)),
        ("a pool of one", "route_pool_size", json!(1)),
        ("a pool of eight", "route_pool_size", json!(8)),
        ("a negative pool", "route_pool_size", json!(-1)),
        ("a gateway", "gateway", json!("G")),
        ("a request to add an account", "route_acc_add_reqid", json!("x")),
        ("long, but not too long", "x_pad", json!("y".repeat(60_000))),
        ("too long", "x_pad", json!("y".repeat(70_000))),
    ] {
        cases.push(with_field(&format!("INFO with {name}"), "INFO", field, value));
    }
    for (index, account) in [
        (json!(5), json!(null)),
        (json!(-1), json!(null)),
        (json!(2), json!(null)),
        (json!(null), json!("$SYS")),
        (json!(null), json!("$G")),
        (json!(null), json!("NOPE")),
    ] {
        let name = format!("a pool of three, index {index}, account {account}");
        let peer = Introduction::new()
            .info("route_pool_size", json!(3))
            .info("route_pool_idx", index)
            .info("route_account", account);
        let bytes = [peer.connect_line(), peer.info_line()].concat().into_bytes();
        cases.push(Case { name, peer, bytes });
    }
    cases
}

#[test]
fn introductions_of_peers() -> Result<()> {
    compare(|kind| Scene::start(kind, "", ""), introductions, when_dialled)
}

/// A peer says again who it is, and that it is somebody else.
#[test]
fn second_introductions_of_peers() -> Result<()> {
    let cases = |_: &Scene| {
        let case = |(name, field, value): (&str, &str, Value)| {
            let peer = Introduction::new();
            let bytes = peer.clone().connect(field, value).connect_line().into_bytes();
            Case { name: name.to_owned(), peer, bytes }
        };
        vec![
            case(("as before", "x_foo", json!(1))),
            case(("another cluster", "cluster", json!("other"))),
            case(("an empty cluster", "cluster", json!(""))),
            case(("no cluster", "cluster", json!(null))),
            case(("another name", "name", json!("NOTHER"))),
            case(("a language", "lang", json!("go"))),
            case(("an account", "account", json!("X"))),
            case(("a gateway", "gateway", json!("G"))),
            case(("a user", "user", json!("u"))),
            case(("headers of the wrong type", "headers", json!("yes"))),
        ]
    };
    compare(|kind| Scene::start(kind, "", ""), cases, after_joining)
}

/// Of the credentials, those that are not said again are as they were.
#[test]
fn second_introductions_where_a_password_is_needed() -> Result<()> {
    let start = |kind| Scene::start(kind, "authorization { user: someone, password: secret }", "");
    let cases = |_: &Scene| {
        let case = |(name, user, password): (&str, Value, Value)| {
            let peer = Introduction::new().connect("user", json!("someone")).connect("pass", json!("secret"));
            let bytes = peer.clone().connect("user", user).connect("pass", password).connect_line().into_bytes();
            Case { name: name.to_owned(), peer, bytes }
        };
        vec![
            case(("both", json!("someone"), json!("secret"))),
            case(("neither", json!(null), json!(null))),
            case(("no password", json!("someone"), json!(null))),
            case(("no user", json!(null), json!("secret"))),
            case(("another user", json!("other"), json!(null))),
            case(("a wrong password", json!(null), json!("guessed"))),
        ]
    };
    compare(start, cases, after_joining)
}

/// What servers without pools of routes say to peers with and without.
#[test]
fn introductions_to_a_server_without_pools() -> Result<()> {
    let cases = |_: &Scene| {
        vec![
            with_lines("as it should be", |connect, info| format!("{connect}{info}")),
            with_field("a pool of three", "INFO", "route_pool_size", json!(3)),
            with_field("an account", "INFO", "route_account", json!("$SYS")),
        ]
    };
    let dial = |scene: &Scene, _: &Introduction| ScriptedRoute::dial(scene.member.seat.route);
    compare(
        |kind| Scene::start(kind, "pool_size: -1", ""),
        cases,
        |scene, case, expected| outcome(scene, dial, case, expected),
    )
}

/// Users, with and without the right password, and those who take too long to name one.
#[test]
fn introductions_to_a_server_with_a_password() -> Result<()> {
    let start = |kind| Scene::start(kind, "authorization { user: someone, password: secret, timeout: 1 }", "");
    let cases = |_: &Scene| {
        let with = |name: &str, user: Value, password: Value| {
            let peer = Introduction::new().connect("user", user).connect("pass", password);
            let bytes = [peer.connect_line(), peer.info_line()].concat().into_bytes();
            Case { name: name.to_owned(), peer, bytes }
        };
        let mut more_than_one = with("a user, a token and an nkey", json!("other"), json!("secret"));
        let peer = more_than_one.peer.connect("auth_token", json!("secret")).connect("nkey", json!("UX"));
        more_than_one.bytes = [peer.connect_line(), peer.info_line()].concat().into_bytes();
        more_than_one.peer = peer;
        vec![
            with("the right one", json!("someone"), json!("secret")),
            with("a wrong password", json!("someone"), json!("guessed")),
            with("no password", json!("someone"), json!(null)),
            with("another user", json!("other"), json!("secret")),
            with("nobody", json!(null), json!(null)),
            with("a password without a user", json!(""), json!("secret")),
            with("a user with strange letters", json!("a\"b\u{e9}\n"), json!("x")),
            with_field("a token", "CONNECT", "auth_token", json!("secret")),
            with_field("an nkey", "CONNECT", "nkey", json!("UX")),
            with_field("a JWT", "CONNECT", "jwt", json!("eyJ")),
            more_than_one,
            with_lines("PING first", |connect, info| format!("PING\r\n{connect}{info}")),
        ]
    };
    compare(start, cases, when_dialled)
}

/// Who says nothing at all is not waited for.
#[test]
fn silence_where_a_password_is_needed() -> Result<()> {
    let silence = |kind| -> Result<Vec<String>> {
        let scene = Scene::start(kind, "authorization { user: someone, password: secret, timeout: 0.5 }", "")?;
        let mut route = scene.dial()?;
        let address = route.local_address()?;
        let mut told = scene.transcript(&route.until_closed()?, &[]);
        told.append(&mut scene.log_of(address, 0, &[], |_| true));
        Ok(told)
    };
    let (expected, got) = (silence(Kind::Reference)?, silence(OURS)?);
    ensure!(got == expected, "     ours: {got:?}\nreference: {expected:?}");
    Ok(())
}

/// The first word of a server to whoever dials.
#[test]
fn greetings() -> Result<()> {
    for (cluster, other) in [
        ("", ""),
        ("authorization { user: someone, password: secret }", ""),
        ("pool_size: 5", "max_payload: 4711"),
        ("no_advertise: true", ""),
        ("advertise: \"somewhere.example:4711\"", "client_advertise: \"elsewhere.example:4712\""),
        ("compression: s2_fast", ""),
        ("compression: off", ""),
        ("permissions { import: { deny: \"a.>\" }, export: [\"b.*\"] }", ""),
    ] {
        let greeting = |kind| -> Result<Vec<String>> {
            let scene = Scene::start(kind, cluster, other)?;
            let mut route = ScriptedRoute::dial(scene.member.seat.route)?;
            let greeting = route.hear()?.context("closed in place of INFO")?;
            Ok(scene.transcript(&[greeting], &[]))
        };
        let (expected, got) = (greeting(Kind::Reference)?, greeting(OURS)?);
        ensure!(got == expected, "{cluster} {other}:\n     ours: {got:?}\nreference: {expected:?}");
    }
    Ok(())
}
