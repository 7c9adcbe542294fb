//! The monitoring port, beside the reference's: the same scenario on both, the same requests, and what they answer compared.
//!
//! What cannot be alike is made alike first: ids, times, ports, sizes of the process, the numbers of connections (the reference's own
//! clients take some), and the order of subscriptions, which is nobody's promise.

mod cluster;
mod http;
mod scene;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};

use anyhow::{Context, Result};
use pinmesh_harness::{Client, Side, eventually};
use proptest::prelude::*;
use regex::Regex;
use serde_json::{Map, Value};

use http::{connect, exchange, get, get_json, read_answer};
use scene::{Scene, closed_connections};

/// Without its system account the reference has no subscriptions of its own.
const CONFIG: &str = "port: -1\nhost: \"127.0.0.1\"\nhttp: \"127.0.0.1:-1\"\nno_sys_acc: true\nserver_name: mon\n\
                      server_tags: [\"A:1\", b]\nserver_metadata { zone: \"<x>\" }\n";

/// Each of these is asked of both.
const PATHS: &str = "/varz|/connz|/connz?subs=1|/connz?subs=detail|/connz?subs=Detail|/connz?auth=1|/connz?auth=1&subs=detail|
/connz?state=closed|/connz?state=closed&subs=1&auth=1|/connz?state=closed&subs=detail|/connz?state=any&subs=1|/connz?state=ALL|
/connz?state=Open|/connz?state=CLOSED&sort=stop|/connz?state=closed&sort=reason|/connz?state=any&sort=stop|/connz?sort=stop|
/connz?sort=reason|/connz?cid={a}&subs=1|/connz?cid={gone}|/connz?cid={gone}&state=closed|/connz?cid={gone}&state=any&auth=1|
/connz?cid=999|/connz?cid=0|/connz?limit=1|/connz?limit=2&offset=1|/connz?offset=100|/connz?offset=-5|/connz?limit=-5|/connz?limit=0|
/connz?user=bob|/connz?user=bob&auth=1|/connz?user=u1&state=closed|/connz?user=nobody|/connz?auth=1&acc=$G|/connz?acc=NOPE|
/connz?acc=NOPE&sort=foo|/connz?user=bob&acc=NOPE&limit=3|/connz?mqtt_client=x|/connz?sort=cid|/connz?sort=start|/connz?sort=uptime|
/connz?sort=|/connz?sort=CID|/connz?subs=&limit=&state=|/connz?sort=msgs_to&limit=2|/connz?sort=bytes_to&limit=2|
/connz?sort=msgs_from&limit=1|/connz?sort=bytes_from&limit=1|/connz?sort=subs&limit=2|/connz?filter_subject=foo.bar|
/connz?callback=cb|/connz?subs=2|/connz?auth=x|/connz?offset=x|/connz?limit=x|/connz?limit=1.5|/connz?limit=0x10|/connz?limit=+5|
/connz?limit=%2b1|/connz?limit=%ff|/connz?limit=%32|/connz?limit=%zz|/connz?limit=99999999999999999999|/connz?cid=-1|/connz?cid=%2b1|
/connz?cid=99999999999999999999|/connz?state=foo|/connz?state=%3cx%3e|/connz?sort=foo|/connz?sort=%3Cfoo|/connz?cid=x&limit=y&sort=zz|
/connz?sort=zz&limit=y|/connz?subs=1&subs=x|/connz?limit=1;offset=1|/connz/|/Connz|
/subsz|/subsz?subs=1|/subscriptionsz?subs=true|/subsz?subs=detail|/subsz?subs=1&offset=2|/subsz?subs=1&offset=10|/subsz?test=foo.bar|
/subsz?subs=1&test=foo.bar|/subsz?subs=1&test=bar|/subsz?subs=1&test=nope|/subsz?test=foo.*|/subsz?test=a..b|/subsz?test=%3e|
/subsz?test=a+b|/subsz?acc=$G&subs=1|/subsz?acc=NOPE&subs=1|/subsz?limit=-1&subs=1|/subsz?offset=-3|/subsz?limit=x|/subsz?offset=y|
/subsz?subs=maybe|/routez|/routez?subs=1|/routez?subs=detail|/routez?subs=x|/accountz|/accountz?acc=$G|/accountz?acc=NOPE|/accstatz|
/accstatz?unused=1|/accstatz?unused=x|/healthz|/healthz?details=true|/healthz?js-enabled=true|/healthz?js-enabled-only=true|
/healthz?js-server-only=true|/healthz?js-meta-only=true|/healthz?details=x|/healthz?js-enabled=x|/healthz?js-enabled-only=x|
/healthz?js-server-only=x|/healthz?js-meta-only=x|/healthz?stream=x|/healthz?stream=x&details=true|/healthz?account=a|
/healthz?account=a&consumer=c|/healthz?consumer=c&details=1|/healthz?account=a&stream=s&consumer=c|/leafz|/leafz?subs=x|/leafz?acc=a|
/gatewayz|/gatewayz?accs=x|/gatewayz?subs=q|/gatewayz?gw_name=x|/jsz|/jsz?acc=x|/jsz?streams=x|/jsz?limit=x|/raftz|/ipqueuesz|
/ipqueuesz?all=x|/nope|/varz/|/streamz|/varz?x=%zz|/%76arz|//varz?x=1|/a/../varz|/../varz|/.|/a%20b//|/%3Cb%3E//?%3cq%3e=1&y='|
//x%0D%0AY:%20z/";

