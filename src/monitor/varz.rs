//! `/varz`: who the server is, what it was told, and what it has done so far.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use shards::config::{BUILT_WITH, Cluster, RouteUrl};
use shards::snapshot::Query;

use super::http::Answer;
use super::query::Parameters;
use super::{Monitor, Outcome, json, process, sum, times};
use crate::go_text::join_host_port;
use crate::options::{ClusterOptions, WriteTimeout};

/// A part of the server that is off.
#[derive(Serialize)]
struct Off {}

/// In the order of the reference's answer.
#[derive(Serialize)]
struct Varz<'a> {
    server_id: &'a str,
    server_name: &'a str,
    version: &'a str,
    proto: u8,
    git_commit: &'a str,
    go: &'a str,
    host: &'a str,
    port: u16,
    #[serde(skip_serializing_if = "is_false")]
    auth_required: bool,
    #[serde(skip_serializing_if = "is_empty")]
    connect_urls: &'a [String],
    max_connections: i64,
    #[serde(skip_serializing_if = "is_zero")]
    max_subscriptions: i64,
    ping_interval: u64,
    ping_max: i64,
    http_host: &'a str,
    http_port: i64,
    http_base_path: &'a str,
    https_port: i64,
    auth_timeout: f64,
    max_control_line: i64,
    max_payload: i64,
    max_pending: i64,
    cluster: ClusterVarz<'a>,
    gateway: Off,
    leaf: Off,
    mqtt: Off,
    websocket: Off,
    jetstream: Off,
    tls_timeout: f64,
    write_deadline: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_timeout: Option<&'a str>,
    start: String,
    now: String,
    uptime: String,
    mem: u64,
    cores: usize,
    gomaxprocs: usize,
    cpu: f64,
    connections: usize,
    total_connections: u64,
    routes: usize,
    remotes: usize,
    leafnodes: u64,
    in_msgs: u64,
    in_bytes: u64,
    in_client_msgs: u64,
    in_client_bytes: u64,
    out_msgs: u64,
    out_bytes: u64,
    out_client_msgs: u64,
    out_client_bytes: u64,
    slow_consumers: u64,
    stale_connections: u64,
    stalled_clients: u64,
    subscriptions: usize,
    http_req_stats: BTreeMap<&'static str, u64>,
    config_load_time: String,
    config_digest: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    feature_flags: BTreeMap<&'a str, bool>,
    slow_consumer_stats: ByKind,
    stale_connection_stats: ByKind,
    disk_io_wait_stats: DiskWaits,
}

/// `cluster {}`: without a cluster, what was said of one all the same.
#[derive(Default, Serialize)]
struct ClusterVarz<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    addr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_timeout: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_timeout: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool_size: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_deadline: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_timeout: Option<&'a str>,
}

/// What the reference says without TLS.
const TLS_TIMEOUT: f64 = 2.0;

impl<'a> ClusterVarz<'a> {
    fn new(options: &'a ClusterOptions, cluster: Option<&'a Cluster>, name: &'a str) -> Self {
        let url = |route: &RouteUrl| match route.port {
            Some(port) => join_host_port(&route.host, port.into()),
            None => route.host.clone(),
        };
        ClusterVarz {
            name: if cluster.is_some() { Some(name) } else { options.name.as_deref() },
            addr: Some(options.host.as_str()).filter(|host| !host.is_empty()),
            cluster_port: cluster.map(|cluster| cluster.port),
            auth_timeout: cluster
                .map(|_| options.auth_timeout())
                .or(options.auth_timeout)
                .map(|span| span.as_secs_f64()),
            urls: options.routes.iter().map(url).collect(),
            tls_timeout: cluster.map(|_| TLS_TIMEOUT),
            pool_size: Some(options.pool_size).filter(|size| *size != 0),
            write_deadline: Some(nanoseconds(options.write_deadline)).filter(|span| *span > 0),
            write_timeout: policy(options.write_timeout),
        }
    }
}

fn policy(write_timeout: WriteTimeout) -> Option<&'static str> {
    match write_timeout {
        WriteTimeout::Default => None,
        WriteTimeout::Close => Some("close"),
        WriteTimeout::Retry => Some("retry"),
    }
}

#[derive(Serialize)]
struct ByKind {
    clients: u64,
    routes: u64,
    gateways: u64,
    leafs: u64,
}

