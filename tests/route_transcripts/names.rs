//! What differs between the recording and the replay: ports and the id of the server under test.

use std::collections::BTreeMap;

use pinmesh_harness::cluster::free_port;
use pinmesh_harness::{Heard, Seat};
use regex::{Captures, Regex};
use serde_json::Value;

use crate::recording::{Kind, latin1};

/// Ports and ids as they were recorded.
const NAMES: &str = r"(?-u:\b)14[0-9]{3}(?-u:\b)|(?-u:\b)N[A-Z2-7]{55}(?-u:\b)";

/// Some of the recorded servers listened on all interfaces, and told clients of every address but the loopback's.
const EVERY_INTERFACE: &str = r#"\["192\.0\.2\.2:([0-9]+)","\[fd00::2\]:[0-9]+"\]"#;

/// What recorded names are called now.
pub struct Names {
    names: Regex,
    every_interface: Regex,
    /// The id of the server when it was recorded.
    id: Option<String>,
    live: BTreeMap<String, String>,
}

impl Names {
    pub fn new() -> Names {
        let regex = |text| Regex::new(text).expect("a regular expression");
        Names { names: regex(NAMES), every_interface: regex(EVERY_INTERFACE), id: None, live: BTreeMap::new() }
    }

    /// Learns from what the server said where it listened and what its id was. Ports of nobody get free ones.
    pub fn learn(&mut self, heard: &Heard, kind: Kind, seat: Seat) {
        let object = heard.object().unwrap_or_default();
        let text = |field: &str| object.get(field).and_then(Value::as_str).map(str::to_owned);
        let is_own = |id: &Option<String>| self.id.is_none() || *id == self.id;
        let id = text("server_id").or_else(|| text("name").filter(|_| heard.line.starts_with("CONNECT ")));
        if id.is_some() && is_own(&id) {
            self.id = id;
            let (own, other) = match kind {
                Kind::Route => (seat.route, seat.client),
                Kind::Client => (seat.client, seat.route),
            };
            if let Some(port) = object.get("port").and_then(Value::as_u64) {
                self.live.entry(port.to_string()).or_insert_with(|| own.to_string());
            }
            let url = object.get("connect_urls").and_then(|urls| urls.get(0)).and_then(Value::as_str);
            if let (Kind::Route, Some((_, port))) = (kind, url.and_then(|url| url.rsplit_once(':'))) {
                self.live.entry(port.to_owned()).or_insert_with(|| other.to_string());
            }
        }
    }

    /// Learns from the INFO of a server that is dialled where it listens now.
    pub fn dialled(&mut self, heard: &Heard, port: u16) {
        if let Some(recorded) = heard.object().and_then(|info| info.get("port")?.as_u64()) {
            self.live.insert(recorded.to_string(), port.to_string());
        }
    }

    /// Learns the present id of the server.
    pub fn is_called(&mut self, id: &str) {
        if let Some(recorded) = &self.id {
            self.live.insert(recorded.clone(), id.to_owned());
        }
    }

    /// What was recorded, with the names of now.
    pub fn live(&mut self, recorded: &str) -> String {
        let plain = self.every_interface.replace_all(recorded, r#"["127.0.0.1:$1"]"#);
        let live = &mut self.live;
        let name = |captures: &Captures<'_>| {
            let recorded = &captures[0];
            if recorded.starts_with("14") {
                return live.entry(recorded.to_owned()).or_insert_with(|| free_port().to_string()).clone();
            }
            live.get(recorded).cloned().unwrap_or_else(|| recorded.to_owned())
        };
        self.names.replace_all(&plain, name).into_owned()
    }

    /// [`Names::live`] for what goes over the wire.
    pub fn live_bytes(&mut self, recorded: &[u8]) -> Vec<u8> {
        let text: String = recorded.iter().copied().map(char::from).collect();
        latin1(&self.live(&text))
    }

    /// [`Names::live`] for what the server said.
    pub fn live_heard(&mut self, recorded: &Heard) -> Heard {
        Heard { line: self.live(&recorded.line), body: self.live_bytes(&recorded.body) }
    }
}
