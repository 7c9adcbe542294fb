//! `/connz`: the connections, a page of them, in the order asked for; those that are closed on request.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use shards::account;
use shards::snapshot::{ConnectionFacts, ConnectionQuery, Query, Sort};

use super::http::Answer;
use super::query::{Parameters, QueryError};
use super::subsz::SubscriptionDetail;
use super::{Head, Monitor, Outcome, json, page, sum, times};
use crate::config::duration;

#[derive(Serialize)]
struct Connz {
    #[serde(flatten)]
    head: Head,
    num_connections: usize,
    total: usize,
    offset: usize,
    limit: usize,
    connections: Option<Vec<ConnInfo>>,
}

#[derive(Serialize)]
struct ConnInfo {
    cid: u64,
    kind: &'static str,
    r#type: &'static str,
    ip: String,
    port: u16,
    start: String,
    last_activity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    rtt: String,
    uptime: String,
    idle: String,
    pending_bytes: usize,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stalls: Option<u64>,
    subscriptions: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lang: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorized_user: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list_detail: Vec<SubscriptionDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_tag: Option<&'static str>,
}

/// How much is said about subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subscriptions {
    No,
    Subjects,
    Details,
}

/// `subs`: a truth value, or `detail`.
pub(super) fn subscriptions_wanted(parameters: &Parameters) -> Result<Subscriptions, QueryError> {
    if parameters.bytes("subs").is_some_and(|value| value.eq_ignore_ascii_case(b"detail")) {
        return Ok(Subscriptions::Details);
    }
    Ok(if parameters.boolean("subs")? { Subscriptions::Subjects } else { Subscriptions::No })
}

/// `state`: open and closed ones?
fn states(parameters: &Parameters) -> Result<(bool, bool), QueryError> {
    let Some(state) = parameters.text("state") else { return Ok((true, false)) };
    match state.to_lowercase().as_str() {
        "open" => Ok((true, false)),
        "closed" => Ok((false, true)),
        "any" | "all" => Ok((true, true)),
        _ => Err(QueryError::Meaning(format!("Error decoding state for {state}"))),
    }
}

fn sort(parameters: &Parameters, open: bool) -> Result<Sort, QueryError> {
    let Some(name) = parameters.text("sort") else { return Ok(Sort::Cid) };
    match name.as_str() {
        "cid" => Ok(Sort::Cid),
        "start" => Ok(Sort::Start),
        "uptime" => Ok(Sort::Uptime),
        "subs" => Ok(Sort::Subscriptions),
        "pending" => Ok(Sort::Pending),
        "msgs_to" => Ok(Sort::MessagesTo),
        "msgs_from" => Ok(Sort::MessagesFrom),
        "bytes_to" => Ok(Sort::BytesTo),
        "bytes_from" => Ok(Sort::BytesFrom),
        "last" => Ok(Sort::Last),
        "idle" => Ok(Sort::Idle),
        "rtt" => Ok(Sort::Rtt),
        "stop" | "reason" if open => {
            Err(QueryError::Meaning(format!("sort by {name} only valid on closed connections")))
        }
        "stop" => Ok(Sort::Stop),
        "reason" => Ok(Sort::Reason),
        _ => Err(QueryError::Meaning(format!("invalid sorting option: {name}"))),
    }
}