#[test]
fn answers_are_the_references() -> Result<()> {
    for shards in [1, 4] {
        let scenes = Scene::both(shards, CONFIG)?;
        for path in PATHS.split('|').map(str::trim) {
            let [ours, reference] = scenes.each_ref().map(|scene| scene.normalised(path));
            assert_eq!(ours, reference, "{shards} shards, {path}");
        }
    }
    Ok(())
}

/// Whom they say they were, why they were closed, what waited for them: refused for every reason that a client can give.
#[test]
fn refused_clients_are_remembered_like_the_references() -> Result<()> {
    let config = format!("{CONFIG}max_payload: 100\nauthorization {{ user: u, password: p }}\n");
    for shards in [1, 3] {
        let scenes = Side::BOTH.map(|side| -> Result<Scene> {
            let server = side.server().shards(shards).without_listen_flags().config(&*config).start();
            let mut clients = Vec::new();
            let mut first_cid = None;
            for options in [
                r#""user":"u","pass":"p","name":"ok","nkey":"UABC""#,
                r#""user":"nobody","pass":"x","name":"bad""#,
                r#""auth_token":"zz","name":"badtok""#,
                r#""name":"nothing""#,
                r#""user":"u","pass":"p","protocol":9"#,
                r#""user":"u","pass":"p","no_responders":true"#,
                r#""user":"u","pass":"p","name":"","lang":"""#,
            ] {
                let mut client = Client::open(server.address())?;
                if first_cid.is_none() {
                    let info: Value = serde_json::from_str(client.info())?;
                    first_cid = Some(info["client_id"].as_u64().context("no client_id")?);
                }
                client.send(format!("CONNECT {{\"verbose\":false,{options}}}\r\nPING\r\n").as_bytes())?;
                // A PONG, or the last words and then nothing.
                while client.frame().is_ok_and(|frame| frame != pinmesh_harness::Frame::Pong) {}
                clients.push(client);
            }
            let known = r#"{"verbose":false,"user":"u","pass":"p"}"#;
            for mistake in [format!("PUB a 999\r\n{:999}", ""), format!("SUB {} 1\r\n", "a".repeat(5000))] {
                let mut client = Client::connect_with(server.address(), known)?;
                // It may be closed before all is sent.
                let _ = client.send(mistake.as_bytes());
                while client.frame().is_ok() {}
            }
            closed_connections(&server, 7);
            Ok(Scene { server, _clients: clients, first_cid: first_cid.context("no client")? })
        });
        let [ours, reference] = scenes;
        let (ours, reference) = (ours?, reference?);
        for path in [
            "/connz?auth=1",
            "/connz?state=closed&auth=1",
            "/connz?state=closed&sort=reason",
            "/connz?state=any&user=u",
        ] {
            assert_eq!(ours.normalised(path), reference.normalised(path), "{shards} shards, {path}");
        }
    }
    Ok(())
}

