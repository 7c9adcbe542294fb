//! A server with clients that did something, and its answers without what cannot be alike.

use anyhow::{Context, Result};
use pinmesh_harness::{Client, Server, Side, eventually};
use serde_json::Value;

use super::http::{get, get_json};

/// A server with some clients, and what they did.
pub struct Scene {
    pub server: Server,
    /// Kept so that they stay connected.
    pub _clients: Vec<Client>,
    /// The number of the first connection.
    pub first_cid: u64,
}

impl Scene {
    pub fn play(side: Side, shards: usize, config: &str) -> Result<Scene> {
        let server = side.server().shards(shards).without_listen_flags().config(config).start();
        let address = server.address();
        let silent = Client::open(address)?;
        let first_cid = serde_json::from_str::<Value>(silent.info())?["client_id"].as_u64().context("no client_id")?;
        let options = r#"{"verbose":false,"name":"a<&>\"é\u0001","lang":"go","version":"1.2","user":"bob","pass":"x"}"#;
        let mut a = Client::connect_with(address, options)?;
        let mut b = Client::connect_with(address, r#"{"verbose":false,"name":"b","auth_token":"tok","headers":true}"#)?;
        let mut c = Client::connect_with(address, r#"{"verbose":false}"#)?;
        a.send(b"SUB foo.* 1\r\nSUB foo.> grp 22\r\nSUB bar 3\r\nUNSUB 3 5\r\nSUB gone 4\r\nUNSUB 4\r\n")?;
        a.flush()?;
        b.subscribe("foo.bar", "", 9)?;
        b.flush()?;
        c.publish("foo.bar", "", b"hello");
        c.publish("foo.x", "", b"abc");
        c.publish("nobody", "", b"0123456789");
        c.flush()?;
        for _ in 0..4 {
            a.message()?;
        }
        b.message()?;
        let mut gone = Client::connect_with(address, r#"{"verbose":false,"name":"gone","user":"u1"}"#)?;
        gone.subscribe("zzz", "q", 7)?;
        gone.publish("foo.y", "", b"1");
        gone.flush()?;
        for _ in 0..2 {
            a.message()?;
        }
        drop(gone);
        closed_connections(&server, 1);
        let mut bad = Client::connect_with(address, r#"{"verbose":false,"name":"bad"}"#)?;
        bad.send(b"FOO\r\n")?;
        while bad.frame().is_ok() {}
        closed_connections(&server, 2);
        Ok(Scene { server, _clients: vec![silent, a, b, c], first_cid })
    }

    pub fn both(shards: usize, config: &str) -> Result<[Scene; 2]> {
        Ok([Scene::play(Side::Ours, shards, config)?, Scene::play(Side::Reference, shards, config)?])
    }

    fn path(&self, template: &str) -> String {
        let cid = |offset: u64| (self.first_cid + offset).to_string();
        template.replace("{silent}", &cid(0)).replace("{a}", &cid(1)).replace("{gone}", &cid(4))
    }

    /// Without what cannot be alike.
    pub fn normalised(&self, path: &str) -> (String, Value) {
        let answer = get(&self.server, &self.path(path));
        let head = format!("{} {:?}", answer.status, answer.headers);
        if !answer.headers.contains("content-type: application/json") {
            return (head, Value::String(answer.text()));
        }
        let mut value = answer.json();
        self.normalise("", &mut value);
        if path.starts_with("/subsz")
            && path.contains("offset")
            && let Some(list) = value.get_mut("subscriptions_list")
        {
            // Which ones are on a page is left to chance.
            *list = Value::from(list.as_array().map_or(0, Vec::len));
        }
        if path.contains("sort=reason")
            && let Some(list) = value.get_mut("connections").and_then(Value::as_array_mut)
        {
            // Among those with the same reason the reference's order is left to chance.
            for alike in list.chunk_by_mut(|one, other| one["reason"] == other["reason"]) {
                alike.sort_by_key(|connection| connection["cid"].as_u64());
            }
        }
        (head, value)
    }

    fn normalise(&self, name: &str, value: &mut Value) {
        const SOME: [&str; 20] = [
            "server_id",
            "now",
            "start",
            "stop",
            "last_activity",
            "rtt",
            "uptime",
            "idle",
            "port",
            "mem",
            "cpu",
            "gomaxprocs",
            "go",
            "git_commit",
            "num_matches",
            "config_load_time",
            // How often the closed connections were looked for.
            "/connz",
            "config_digest",
            "update_time",
            "pending_bytes",
        ];
        match value {
            Value::Object(map) => map.iter_mut().for_each(|(name, value)| self.normalise(name, value)),
            Value::Array(list) => {
                list.iter_mut().for_each(|value| self.normalise(name, value));
                if name.starts_with("subscriptions_list") {
                    list.sort_by_key(ToString::to_string);
                }
            }
            Value::Number(number) if name == "cid" => {
                *value = Value::from(number.as_u64().unwrap_or_default() - self.first_cid);
            }
            // An empty id says something, and so does the type.
            Value::String(text) if name == "rtt" && text == "0s" => {}
            Value::String(text) if SOME.contains(&name) && !text.is_empty() => *value = Value::from("some"),
            Value::Number(number) if SOME.contains(&name) => {
                *value = Value::from(if number.is_f64() || name == "cpu" { "some number" } else { "some integer" });
            }
            _ => {}
        }
    }
}

pub fn closed_connections(server: &Server, count: u64) {
    eventually("closed connections in /connz", || {
        (get_json(server, "/connz?state=closed")["total"].as_u64() >= Some(count)).then_some(())
    });
}
