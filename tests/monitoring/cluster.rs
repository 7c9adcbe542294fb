//! The monitoring of servers in clusters: what one of ours says of its routes is what the reference says in its place.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use pinmesh_harness::cluster::{line_up, routes};
use pinmesh_harness::{Client, DEADLINE, Kind, Member, Seat, poll_until};
use serde_json::{Value, json};

/// Without its system account the reference has no interest of its own, and no route for it.
const OPTIONS: &str = "no_sys_acc: true\nserver_name: ";

/// Two or three servers that did something, with the clients that did it.
struct Play {
    members: Vec<Member>,
    _clients: Vec<Client>,
}

/// Polls until a server's answer has what is wanted of it.
fn until(member: &Member, path: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut last = Value::Null;
    let found = poll_until(DEADLINE, || {
        last = member.json(path).ok()?;
        wanted(&last).then(|| last.clone())
    });
    found.with_context(|| format!("{member} {path}: {last}"))
}

fn sum(answer: &Value, field: &str) -> u64 {
    let routes = answer["routes"].as_array().map(Vec::as_slice).unwrap_or_default();
    routes.iter().filter_map(|route| route[field].as_u64()).sum()
}

impl Play {
    /// Everybody knows the first one. The second subscribes, everybody publishes.
    fn perform(kinds: &[Kind], cluster: &str) -> Result<Play> {
        let seats = Seat::several(kinds.len());
        let member = |(number, (&kind, &seat)): (usize, (&Kind, &Seat))| {
            let routes = if number == 0 { String::new() } else { routes(&seats[..1]) };
            Member::start(kind, seat, &format!("name: C\n{routes}\n{cluster}"), &format!("{OPTIONS}S{number}"))
        };
        let members: Vec<Member> = kinds.iter().zip(&seats).enumerate().map(member).collect();
        for member in &members {
            let others = members.len() - 1;
            let connections: usize = kinds.iter().map(|kind| connections(member.kind, *kind)).sum::<usize>()
                - connections(member.kind, member.kind);
            until(member, "/routez", |routez| routez["num_routes"] == connections)?;
            until(member, "/varz", |varz| varz["remotes"] == others)?;
        }
        let mut clients = members.iter().map(Member::client).collect::<Result<Vec<_>>>()?;
        clients[1].send(b"SUB foo.bar 1\r\nSUB foo.* q 2\r\nSUB foo.* q 3\r\n")?;
        clients[0].subscribe("local", "", 1)?;
        for client in &mut clients {
            client.flush()?;
        }
        until(&members[0], "/routez", |routez| sum(routez, "subscriptions") == 2)?;
        until(&members[1], "/routez", |routez| sum(routez, "subscriptions") == 1)?;
        clients[0].publish("foo.bar", "", b"hello");
        clients[0].publish("local", "", b"hi");
        clients[0].send_queued()?;
        until(&members[1], "/routez", |routez| sum(routez, "in_msgs") == 1)?;
        clients[1].publish("local", "", b"abc");
        clients[1].send_queued()?;
        for (number, messages) in [(0, 2), (1, 2)] {
            for _ in 0..messages {
                clients[number].message()?;
            }
        }
        for member in &members[..2] {
            // What was read and written is added to the totals a moment later.
            until(member, "/varz", |varz| varz["out_msgs"] == 3)?;
        }
        Ok(Play { members, _clients: clients })
    }
}

/// How many connections there are between two servers.
fn connections(one: Kind, other: Kind) -> usize {
    match (one, other) {
        (Kind::Ours(shards), Kind::Ours(others)) => shards.min(others),
        (Kind::Old, _) | (_, Kind::Old) => 1,
        _ => 3,
    }
}

/// An answer without what cannot be alike: ids, times, ports, numbers of connections, and the order of the routes.
fn normalised(mut answer: Value) -> Value {
    normalise("", &mut answer);
    answer
}