#[test]
fn fields_stand_in_the_references_order() -> Result<()> {
    let scenes = Scene::both(1, CONFIG)?;
    let name = Regex::new(r#"(?m)^ *"[^"]*": "#)?;
    for path in [
        "/varz",
        "/connz?state=any&auth=1&subs=detail&limit=2",
        "/subsz?subs=1&test=bar",
        "/routez",
        "/jsz",
        "/accountz?acc=$G",
    ] {
        let [ours, reference] = scenes.each_ref().map(|scene| {
            let text = get(&scene.server, path).text();
            name.find_iter(&text).map(|found| found.as_str().to_owned()).collect::<Vec<_>>()
        });
        let known = |names: &[String]| names.iter().filter(|name| !name.contains("max\"")).cloned().collect::<Vec<_>>();
        if path.starts_with("/connz") {
            // Whose subscriptions come first is left to chance.
            assert_eq!(ours.len(), reference.len(), "{path}");
        } else {
            assert_eq!(known(&ours), known(&reference), "{path}");
        }
    }
    Ok(())
}

#[test]
fn requests_are_counted_as_in_the_reference() -> Result<()> {
    let counts = Side::BOTH.map(|side| {
        let server = side.server().without_listen_flags().config(CONFIG).start();
        for path in [
            "/",
            "/connz",
            "/connz?limit=x",
            "/connz?sort=foo",
            "/subsz?limit=x",
            "/subscriptionsz",
            "/routez",
            "/routez?subs=x",
            "/leafz?subs=x",
            "/gatewayz?accs=x",
            "/accountz?acc=z",
            "/accstatz?unused=x",
            "/jsz?limit=x",
            "/healthz?details=x",
            "/raftz",
            "/ipqueuesz",
            "/nope",
            "/connz/",
            "//connz",
        ] {
            get(&server, path);
        }
        get_json(&server, "/varz")["http_req_stats"].clone()
    });
    assert_eq!(counts[0], counts[1]);
    Ok(())
}

#[test]
fn says_what_it_was_configured_to() -> Result<()> {
    let configs = [
        "port: -1\nhost: 127.0.0.1\nhttp_port: -1\nno_sys_acc: true\nmax_subs: 5\nwrite_timeout: retry\nmax_payload: 100\n\
         authorization { token: abc, timeout: 1.5 }\nping_interval: \"90s\"\nfeature_flags { js_ack_fc_v2: true, foo: true }\n",
        "port: -1\nhost: 127.0.0.1\nmonitor_port: -1\nno_sys_acc: true\nmax_connections: 0\nmax_payload: -1\nwrite_timeout: close\n\
         client_advertise: \"example.org:5\"\nauthorization { user: u, password: p }\nmax_control_line: 512\nping_max: 7\n",
    ];
    for config in configs {
        let answers = Side::BOTH.map(|side| {
            let server = side.server().without_listen_flags().config(config).start();
            let mut varz = get_json(&server, "/varz");
            let kept: Map<String, Value> = std::mem::take(varz.as_object_mut().expect("an object"))
                .into_iter()
                .filter(|(name, _)| {
                    let of_process =
                        ["mem", "cpu", "cores", "gomaxprocs", "go", "git_commit", "start", "now", "uptime"];
                    let of_start = ["server_id", "server_name", "config_load_time"];
                    // The port is the kernel's, unless it is advertised.
                    !of_process.contains(&name.as_str())
                        && !of_start.contains(&name.as_str())
                        && (name != "port" || config.contains("advertise"))
                })
                .collect();
            kept
        });
        assert_eq!(answers[0], answers[1]);
    }
    Ok(())
}

#[test]
fn base_path() {
    for base in ["nats/", "/nats", "/a/b", "/", ""] {
        let config = format!("{CONFIG}http_base_path: \"{base}\"\n");
        let answers = Side::BOTH.map(|side| {
            let server = side.server().without_listen_flags().config(&config).start();
            [
                "/",
                "/nats",
                "/nats/",
                "/nats/healthz",
                "/healthz",
                "/natshealthz",
                "//nats/healthz",
                "/a/b",
                "/a/b/healthz",
            ]
            .map(|path| {
                let answer = get(&server, path);
                // The page for people is our own.
                (answer.status, answer.headers, if answer.body.len() > 100 { Vec::new() } else { answer.body })
            })
        });
        assert_eq!(answers[0], answers[1], "{base:?}");
    }
}

#[test]
fn http_is_spoken_like_the_references() -> Result<()> {
    let servers = Side::BOTH.map(|side| side.server().without_listen_flags().config(CONFIG).start());
    let host = "Host: x\r\n";
    let requests = [
        format!("GET /healthz HTTP/1.1\r\n{host}\r\n"),
        format!("HEAD /healthz HTTP/1.1\r\n{host}\r\n"),
        format!("HEAD /nope HTTP/1.1\r\n{host}\r\n"),
        format!("FOO /healthz HTTP/1.1\r\n{host}\r\n"),
        format!("OPTIONS * HTTP/1.1\r\n{host}\r\n"),
        format!("OPTIONS /healthz HTTP/1.1\r\n{host}\r\n"),
        format!("POST /healthz HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\nabc"),
        format!("POST //healthz HTTP/1.1\r\n{host}\r\n"),
        format!("GET http://foo/healthz HTTP/1.1\r\n{host}\r\n"),
        format!("GET /healthz HTTP/1.2\r\n{host}\r\n"),
        format!("GET /healthz HTTP/2.0\r\n{host}\r\n"),
        format!("GET healthz HTTP/1.1\r\n{host}\r\n"),
        format!("GET /%zz HTTP/1.1\r\n{host}\r\n"),
        format!("GET /healthz HTTP/1.1\r\n{host}Connection: close\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\n{host}Host: y\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\n{host}X : b\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\n{host}X: \x01\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\n{host}nonsense\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\n{host}Content-Length: x\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\n{host}Transfer-Encoding: gzip\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\n{host}Expect: foo\r\n\r\n"),
        "GET /healthz HTTP/1.0\r\n\r\n".to_owned(),
        "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(),
        "GET /healthz HTTP/1.1\r\n\r\n".to_owned(),
        "GET /healthz HTTP/1.1\nHost: a\n\n".to_owned(),
        "GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(),
        "GET /healthz HTTP/1.1\r\n folded: a\r\n\r\n".to_owned(),
        "GET /healthz\r\n\r\n".to_owned(),
        "garbage\r\n\r\n".to_owned(),
        "\x16\x03\x01\r\n\r\n".to_owned(),
    ];
    for request in &requests {
        let [ours, reference] = servers.each_ref().map(|server| exchange(server.monitor_address(), request.as_bytes()));
        assert_eq!(ours?, reference?, "{request:?}");
    }
    Ok(())
}

#[test]
fn a_connection_serves_many_requests() -> Result<()> {
    let server = Side::Ours.server().arg("-m").arg("-1").start();
    let mut stream = connect(server.monitor_address())?;
    stream.write_all(b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /var")?;
    assert_eq!(read_answer(&mut stream, true)?.text(), r#"{"status":"ok"}"#);
    stream.write_all(b"z HTTP/1.1\r\nHost: x\r\n\r\n")?;
    assert_eq!(read_answer(&mut stream, true)?.json()["proto"], 1);
    // A head longer than a read, and one that is too long.
    stream.write_all(format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(30_000)).as_bytes())?;
    assert_eq!(read_answer(&mut stream, true)?.status, "HTTP/1.1 200 OK");
    stream.write_all(format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(70_000)).as_bytes())?;
    let refused = read_answer(&mut stream, true)?;
    assert_eq!(refused.status, "HTTP/1.1 431 Request Header Fields Too Large");
    Ok(())
}

#[test]
fn counters_outlive_connections_and_add_up_over_shards() -> Result<()> {
    for shards in [1, 2, 4] {
        let server = Side::Ours.server().shards(shards).arg("-m").arg("-1").start();
        let mut subscribers = (0..8).map(|_| Client::connect(server.address())).collect::<Result<Vec<_>>>()?;
        for subscriber in &mut subscribers {
            subscriber.subscribe("a.*", "", 1)?;
            subscriber.flush()?;
        }
        for round in 0..10 {
            let mut publisher = Client::connect(server.address())?;
            for _ in 0..round {
                publisher.publish("a.b", "", b"12345");
            }
            publisher.flush()?;
        }
        for subscriber in &mut subscribers {
            for _ in 0..45 {
                subscriber.message()?;
            }
        }
        drop(subscribers.pop());
        closed_connections(&server, 11);
        let varz = get_json(&server, "/varz");
        for (name, expected) in [
            ("in_msgs", 45),
            ("in_bytes", 225),
            ("out_msgs", 360),
            ("out_bytes", 1800),
            ("in_client_msgs", 45),
            ("out_client_bytes", 1800),
            ("connections", 7),
            ("total_connections", 18),
            ("subscriptions", 7),
            ("gomaxprocs", shards as u64),
        ] {
            assert_eq!(varz[name].as_u64(), Some(expected), "{shards} shards, {name}");
        }
        let connz = get_json(&server, "/connz?state=any&sort=cid&subs=1");
        let list = connz["connections"].as_array().context("connections")?;
        let cids: Vec<u64> = list.iter().filter_map(|connection| connection["cid"].as_u64()).collect();
        assert!(cids.len() == 18 && cids.is_sorted(), "{cids:?}");
        assert_eq!(list.iter().filter(|connection| connection["subscriptions_list"][0] == "a.*").count(), 8);
        assert_eq!(
            get_json(&server, "/subsz?subs=1&offset=5&limit=5")["subscriptions_list"].as_array().map(Vec::len),
            Some(2)
        );
        // Pages put together are the whole, in every order that time alone does not change.
        for sort in ["cid", "start", "subs", "msgs_to", "msgs_from", "bytes_to", "bytes_from", "last", "rtt", "pending"]
        {
            let mut seen = BTreeSet::new();
            for offset in (0..18).step_by(5) {
                let page = get_json(&server, &format!("/connz?state=any&sort={sort}&limit=5&offset={offset}"));
                let page = page["connections"].as_array().cloned().unwrap_or_default();
                seen.extend(page.iter().filter_map(|connection| connection["cid"].as_u64()));
            }
            assert_eq!(seen.len(), 18, "{shards} shards, {sort}");
        }
    }
    Ok(())
}

#[test]
fn only_so_many_closed_connections_are_remembered() -> Result<()> {
    for side in Side::BOTH {
        let config = format!("{CONFIG}max_closed_clients: 3\n");
        let server = side.server().shards(1).without_listen_flags().config(config).start();
        for number in 0..6 {
            drop(Client::connect_with(server.address(), &format!(r#"{{"verbose":false,"name":"n{number}"}}"#))?);
        }
        let names = eventually("the last three", || {
            let closed = get_json(&server, "/connz?state=closed");
            let names: Vec<String> = closed["connections"]
                .as_array()?
                .iter()
                .filter_map(|connection| connection["name"].as_str().map(str::to_owned))
                .collect();
            names.contains(&"n5".to_owned()).then_some(names)
        });
        assert_eq!(names.len(), 3, "{side}: {names:?}");
    }
    Ok(())
}

#[test]
fn a_port_in_use_is_a_fatal_error_in_the_references_words() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    for http in [
        format!("http: \"{}\"", taken.local_addr()?),
        "http_port: 99999".to_owned(),
        "http: \"127.0.0.1:-5\"".to_owned(),
    ] {
        let config = format!("port: -1\nhost: 127.0.0.1\n{http}\n");
        let [ours, reference] = Side::BOTH.map(|side| {
            let finished = side.server().without_listen_flags().config(&*config).run();
            let fatal =
                finished.stderr.lines().find_map(|line| line.split_once("[FTL] ")).map(|(_, text)| text.to_owned());
            (finished.status.code(), fatal)
        });
        assert!(ours.1.is_some());
        assert_eq!(ours, reference, "{http}");
    }
    Ok(())
}

#[test]
fn flags_and_keys_switch_it_on_and_off() {
    for (config, arguments, on) in [
        ("port: -1", &["-m", "-1"][..], true),
        ("port: -1\nhttp_port: 99999", &["--http_port", "-1"], true),
        ("port: -1\nhttp: -1", &["-m", "0"], false),
        ("port: -1", &[], false),
    ] {
        for side in Side::BOTH {
            let server = side.server().config(config).args(["-a", "127.0.0.1"]).args(arguments).start();
            let shown = server.log().contains("Starting http monitor on 127.0.0.1:");
            assert_eq!(shown, on, "{side}: {config} {arguments:?}");
            if on {
                assert_eq!(get(&server, "/healthz").text(), r#"{"status":"ok"}"#);
            }
        }
    }
}

#[test]
fn https_is_refused_until_there_is_tls() {
    let flag = Side::Ours.server().args(["-ms", "8222"]).run();
    assert!(
        flag.stderr.contains("-ms, --https_port needs TLS, which this server does not support yet"),
        "{}",
        flag.stderr
    );
    let key = Side::Ours.server().config("https: \"127.0.0.1:8222\"\n").run();
    assert!(key.stderr.contains("\"https\" needs TLS, which this server does not support yet"), "{}", key.stderr);
}

#[test]
fn the_ports_file_names_it() {
    let config = "port: -1\nhost: 127.0.0.1\nhttp: \"localhost:-1\"\nports_file_dir: \".\"\n";
    let [ours, reference] = Side::BOTH.map(|side| {
        let server = side.server().without_listen_flags().config(config).start();
        let text = eventually("a ports file", || {
            let mut files = std::fs::read_dir(server.dir()).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
            std::fs::read_to_string(files.find(|path| path.extension().is_some_and(|end| end == "ports"))?).ok()
        });
        Regex::new(r"\d{2,}").expect("a pattern").replace_all(&text, "N").into_owned()
    });
    assert_eq!(ours, reference);
}

#[test]
fn idle_and_slow_clients_do_not_keep_others_out() -> Result<()> {
    let server = Side::Ours.server().arg("-m").arg("-1").start();
    // More than it serves at once; each says half a head and no more.
    let mut crowd = Vec::new();
    for _ in 0..100 {
        let mut stream = connect(server.monitor_address())?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost:")?;
        crowd.push(stream);
    }
    assert_eq!(get(&server, "/healthz").text(), r#"{"status":"ok"}"#);
    // The clients' port never noticed.
    Client::connect(server.address())?.flush()?;
    Ok(())
}

/// Lines that are almost a request.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(b"GET".to_vec()),
        Just(b" ".to_vec()),
        Just(b"/connz?subs=1".to_vec()),
        Just(b"HTTP/1.1".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"Host: x".to_vec()),
        Just(b"Content-Length: 99999999999999999999".to_vec()),
        Just(b"Content-Length: 5".to_vec()),
        Just(b"Transfer-Encoding: chunked".to_vec()),
        Just(b":".to_vec()),
        Just(b"%2e%2e/".to_vec()),
        Just(b"?&=;%".to_vec()),
        Just(
            b"GET /subsz?offset=9223372036854775807&limit=9223372036854775807&subs=1 HTTP/1.1\r\nHost: x\r\n\r\n"
                .to_vec()
        ),
        Just(
            b"GET /connz?offset=9223372036854775807&limit=1&state=any&cid=18446744073709551615 HTTP/1.0\r\n\r\n"
                .to_vec()
        ),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec(word, 0..30).prop_map(|words| words.concat())
}

#[test]
fn hostile_bytes_hurt_nobody() -> Result<()> {
    let server = Side::Ours.server().shards(2).arg("-m").arg("-1").start();
    let _client = Client::connect(server.address())?;
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let outcome = runner.run(&hostile(), |bytes| {
        let mut stream = connect(server.monitor_address()).expect("the port listens");
        // It may have closed before all was sent.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        prop_assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&answer));
        Ok(())
    });
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(get(&server, "/healthz").text(), r#"{"status":"ok"}"#);
    assert!(!server.log().contains("panicked"), "{}", server.log());
    Ok(())
}
