//! Monitoring over HTTP: what the reference's monitoring port answers, one file an endpoint.
//!
//! The numbers come from the shards, which answer between turns ([`shards::snapshot`]); everything about the process and the options is
//! known here. `http` is the server, `request` reads heads, `query` parameters, `json` writes bodies.

mod absent;
mod accounts;
mod connz;
mod healthz;
mod http;
mod json;
mod process;
mod query;
mod request;
mod root;
mod routez;
mod subsz;
mod times;
mod varz;

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use shards::config::{Cluster, Identity};
use shards::mesh::MeshStatus;
use shards::server::{Observer, Unanswered};
use shards::snapshot::{Query, Snapshot, Totals};

use self::http::Answer;
use self::process::CpuMeter;
use self::query::{Parameters, QueryError};
use self::request::Request;
use crate::options::Options;

/// How long the shards may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Entries of a page when the request does not say.
const PAGE: usize = 1024;

/// In place of the name under which an endpoint's requests are counted.
const NOT_COUNTED: &str = "";
/// These two count only requests that they understood, as in the reference.
const COUNTS_ITSELF: &str = NOT_COUNTED;

/// Everything that the endpoints need.
#[derive(Debug)]
pub struct Monitor {
    identity: Identity,
    cluster: Option<Cluster>,
    options: Options,
    /// `sha256:…` of the configuration file; empty without one.
    digest: String,
    observer: Observer,
    hits: Mutex<BTreeMap<&'static str, u64>>,
    cpu: CpuMeter,
}

/// Why a request is not answered with what it asks for.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Answer {
        let status = match failure {
            Failure::Query(_) => "400 Bad Request",
            Failure::Unanswered(_) => "503 Service Unavailable",
        };
        Answer::text(status, failure.to_string())
    }
}

/// What an endpoint answers.
type Outcome = Result<Answer, Failure>;
type Endpoint = fn(&Monitor, &Parameters) -> Outcome;

impl Monitor {
    /// What the endpoints of a running server need.
    pub fn new(
        identity: Identity,
        cluster: Option<Cluster>,
        options: Options,
        digest: Option<&str>,
        observer: Observer,
    ) -> Monitor {
        let digest = digest.unwrap_or_default().to_owned();
        Monitor { identity, cluster, options, digest, observer, hits: Mutex::default(), cpu: CpuMeter::new() }
    }

    /// Serves on a thread of its own until the process ends.
    pub fn start(self, listener: TcpListener) -> io::Result<()> {
        let monitor = Arc::new(self);
        let work = move || http::serve(&listener, &monitor);
        thread::Builder::new().name("monitor".to_owned()).spawn(work).map(drop)
    }

    /// What a request is answered.
    fn answer(&self, request: &Request) -> Answer {
        if request.path == b"*" {
            return match request.method.as_str() {
                "OPTIONS" => Answer { status: "200 OK", headers: Vec::new(), body: Vec::new() },
                _ => Answer { status: "400 Bad Request", headers: Vec::new(), body: Vec::new() }
                    .with("Connection", "close"),
            };
        }
        let clean = clean_path(&request.path);
        if clean != request.path {
            return redirect(request, &clean);
        }
        let parameters = request.parameters();
        match self.endpoint(&clean) {
            Some((name, endpoint)) => {
                self.hit(name);
                endpoint(self, &parameters).unwrap_or_else(Answer::from)
            }
            None => Answer::text("404 Not Found", "404 page not found\n").with("X-Content-Type-Options", "nosniff"),
        }
    }

    /// The endpoint of a path, and the name under which its requests are counted.
    fn endpoint(&self, path: &[u8]) -> Option<(&'static str, Endpoint)> {
        let base = self.base_path();
        let inner = path.strip_prefix(base.as_bytes())?;
        Some(match inner {
            b"" if !base.is_empty() => ("/", Monitor::root),
            b"/" if base.is_empty() => ("/", Monitor::root),
            b"/varz" => ("/varz", Monitor::varz),
            b"/connz" => (COUNTS_ITSELF, Monitor::connz),
            b"/routez" => (COUNTS_ITSELF, Monitor::routez),
            b"/subsz" | b"/subscriptionsz" => ("/subsz", Monitor::subsz),
            b"/healthz" => ("/healthz", Monitor::healthz),
            b"/accountz" => ("/accountz", Monitor::accountz),
            b"/accstatz" => ("/accstatz", Monitor::accstatz),
            b"/gatewayz" => ("/gatewayz", Monitor::gatewayz),
            b"/leafz" => ("/leafz", Monitor::leafz),
            b"/jsz" => ("/jsz", Monitor::jsz),
            b"/raftz" => (NOT_COUNTED, Monitor::raftz),
            b"/ipqueuesz" => (NOT_COUNTED, Monitor::ipqueuesz),
            _ => return None,
        })
    }