fn normalise(name: &str, value: &mut Value) {
    const SOME: [&str; 26] = [
        "server_id",
        "remote_id",
        "now",
        "start",
        "last_activity",
        "rtt",
        "uptime",
        "idle",
        "port",
        "rid",
        "cid",
        "cluster_port",
        "mem",
        "cpu",
        "gomaxprocs",
        "go",
        "git_commit",
        "config_load_time",
        "config_digest",
        "update_time",
        // The reference's table of subscriptions has a cache.
        "num_matches",
        "num_cache",
        "cache_hit_rate",
        "max_fanout",
        "avg_fanout",
        // Messages for other servers are counted by route, not by interest.
        "msgs",
    ];
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(name, value)| normalise(name, value)),
        Value::Array(list) => {
            list.iter_mut().for_each(|value| normalise(name, value));
            list.sort_by_key(ToString::to_string);
        }
        _ => {}
    }
    let url = |text: &str| text.starts_with("127.0.0.1:");
    match value {
        Value::String(text) if url(text) => *value = json!("URL"),
        Value::Object(map) if name == "http_req_stats" => map.clear(),
        Value::Number(_) if name == "http_port" => *value = json!(0),
        _ if SOME.contains(&name) => *value = json!(type_of(value)),
        _ => {}
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Names and types of all fields of an object.
fn fields(object: &Value) -> BTreeMap<String, &'static str> {
    let map = object.as_object().into_iter().flatten();
    map.map(|(name, value)| (name.clone(), type_of(value))).collect()
}

#[test]
fn says_of_its_routes_what_the_reference_says() -> Result<()> {
    let permissions = "permissions { import: [\"foo.>\", local], export { allow: \">\", deny: [x, y] } }";
    for (cluster, other) in
        [("", Kind::Reference), ("compression: s2_fast", Kind::Reference), (permissions, Kind::Reference)]
    {
        let reference = Play::perform(&[Kind::Reference, other], cluster)?;
        for seat in [0, 1] {
            let mut kinds = [other; 2];
            kinds[seat] = Kind::Ours(2);
            let ours = Play::perform(&kinds, cluster)?;
            let log = ours.members[seat].server.log();
            assert!(!log.contains("[ERR]"), "nothing was asked of the other that it does not have: {log}");
            for path in [
                "/routez",
                "/routez?subs=1",
                "/routez?subs=detail",
                "/varz",
                "/subsz",
                "/subsz?subs=1",
                "/accstatz",
                "/connz?subs=1",
                "/accountz?acc=$G",
            ] {
                let [ours, theirs] = [&ours, &reference].map(|play| play.members[seat].json(path).map(normalised));
                assert_eq!(ours?, theirs?, "seat {seat} of {}, {cluster:?}, {path}", line_up(kinds));
            }
        }
    }
    Ok(())
}

#[test]
fn an_old_server_has_one_route() -> Result<()> {
    let reference = Play::perform(&[Kind::Reference, Kind::Old], "")?;
    let ours = Play::perform(&[Kind::Ours(2), Kind::Old], "")?;
    for path in ["/routez", "/varz", "/subsz"] {
        let [ours, theirs] = [&ours, &reference].map(|play| play.members[0].json(path).map(normalised));
        assert_eq!(ours?, theirs?, "{path}");
    }
    Ok(())
}