#[derive(Default, Serialize)]
struct DiskWaits {
    waiters: u64,
    waits: u64,
    wait_time: u64,
    max_wait_time: u64,
}

impl ByKind {
    fn new(all: u64, routes: u64) -> Self {
        ByKind { clients: all.saturating_sub(routes), routes, gateways: 0, leafs: 0 }
    }
}

/// The reference's flags and what they are without being configured. Here they change nothing.
const FEATURE_FLAGS: [(&str, bool); 4] = [
    ("js_ack_fc_v2", false),
    ("js_api_reply_v2", false),
    ("js_raft_delete_range", true),
    ("js_snapshot_sources", false),
];

impl Monitor {
    pub(super) fn varz(&self, _: &Parameters) -> Outcome {
        let totals = sum(&self.ask(Query::default())?);
        let mesh = self.ask_mesh()?;
        let from_clients = totals.received.since(totals.routed_in);
        let to_clients = totals.sent.since(totals.routed_out);
        let (identity, options) = (&self.identity, &self.options);
        let (limits, timers) = (&options.limits, &options.timers);
        let auth = &options.auth;
        let now = SystemTime::now();
        let start = times::timestamp(identity.started);
        let flag = |(name, default)| (name, options.feature_flags.get(name).copied().unwrap_or(default));
        let varz = Varz {
            server_id: &identity.server_id,
            server_name: &identity.server_name,
            version: &identity.version,
            proto: 1,
            git_commit: &identity.git_commit,
            go: BUILT_WITH,
            host: &identity.host,
            port: identity.port,
            auth_required: auth.token.is_some() || auth.user.is_some(),
            connect_urls: mesh.connect_urls.as_deref().unwrap_or_default(),
            max_connections: limits.max_connections,
            max_subscriptions: limits.max_subscriptions,
            ping_interval: nanoseconds(timers.ping_interval),
            ping_max: timers.ping_max,
            http_host: &options.http_host,
            http_port: options.http_port,
            http_base_path: &options.http_base_path,
            https_port: 0,
            auth_timeout: options.auth_timeout().as_secs_f64(),
            max_control_line: limits.max_control_line,
            max_payload: limits.max_payload,
            max_pending: limits.max_pending,
            cluster: ClusterVarz::new(&options.cluster, self.cluster.as_ref(), &mesh.cluster),
            gateway: Off {},
            leaf: Off {},
            mqtt: Off {},
            websocket: Off {},
            jetstream: Off {},
            tls_timeout: TLS_TIMEOUT,
            write_deadline: nanoseconds(timers.write_deadline),
            write_timeout: policy(timers.write_timeout),
            uptime: times::uptime(now.duration_since(identity.started).unwrap_or_default()),
            now: times::timestamp(now),
            mem: process::memory(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            gomaxprocs: self.observer.shards(),
            cpu: self.cpu.percent(),
            connections: totals.connections,
            total_connections: totals.opened,
            routes: totals.routes,
            remotes: mesh.remotes,
            leafnodes: 0,
            in_msgs: totals.received.messages,
            in_bytes: totals.received.bytes,
            in_client_msgs: from_clients.messages,
            in_client_bytes: from_clients.bytes,
            out_msgs: totals.sent.messages,
            out_bytes: totals.sent.bytes,
            out_client_msgs: to_clients.messages,
            out_client_bytes: to_clients.bytes,
            slow_consumers: totals.slow_consumers,
            stale_connections: totals.stale_connections,
            stalled_clients: totals.stalls,
            subscriptions: totals.subscriptions + totals.interests,
            http_req_stats: self.hits.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            config_load_time: start.clone(),
            start,
            config_digest: &self.digest,
            tags: &options.server_tags,
            metadata: &options.server_metadata,
            feature_flags: FEATURE_FLAGS.into_iter().map(flag).collect(),
            slow_consumer_stats: ByKind::new(totals.slow_consumers, totals.slow_routes),
            stale_connection_stats: ByKind::new(totals.stale_connections, totals.stale_routes),
            disk_io_wait_stats: DiskWaits::default(),
        };
        Ok(Answer::json("200 OK", json::pretty(&varz)))
    }
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's way to ask")]
fn is_false(truth: &bool) -> bool {
    !truth
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's way to ask")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn is_empty(list: &[String]) -> bool {
    list.is_empty()
}