    /// What stands before all paths: empty, or with a slash in front and none behind.
    fn base_path(&self) -> String {
        match self.options.http_base_path.trim_matches('/') {
            "" => String::new(),
            base => format!("/{base}"),
        }
    }

    fn hit(&self, name: &'static str) {
        if name != NOT_COUNTED {
            *self.hits.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
        }
    }

    fn ask(&self, query: Query) -> Result<Vec<Snapshot>, Failure> {
        Ok(self.observer.ask(query, PATIENCE)?)
    }

    /// How the cluster looks; without one, empty.
    fn ask_mesh(&self) -> Result<MeshStatus, Failure> {
        match self.cluster {
            Some(_) => Ok(self.observer.ask_mesh(PATIENCE)?),
            None => Ok(MeshStatus::default()),
        }
    }

    /// A shard's time as the time of day.
    fn time(&self, since_start: Duration) -> SystemTime {
        self.identity.started + since_start
    }

    /// Who answers, and when: how most answers begin.
    fn head(&self) -> Head {
        Head { server_id: self.identity.server_id.clone(), now: times::timestamp(SystemTime::now()) }
    }
}

/// How most answers begin.
#[derive(Clone, Debug, Serialize)]
struct Head {
    server_id: String,
    now: String,
}

/// The counters of all shards in one.
fn sum(snapshots: &[Snapshot]) -> Totals {
    snapshots.iter().map(|snapshot| snapshot.totals).fold(Totals::default(), |mut sum, part| {
        sum.connections += part.connections;
        sum.closed += part.closed;
        sum.opened += part.opened;
        sum.received += part.received;
        sum.sent += part.sent;
        sum.routes += part.routes;
        sum.routed_in += part.routed_in;
        sum.routed_out += part.routed_out;
        sum.subscriptions += part.subscriptions;
        sum.interests += part.interests;
        sum.subscribed += part.subscribed;
        sum.slow_consumers += part.slow_consumers;
        sum.slow_routes += part.slow_routes;
        sum.stale_connections += part.stale_connections;
        sum.stale_routes += part.stale_routes;
        sum.stalls += part.stalls;
        sum
    })
}

/// `offset` and `limit`, as they are used and shown.
fn page(parameters: &Parameters) -> Result<(usize, usize), QueryError> {
    let offset = usize::try_from(parameters.integer("offset")?).unwrap_or(0);
    let limit = usize::try_from(parameters.integer("limit")?).ok().filter(|limit| *limit > 0).unwrap_or(PAGE);
    Ok((offset, limit))
}

/// A path without empty parts, `.` and `..`; a slash at the end stays.
fn clean_path(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                kept.pop();
            }
            part => kept.push(part),
        }
    }
    let mut clean: Vec<u8> = kept.iter().flat_map(|part| [b"/", *part].concat()).collect();
    if kept.is_empty() || path.ends_with(b"/") {
        clean.push(b'/');
    }
    clean
}

/// Sends the client to the clean path.
fn redirect(request: &Request, path: &[u8]) -> Answer {
    let mut location = String::new();
    for &byte in path {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => location.push(byte.into()),
            _ if b"-._~$&+,/:;=@".contains(&byte) => location.push(byte.into()),
            _ => location.push_str(&format!("%{byte:02X}")),
        }
    }
    if !request.raw_query.is_empty() {
        location.push('?');
        location.push_str(&String::from_utf8_lossy(&request.raw_query));
    }
    let mut answer = Answer { status: "307 Temporary Redirect", headers: Vec::new(), body: Vec::new() };
    if matches!(request.method.as_str(), "GET" | "HEAD") {
        answer = answer.with("Content-Type", "text/html; charset=utf-8");
        answer.body = format!("<a href=\"{}\">Temporary Redirect</a>.\n\n", root::escape(&location)).into_bytes();
    }
    answer.with("Location", location)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        for (path, clean) in [
            ("/", "/"),
            ("//varz", "/varz"),
            ("/a/../varz", "/varz"),
            ("/../..", "/"),
            ("/./", "/"),
            ("/varz/", "/varz/"),
            ("/a//b/.", "/a/b"),
        ] {
            assert_eq!(String::from_utf8(clean_path(path.as_bytes())).unwrap(), clean, "{path}");
        }
    }

    #[test]
    fn redirects_cannot_be_made_to_say_more() {
        let head = b"GET //x%0d%0aSet-Cookie:%20a/<b>?<q> HTTP/1.1\r\nHost: a";
        let request = Request::parse(head).unwrap();
        let answer = redirect(&request, &clean_path(&request.path));
        let location = &answer.headers.iter().find(|(name, _)| *name == "Location").unwrap().1;
        assert_eq!(location, "/x%0D%0ASet-Cookie:%20a/%3Cb%3E?<q>");
        let body = String::from_utf8(answer.body).unwrap();
        assert!(body.contains("?&lt;q&gt;\"") && !body.contains("<q>"), "{body}");
    }
}
