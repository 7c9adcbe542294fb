//! One server, what it is called in transcripts, and the neighbours whom no conversation may disturb.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use pinmesh_harness::cluster::{CLUSTER_NAME, Member, Seat};
use pinmesh_harness::{Client, Heard, Introduction, Kind, ScriptedRoute, poll_until};
use serde_json::json;

/// How many shards ours has in these tests; one more than one, so that routes and clients meet on different ones.
pub const OURS: Kind = Kind::Ours(2);

/// Log lines that come now or later, or that depend on the interest of the system account.
const UNSTEADY_LINES: [&str; 6] = [
    "[DBG] Sent local subscriptions to route",
    "[DBG] Router Ping Timer",
    "[DBG] Detected duplicate remote route",
    "[DBG] Removing ",
    "[DBG] Route connect msg sent",
    "[DBG] Delaying PING",
];

/// How the servers begin to say where in a text is the mistake that makes it no JSON.
const NO_JSON: [&str; 2] = ["invalid character ", "invalid JSON: "];

/// Why a server closes the connection of a peer that just went.
const CLOSED: &str = "Router connection closed";

/// What peers are told of the clients among the neighbours.
pub const NEIGHBOURS_INTEREST: &str = "RS+ $G beside.*";

/// Lines that the reference logs behind the close, and what announces them.
const LATE_LINES: [(&str, &str); 3] = [
    ("Maximum Control Line Exceeded", "maximum control line exceeded"),
    ("Rejecting connection, cluster name", "cluster name from remote server conflicts"),
    ("Rejecting connection from gateway", "wrong gateway"),
];

/// A server that scripted ones talk to.
pub struct Scene {
    pub member: Member,
    id: String,
}

impl Scene {
    /// Starts a server with further lines in the block `cluster` and whatever else.
    pub fn start(kind: Kind, cluster: &str, other: &str) -> Result<Scene> {
        let cluster = format!("name: {CLUSTER_NAME}\n  {cluster}");
        let other = format!("server_name: \"the-server\"\n{other}");
        let member = Member::with(kind, Seat::take(), &cluster, &other, &["-D"]);
        member.server.wait_for_log("Listening for route connections on ");
        let id = member.id()?;
        Ok(Scene { member, id })
    }

    /// The server's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A client of it.
    pub fn client(&self) -> Result<Client> {
        self.member.client()
    }

    /// Dials its port for routes, and reads the INFO.
    pub fn dial(&self) -> Result<ScriptedRoute> {
        let mut route = ScriptedRoute::dial(self.member.seat.route)?;
        let greeting = route.hear()?.context("closed in place of INFO")?;
        ensure!(greeting.line.starts_with("INFO "), "{greeting:?} in place of INFO");
        Ok(route)
    }

    /// [`Scene::dial`], and introduces itself.
    pub fn join(&self, introduction: &Introduction) -> Result<ScriptedRoute> {
        ScriptedRoute::join(self.member.seat.route, introduction)
    }

    /// Is this where the server introduces itself?
    pub fn is_introduction(&self, heard: &Heard) -> bool {
        heard.line.starts_with("INFO ") && heard.object().is_some_and(|info| info["server_id"] == *self.id)
    }

    /// A text in which nothing is by chance: ids and ports have names.
    pub fn plain(&self, text: &str, peers: &[&Introduction]) -> String {
        let seat = self.member.seat;
        let mut plain = text.replace(&self.id, "<server>");
        for (port, name) in [(seat.client, "<client>"), (seat.route, "<route>"), (seat.monitor, "<monitor>")] {
            plain = plain.replace(&format!(":{port}"), &format!(":{name}"));
        }
        for (number, peer) in peers.iter().enumerate() {
            for (id, name) in [(peer.id(), "peer"), (peer.name(), "name")] {
                if !id.is_empty() && id != "the-server" {
                    plain = plain.replace(id, &format!("<{name}{number}>"));
                }
            }
        }
        plain
    }

    /// What was heard, without what is each server's own affair. Interest sent at once has no order.
    pub fn transcript(&self, heard: &[Heard], peers: &[&Introduction]) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let mut interest = Vec::new();
        for heard in heard.iter().filter(|heard| !heard.is_of_the_system()) {
            let line = self.plain(&heard.plain(), peers);
            if line.starts_with("RS") {
                interest.push(line);
            } else {
                interest.sort();
                lines.append(&mut interest);
                lines.push(line);
            }
        }
        interest.sort();
        lines.append(&mut interest);
        lines
    }

    /// Waits until the log says, behind its first `before` bytes, that a connection is closed; returns what it says of it until
    /// `done`, sorted.
    pub fn log_of(
        &self,
        address: SocketAddr,
        before: usize,
        peers: &[&Introduction],
        done: impl Fn(&[String]) -> bool,
    ) -> Vec<String> {
        let prefix = format!("{address} - rid:");
        let mut lines = Vec::new();
        poll_until(std::time::Duration::from_secs(5), || {
            let log = self.member.server.log().split_off(before);
            let of_this = log.lines().filter_map(|line| {
                let (_, line) = line.split_once("] ")?;
                let (level, text) = line.split_at(line.find('[')?).1.split_once(' ')?;
                let (_, text) = text.strip_prefix(&prefix)?.split_once(" - ")?;
                let text = if NO_JSON.iter().any(|beginning| text.starts_with(beginning)) { "no JSON" } else { text };
                Some(self.plain(&format!("{level} {text}"), peers))
            });
            lines = of_this.filter(|line| !UNSTEADY_LINES.iter().any(|unsteady| line.starts_with(unsteady))).collect();
            lines.sort();
            // The reference says some things twice.
            lines.dedup();
            let has = |text: &str| lines.iter().any(|line| line.contains(text));
            let is_whole = has(CLOSED) && LATE_LINES.iter().all(|(sign, late)| !has(sign) || has(late));
            (is_whole && done(&lines)).then_some(())
        });
        lines
    }
}

/// Two clients and another scripted server, who talk to each other through the server all the time.
pub struct Neighbours {
    route: ScriptedRoute,
    publisher: Client,
    subscriber: Client,
    rounds: usize,
}

impl Neighbours {
    /// Moves in.
    pub fn of(scene: &Scene) -> Result<Neighbours> {
        // Where no password is needed this one does no harm.
        let introduction = Introduction::new().connect("user", json!("someone")).connect("pass", json!("secret"));
        let mut route = scene.join(&introduction)?;
        route.send("RS+ $G beside.out\r\n")?;
        route.until_pong()?;
        let (publisher, mut subscriber) = (scene.client()?, scene.client()?);
        subscriber.subscribe("beside.*", "", 1)?;
        subscriber.flush()?;
        Ok(Neighbours { route, publisher, subscriber, rounds: 0 })
    }

    /// A message to the other server, one from there, and both for a local client.
    pub fn converse(&mut self) -> Result<()> {
        self.rounds += 1;
        let body = format!("round {}", self.rounds);
        self.publisher.publish("beside.out", "", body.as_bytes());
        self.publisher.flush()?;
        let (out, _) = self.route.until("RMSG $G beside.out")?;
        ensure!(out.body == body.as_bytes(), "{out:?} in place of {body:?}");
        self.route.send(format!("RMSG $G beside.in {}\r\n{body}\r\n", body.len()))?;
        for subject in ["beside.out", "beside.in"] {
            let message = self.subscriber.message()?;
            ensure!(message.subject == subject && message.payload == body.as_bytes(), "{message:?}");
        }
        Ok(())
    }
}