impl Monitor {
    pub(super) fn connz(&self, parameters: &Parameters) -> Outcome {
        let auth = parameters.boolean("auth")?;
        let subscriptions = subscriptions_wanted(parameters)?;
        let (offset, mut limit) = page(parameters)?;
        let cid = Some(parameters.unsigned("cid")?).filter(|cid| *cid > 0);
        let (open, closed) = states(parameters)?;
        self.hit("/connz");
        let sort = sort(parameters, open)?;
        if cid.is_some() {
            limit = 1;
        }
        let mut head = self.head();
        if parameters.text("acc").is_some_and(|name| name != account::GLOBAL.name()) {
            head.server_id = String::new();
            let none = Connz { head, num_connections: 0, total: 0, offset, limit, connections: None };
            return Ok(Answer::json("200 OK", json::pretty(&none)));
        }
        let snapshots = self.ask(Query {
            connections: Some(ConnectionQuery {
                open,
                closed,
                cid,
                user: parameters.text("user"),
                sort,
                // There are no MQTT clients yet: whoever looks for one finds none.
                first: if parameters.bytes("mqtt_client").is_some() { 0 } else { offset.saturating_add(limit) },
                subscriptions: subscriptions != Subscriptions::No,
            }),
            ..Query::default()
        })?;
        let totals = sum(&snapshots);
        let remembered = totals.closed.min(usize::try_from(self.options.limits.max_closed_clients).unwrap_or(0));
        let total = if open { totals.connections } else { 0 } + if closed { remembered } else { 0 };
        let now = snapshots.iter().map(|snapshot| snapshot.now).max().unwrap_or_default();
        let mut found: Vec<&Arc<ConnectionFacts>> = snapshots.iter().flat_map(|one| &one.connections).collect();
        found.sort_by_key(|facts| (sort.rank(&facts.numbers, now), facts.numbers.cid));
        let page = found.into_iter().skip(offset).take(limit);
        let connections: Vec<ConnInfo> = page.map(|facts| self.describe(facts, now, auth, subscriptions)).collect();
        let connz =
            Connz { head, num_connections: connections.len(), total, offset, limit, connections: Some(connections) };
        Ok(Answer::json("200 OK", json::pretty(&connz)))
    }

    fn describe(&self, facts: &ConnectionFacts, now: Duration, auth: bool, wanted: Subscriptions) -> ConnInfo {
        let numbers = &facts.numbers;
        let at = |since_start: Duration| times::timestamp(self.time(since_start));
        let is_closed = numbers.stop.is_some();
        let given = |text: &Option<Box<str>>| text.clone().filter(|text| !text.is_empty());
        let mut info = ConnInfo {
            cid: numbers.cid,
            kind: "Client",
            r#type: "nats",
            ip: facts.peer.ip().to_string(),
            port: facts.peer.port(),
            start: at(numbers.start),
            last_activity: at(numbers.last_activity),
            stop: numbers.stop.map(|(stop, _)| at(stop)),
            reason: numbers.stop.map(|(_, reason)| reason.to_string()),
            rtt: duration::format(numbers.rtt),
            uptime: times::uptime(numbers.uptime(now)),
            idle: times::uptime(numbers.idle(now)),
            pending_bytes: numbers.pending,
            in_msgs: numbers.received.messages,
            out_msgs: numbers.sent.messages,
            in_bytes: numbers.received.bytes,
            out_bytes: numbers.sent.bytes,
            stalls: Some(facts.stalls).filter(|stalls| *stalls > 0),
            subscriptions: numbers.subscriptions,
            name: given(&facts.name),
            lang: given(&facts.lang),
            version: given(&facts.version),
            authorized_user: facts.user.clone().filter(|_| auth),
            account: Some(facts.account.name()).filter(|_| auth && facts.account != account::GLOBAL),
            subscriptions_list: Vec::new(),
            subscriptions_list_detail: Vec::new(),
            name_tag: Some(facts.account.name()).filter(|_| auth && !is_closed),
        };
        let subscriptions = facts.subscriptions.iter();
        match wanted {
            Subscriptions::No => {}
            Subscriptions::Subjects => {
                info.subscriptions_list =
                    subscriptions.map(|facts| String::from_utf8_lossy(&facts.subject).into_owned()).collect();
            }
            Subscriptions::Details => {
                info.subscriptions_list_detail =
                    subscriptions.map(|facts| SubscriptionDetail::new(facts, is_closed)).collect();
            }
        }
        info
    }
}