#[test]
fn fields_of_clusters_stand_in_the_references_order() -> Result<()> {
    let name = regex::Regex::new(r#"(?m)^ *"[^"]*": "#)?;
    let cluster =
        "permissions { import: [\"foo.>\", local], export: \">\" }\nwrite_deadline: \"3s\"\nwrite_timeout: close";
    let order = |kind: Kind| -> Result<Vec<Vec<String>>> {
        let play = Play::perform(&[kind, Kind::Reference], cluster)?;
        let member = &play.members[0];
        ["/varz", "/routez?subs=detail"]
            .map(|path| {
                let text = super::http::get(&member.server, path).text();
                // Which of the routes has the interest does not matter.
                let mut names: Vec<String> = Vec::new();
                for found in name.find_iter(&text) {
                    let found = found.as_str().to_owned();
                    // Whose interest comes first, that of the group or the other one, is left to chance.
                    if !names.contains(&found) && !found.contains("qgroup") {
                        names.push(found);
                    }
                }
                Ok(names)
            })
            .into_iter()
            .collect()
    };
    let at = |names: &[String], wanted: &[String]| {
        let known: Vec<&String> = names.iter().filter(|name| wanted.contains(name)).collect();
        known.into_iter().cloned().collect::<Vec<_>>()
    };
    for (ours, theirs) in order(Kind::Ours(2))?.iter().zip(order(Kind::Reference)?) {
        assert_eq!(at(ours, &theirs), at(&theirs, ours));
        assert_eq!(ours.len(), theirs.len());
    }
    Ok(())
}

#[test]
fn lanes_are_routes() -> Result<()> {
    let reference = Play::perform(&[Kind::Reference, Kind::Reference], "")?;
    let wanted = fields(&reference.members[1].json("/routez?subs=1")?["routes"][0]);
    for shards in [[1, 1], [2, 4]] {
        let kinds = shards.map(Kind::Ours);
        let play = Play::perform(&kinds, "")?;
        for (seat, member) in play.members.iter().enumerate() {
            let routez = member.json("/routez")?;
            for route in routez["routes"].as_array().context("no routes")? {
                assert_eq!(fields(route), wanted);
                assert_eq!(route["did_solicit"], seat == 1);
                assert_eq!(route["is_configured"], seat == 1);
            }
            assert_eq!((sum(&routez, "in_msgs"), sum(&routez, "out_msgs")), (1, 1));
            for path in ["/varz", "/accstatz", "/connz"] {
                let mut answers = [&play, &reference].map(|play| play.members[seat].json(path).map(normalised));
                for answer in answers.iter_mut().flatten() {
                    // A lane for each shard in place of a pool.
                    answer["routes"] = Value::Null;
                }
                let [ours, theirs] = answers;
                assert_eq!(ours?, theirs?, "{path} of {member} in {}", line_up(kinds));
            }
        }
    }
    Ok(())
}

#[test]
fn three_servers_know_of_two_others_each() -> Result<()> {
    let reference = Play::perform(&[Kind::Reference; 3], "")?;
    let wanted = fields(&reference.members[0].json("/routez")?["routes"][0]);
    for kinds in [
        [Kind::Ours(2), Kind::Reference, Kind::Reference],
        [Kind::Reference, Kind::Ours(2), Kind::Reference],
        [Kind::Reference, Kind::Reference, Kind::Ours(2)],
        [Kind::Ours(2), Kind::Ours(3), Kind::Reference],
        [Kind::Ours(2), Kind::Ours(2), Kind::Ours(2)],
    ] {
        let play = Play::perform(&kinds, "")?;
        for (seat, member) in play.members.iter().enumerate().filter(|(_, member)| member.kind.is_ours()) {
            let routez = member.json("/routez")?;
            let routes = routez["routes"].as_array().context("no routes")?;
            assert!(routes.iter().all(|route| fields(route) == wanted), "{routez}");
            let [ours, theirs] = [&play, &reference].map(|play| play.members[seat].json("/varz").map(normalised));
            let (ours, theirs) = (ours?, theirs?);
            for field in
                ["remotes", "connect_urls", "cluster", "in_client_msgs", "in_msgs", "out_msgs", "subscriptions"]
            {
                assert_eq!(ours[field], theirs[field], "{field} of {member} in {}", line_up(kinds));
            }
        }
    }
    Ok(())
}

/// What flags and files come to, as `/varz` shows it.
#[test]
fn says_of_its_cluster_what_it_was_told() -> Result<()> {
    let listen = "listen: \"127.0.0.1:-1\"";
    for (config, arguments) in [
        (String::new(), "--cluster nats://127.0.0.1:-1 --cluster_name C"),
        (
            String::new(),
            "--cluster nats://127.0.0.1:-1 --cluster_name C --routes nats://127.0.0.1:1,nats://u:p@127.0.0.1:2",
        ),
        (String::new(), "--cluster nats://127.0.0.1:-1 --cluster_name C --routes localhost:1"),
        ("cluster { name: C }".to_owned(), ""),
        (format!("cluster {{ name: C, {listen} }}"), "--cluster="),
        (format!("cluster {{ {listen}, pool_size: 5, authorization {{ user: u, timeout: 1 }} }}"), "--cluster="),
        (
            format!("cluster {{ name: C, {listen}, pool_size: -1, write_timeout: retry, write_deadline: \"1500ms\" }}"),
            "",
        ),
        (format!("cluster {{ name: C, {listen}, pool_size: 7, write_timeout: close }}\nwrite_timeout: retry"), ""),
        (format!("cluster {{ {listen}, authorization {{ user: u, password: p, timeout: 0.5 }} }}"), "--cluster_name D"),
        (format!("cluster {{ name: C, {listen}, routes: [\"nats://127.0.0.1:1\", \"nats://127.0.0.1:1\"] }}"), ""),
        (format!("cluster {{ name: C, {listen}, routes: [\"nats://127.0.0.1:1\"] }}"), "--routes nats://[::1]:2"),
        (format!("cluster {{ name: C, {listen}, routes: [\"nats://127.0.0.1:1\"] }}"), "--routes="),
        (format!("cluster {{ name: C, {listen}, routes: [\"nats://h\", \"\", \"nats://h:\"] }}"), ""),
        ("cluster { name: C, host: \"127.0.0.1\", port: -1 }".to_owned(), ""),
        ("cluster { name: C, net: localhost, port: -1, connect_backoff: true }".to_owned(), "--connect_retries 5"),
        (
            "cluster { name: C, listen: \":-1\", compression: s2_auto, ping_interval: \"5s\", ping_max: 5 }".to_owned(),
            "",
        ),
        (format!("cluster {{ name: C, {listen}, advertise: \"h:1\" }}"), "--cluster_advertise h:2 --no_advertise"),
    ] {
        let [ours, theirs] = [Kind::Ours(1), Kind::Reference].map(|kind| {
            let builder = kind.server().args(["-m", "-1"]).args(arguments.split_whitespace());
            let builder = if config.is_empty() { builder } else { builder.config(&*config) };
            normalised(super::http::get_json(&builder.start(), "/varz")["cluster"].take())
        });
        assert_eq!(ours, theirs, "{config:?} {arguments:?}");
    }
    Ok(())
}

/// What a server tells the others of where clients reach it, as the other one shows it.
#[test]
fn servers_are_named_by_the_addresses_that_others_may_use() -> Result<()> {
    let hosts = |kind: Kind, listen: &str, other: &str| -> Result<Vec<String>> {
        let seats = Seat::several(2);
        let told = Member::start(Kind::Reference, seats[0], "name: C", "");
        let config = seats[1].config(&format!("name: C\n{}", routes(&seats[..1])), other);
        let own = format!("{:?}", format!("127.0.0.1:{}", seats[1].client));
        let config = config.replace(&own, &format!("{:?}", listen.replace("PORT", &seats[1].client.to_string())));
        let _teller = kind.server().without_listen_flags().config(config).start();
        let varz = until(&told, "/varz", |varz| varz["connect_urls"].is_array())?;
        let urls = varz["connect_urls"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut hosts: Vec<String> = urls.map(|url| url.replace(&seats[1].client.to_string(), "PORT")).collect();
        hosts.retain(|url| *url != seats[0].connect_url());
        hosts.sort_unstable();
        Ok(hosts)
    };
    for (listen, other) in [
        ("0.0.0.0:PORT", ""),
        ("[::]:PORT", ""),
        ("[::1]:PORT", ""),
        ("0.0.0.0:PORT", "client_advertise: \"example.org\""),
        ("0.0.0.0:PORT", "client_advertise: \"[2001:db8::1]:4333\""),
    ] {
        let [ours, theirs] = [Kind::Ours(1), Kind::Reference].map(|kind| hosts(kind, listen, other));
        assert_eq!(ours?, theirs?, "{listen} {other}");
    }
    Ok(())
}

#[test]
fn the_routes_of_a_cluster_without_advertising_tell_nobody() -> Result<()> {
    let plays =
        [Kind::Ours(2), Kind::Reference].map(|kind| Play::perform(&[kind, Kind::Reference], "no_advertise: true"));
    for play in plays {
        let varz = play?.members[0].json("/varz")?;
        assert_eq!((&varz["connect_urls"], &varz["remotes"]), (&Value::Null, &json!(1)));
    }
    Ok(())
}
