//! `/routez`: the connections to other servers of the cluster, and on request what those servers want.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;
use shards::account;
use shards::config::{RoutePermissions, SubjectRules};
use shards::snapshot::{InterestFacts, Query, RouteFacts, RouteQuery};

use super::connz::{Subscriptions, subscriptions_wanted};
use super::http::Answer;
use super::query::Parameters;
use super::{Monitor, Outcome, json, times};
use crate::config::duration;

#[derive(Serialize)]
struct Routez<'a> {
    server_id: &'a str,
    server_name: &'a str,
    now: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    import: Option<Rules<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    export: Option<Rules<'a>>,
    num_routes: usize,
    routes: Vec<RouteInfo<'a>>,
}

#[derive(Serialize)]
struct Rules<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    allow: Option<&'a [String]>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    deny: &'a [String],
}

#[derive(Serialize)]
struct RouteInfo<'a> {
    rid: u64,
    remote_id: &'a str,
    remote_name: &'a str,
    did_solicit: bool,
    is_configured: bool,
    ip: String,
    port: u16,
    start: String,
    last_activity: String,
    rtt: String,
    uptime: String,
    idle: String,
    /// What the other server announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    import: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    export: Option<Value>,
    pending_size: usize,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    subscriptions: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list_detail: Vec<InterestDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    compression: &'static str,
}

/// An interest in the form of a subscription.
#[derive(Serialize)]
struct InterestDetail {
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    qgroup: Option<String>,
    sid: String,
    /// Messages for another server are counted for the route as a whole.
    msgs: u64,
    cid: u64,
}

impl<'a> Rules<'a> {
    /// Rules that say something.
    fn new(rules: &'a SubjectRules) -> Option<Self> {
        let rules = Rules { allow: rules.allow.as_deref(), deny: &rules.deny };
        (rules.allow.is_some() || !rules.deny.is_empty()).then_some(rules)
    }
}

impl InterestDetail {
    /// `R $G foo q`; the account is left out where a route has but one.
    fn new(rid: u64, account: Option<&str>, interest: &InterestFacts) -> Self {
        let (subject, qgroup) = (text(&interest.subject), interest.queue.as_deref().map(text));
        let words = ["R"].into_iter().chain(account).chain([subject.as_str()]).chain(qgroup.as_deref());
        let sid = words.collect::<Vec<_>>().join(" ");
        InterestDetail { subject, qgroup, sid, msgs: 0, cid: rid }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Monitor {
    pub(super) fn routez(&self, parameters: &Parameters) -> Outcome {
        let wanted = subscriptions_wanted(parameters)?;
        self.hit("/routez");
        let interest = wanted != Subscriptions::No;
        let snapshots = self.ask(Query { routes: Some(RouteQuery { interest }), ..Query::default() })?;
        let now = snapshots.iter().map(|snapshot| snapshot.now).max().unwrap_or_default();
        let mut routes: Vec<&RouteFacts> = snapshots.iter().flat_map(|snapshot| &snapshot.routes).collect();
        routes.sort_by_key(|facts| facts.numbers.cid);
        let RoutePermissions { import, export } = self.options.cluster.permissions.clone().unwrap_or_default();
        let routez = Routez {
            server_id: &self.identity.server_id,
            server_name: &self.identity.server_name,
            now: times::timestamp(SystemTime::now()),
            import: Rules::new(&import),
            export: Rules::new(&export),
            num_routes: routes.len(),
            routes: routes.into_iter().map(|facts| self.describe_route(facts, now, wanted)).collect(),
        };
        Ok(Answer::json("200 OK", json::pretty(&routez)))
    }

    fn describe_route<'a>(&self, facts: &'a RouteFacts, now: Duration, wanted: Subscriptions) -> RouteInfo<'a> {
        let numbers = &facts.numbers;
        let at = |since_start: Duration| times::timestamp(self.time(since_start));
        let account = facts.account.as_deref();
        let told = facts.permissions.as_deref().and_then(|both| serde_json::from_str::<Value>(both).ok());
        let permission = |name: &str| told.as_ref().and_then(|told| told.get(name)).filter(|rules| !rules.is_null());
        let mut info = RouteInfo {
            rid: numbers.cid,
            remote_id: &facts.remote.id,
            remote_name: &facts.remote.name,
            did_solicit: facts.solicited,
            is_configured: facts.explicit,
            ip: facts.address.ip().to_string(),
            port: facts.address.port(),
            start: at(numbers.start),
            last_activity: at(numbers.last_activity),
            rtt: duration::format(numbers.rtt),
            uptime: times::uptime(numbers.uptime(now)),
            idle: times::uptime(numbers.idle(now)),
            import: permission("import").cloned(),
            export: permission("export").cloned(),
            pending_size: numbers.pending,
            in_msgs: numbers.received.messages,
            out_msgs: numbers.sent.messages,
            in_bytes: numbers.received.bytes,
            out_bytes: numbers.sent.bytes,
            subscriptions: numbers.subscriptions,
            subscriptions_list: Vec::new(),
            subscriptions_list_detail: Vec::new(),
            account,
            compression: facts.compression.as_str(),
        };
        let interests = facts.interests.iter();
        match wanted {
            Subscriptions::No => {}
            Subscriptions::Subjects => {
                info.subscriptions_list = interests.map(|interest| text(&interest.subject)).collect();
            }
            Subscriptions::Details => {
                // All interest that counts is in the one account that clients have.
                let named = account.is_none().then(|| account::GLOBAL.name());
                let detail = |interest| InterestDetail::new(numbers.cid, named, interest);
                info.subscriptions_list_detail = interests.map(detail).collect();
            }
        }
        info
    }
}
