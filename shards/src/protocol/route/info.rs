//! `INFO` between servers: what a server says of itself, or hears of third ones.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::protocol::connect::{ConnectError, mismatch};
use crate::protocol::json;

/// The contents of an INFO. What is false, 0 or empty is left out unless it says otherwise.
///
/// The order of the fields is that of the reference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteInfo {
    /// Public key of the server, new with each start; always there. Empty in the requests that a changed configuration causes.
    pub server_id: String,
    /// Configured name, else the id; always there.
    pub server_name: String,
    /// Any text; always there.
    pub version: String,
    /// 2: knows accounts; 3: knows how to trace messages; always there.
    pub proto: i64,
    /// Version of the compiler; always there.
    pub go: String,
    /// Where routes are accepted, or what is advertised of that; always there.
    pub host: String,
    /// The port of that; always there.
    pub port: i64,
    /// May be sent headers; always there.
    pub headers: bool,
    /// Routes need a user and a password.
    #[serde(skip_serializing_if = "is_default")]
    pub auth_required: bool,
    /// Routes are TLS.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_required: bool,
    /// Routes need certificates.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_verify: bool,
    /// Limit for clients of that server; always there.
    pub max_payload: i64,
    /// It has JetStream.
    #[serde(skip_serializing_if = "is_default")]
    pub jetstream: bool,
    /// URL to dial, `nats-route://host:port/`: where something is advertised, and in gossip.
    #[serde(skip_serializing_if = "is_default")]
    pub ip: String,
    /// Without use.
    #[serde(skip_serializing_if = "is_default")]
    pub nonce: String,
    /// Name of the cluster.
    #[serde(skip_serializing_if = "is_default")]
    pub cluster: String,
    /// That name was generated.
    #[serde(skip_serializing_if = "is_default")]
    pub cluster_dynamic: bool,
    /// Domain of JetStream.
    #[serde(skip_serializing_if = "is_default")]
    pub domain: String,
    /// Where its clients connect, `host:port`.
    #[serde(skip_serializing_if = "is_default")]
    pub connect_urls: Vec<String>,
    /// The same for WebSocket.
    #[serde(skip_serializing_if = "is_default")]
    pub ws_connect_urls: Vec<String>,
    /// It is about to leave.
    #[serde(skip_serializing_if = "is_default")]
    pub ldm: bool,
    /// How it would compress; not supported when this is empty.
    #[serde(skip_serializing_if = "is_default")]
    pub compression: String,
    /// Which of its own interest it announces.
    #[serde(skip_serializing_if = "is_default")]
    pub import: Option<SubjectPermission>,
    /// Which announced interest it accepts.
    #[serde(skip_serializing_if = "is_default")]
    pub export: Option<SubjectPermission>,
    /// It understands `LS+` and `LMSG` with an origin.
    #[serde(skip_serializing_if = "is_default")]
    pub lnoc: bool,
    /// It understands `LS-` with an origin.
    #[serde(skip_serializing_if = "is_default")]
    pub lnocu: bool,
    /// Another ability for leaf nodes.
    #[serde(skip_serializing_if = "is_default")]
    pub ln: bool,
    /// Connections that it wants to each other server; 0: one, and knows no pools.
    #[serde(skip_serializing_if = "is_default")]
    pub route_pool_size: i64,
    /// Place of this connection in the pool. Only who dialled says so.
    #[serde(skip_serializing_if = "is_default")]
    pub route_pool_idx: i64,
    /// This connection is for one account.
    #[serde(skip_serializing_if = "is_default")]
    pub route_account: String,
    /// Asks, after a changed configuration, to give an account its own connection.
    #[serde(skip_serializing_if = "is_default")]
    pub route_acc_add_reqid: String,
    /// Whether to pass on what is gossiped: 0 as usual, 1 never, 2 always.
    #[serde(skip_serializing_if = "is_default")]
    pub gossip_mode: u8,
    /// Name of a gateway, which this then is about.
    #[serde(skip_serializing_if = "is_default")]
    pub gateway: String,
    /// Where gateways connect.
    #[serde(skip_serializing_if = "is_default")]
    pub gateway_url: String,
    /// Where leaf nodes connect.
    #[serde(skip_serializing_if = "is_default")]
    pub leafnode_urls: Vec<String>,
    /// What only servers of this kind say to each other; others ignore it.
    #[serde(rename = "x_pinmesh_route", skip_serializing_if = "is_default", deserialize_with = "lanes_if_understood")]
    pub lanes: Option<LanesOffer>,
}

/// Subjects that are allowed (all, when there are none) and denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubjectPermission {
    /// Only these.
    #[serde(skip_serializing_if = "is_default")]
    pub allow: Vec<String>,
    /// Not these.
    #[serde(skip_serializing_if = "is_default")]
    pub deny: Vec<String>,
}

/// Offers lanes, one for each shard (from the side that accepted), or says which lane this is (from the one that dialled).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanesOffer {
    v: u32,
    /// How many.
    pub lanes: u16,
    /// Which one this is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lane: Option<u16>,
    /// Random name of the offer: lanes of different starts never mix.
    pub inst: String,
    /// On lane 0, from time to time: the ids of all servers that this one has routes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knows: Option<Vec<String>>,
}

impl LanesOffer {
    /// The only version of this there is.
    const VERSION: u32 = 1;

    /// An offer of lanes, or the answer that this is one of them.
    pub fn new(lanes: u16, lane: Option<u16>, inst: String) -> LanesOffer {
        LanesOffer { v: LanesOffer::VERSION, lanes, lane, inst, knows: None }
    }

    fn is_understood(&self) -> bool {
        self.v == LanesOffer::VERSION && self.lanes > 0 && self.lane.is_none_or(|lane| lane < self.lanes)
    }
}

impl RouteInfo {
    /// Reads the object as tolerantly as the reference: names match in any case, unknown ones are ignored, `null` is nothing.
    pub fn parse(json: &[u8]) -> Result<RouteInfo, ConnectError> {
        let fields = mismatch::fields(&mismatch::INFO, &String::from_utf8_lossy(json)).map_err(ConnectError::syntax)?;
        serde_json::from_value(Value::Object(fields.map_err(ConnectError::Mismatch)?)).map_err(ConnectError::syntax)
    }

    /// Appends the whole line; the blank before its end is the reference's.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"INFO ");
        json::append(out, self);
        out.extend_from_slice(b" \r\n");
    }

    /// Appends the line that tells third servers of this one: without what is only for the other end of the connection. A server that
    /// has not said which URL to dial is reached at `host`, its address as seen from here.
    pub fn write_gossip(&self, out: &mut Vec<u8>, host: IpAddr, gossip_mode: u8) {
        let mut told = RouteInfo { nonce: String::new(), lanes: None, gossip_mode, ..self.clone() };
        if told.ip.is_empty() {
            let brackets = if host.is_ipv6() { ("[", "]") } else { ("", "") };
            told.ip = format!("nats-route://{}{host}{}:{}/", brackets.0, brackets.1, self.port);
        }
        out.extend_from_slice(b"INFO ");
        json::append(out, &told);
        out.extend_from_slice(b"\r\n");
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What another version of this server may say is no reason to close a connection.
fn lanes_if_understood<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<LanesOffer>, D::Error> {
    let offer: Result<LanesOffer, _> = serde_json::from_value(Value::deserialize(deserializer)?);
    Ok(offer.ok().filter(LanesOffer::is_understood))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn parsed(json: &str) -> RouteInfo {
        RouteInfo::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("INFO is text")
    }

    const FROM_2_15: &str = r#"{"server_id":"NA","server_name":"A","version":"2.15.1","proto":3,"go":"go1.27.2","host":"127.0.0.1","port":14101,"headers":true,"auth_required":true,"max_payload":1048576,"ip":"nats-route://a:1/","nonce":"-bL_GrEzeEF_uYg","cluster":"C","cluster_dynamic":true,"connect_urls":["127.0.0.1:14100"],"ldm":true,"compression":"accept","import":{"allow":["a.\u003e"],"deny":["b"]},"export":{"allow":["c"]},"lnoc":true,"lnocu":true,"ln":true,"route_pool_size":3,"route_pool_idx":2,"route_account":"$SYS","route_acc_add_reqid":"x","gossip_mode":2}"#;

    #[test]
    fn what_the_reference_writes_is_understood_and_written_the_same() {
        let info = parsed(FROM_2_15);
        assert_eq!((info.server_id.as_str(), info.port, info.headers), ("NA", 14101, true));
        assert_eq!(info.import, Some(SubjectPermission { allow: vec!["a.>".into()], deny: vec!["b".into()] }));
        assert_eq!((info.route_pool_size, info.route_pool_idx, info.gossip_mode), (3, 2, 2));
        assert_eq!(written(|out| info.write(out)), format!("INFO {FROM_2_15} \r\n"));
    }

    #[test]
    fn what_is_always_there() {
        assert_eq!(
            written(|out| RouteInfo::default().write(out)),
            "INFO {\"server_id\":\"\",\"server_name\":\"\",\"version\":\"\",\"proto\":0,\"go\":\"\",\"host\":\"\",\"port\":0,\
             \"headers\":false,\"max_payload\":0} \r\n"
        );
    }

    #[test]
    fn tolerance() {
        for json in ["null", "{}", r#"{"server_id":null,"x":[1,{}],"import":null}  "#] {
            assert_eq!(parsed(json), RouteInfo::default(), "{json}");
        }
        assert_eq!(parsed(r#"{"SERVER_ID":"a","Port":7,"import":{"Allow":null}}"#).port, 7);
    }

    #[test]
    fn refusals() {
        for (json, complaint) in [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("[]", "json: cannot unmarshal array into Go value of type server.Info"),
            (r#"{"port":"x"}"#, "json: cannot unmarshal string into Go struct field Info.port of type int"),
            (
                r#"{"gossip_mode":256}"#,
                "json: cannot unmarshal number 256 into Go struct field Info.gossip_mode of type uint8",
            ),
            (
                r#"{"import":[]}"#,
                "json: cannot unmarshal array into Go struct field Info.import of type server.SubjectPermission",
            ),
            (
                r#"{"import":{"allow":1}}"#,
                "json: cannot unmarshal number into Go struct field Info.import.allow of type []string",
            ),
        ] {
            assert_eq!(RouteInfo::parse(json.as_bytes()).expect_err(json).to_string(), complaint);
        }
    }

    #[test]
    fn lanes() {
        let offer = |lane| Some(LanesOffer::new(4, lane, "r".into()));
        for (json, lanes) in [
            (r#"{"v":1,"lanes":4,"inst":"r"}"#, offer(None)),
            (r#"{"v":1,"lanes":4,"lane":3,"inst":"r","later":true}"#, offer(Some(3))),
            (r#"{"v":1,"lanes":4,"lane":4,"inst":"r"}"#, None),
            (r#"{"v":2,"lanes":4,"inst":"r"}"#, None),
            (r#"{"v":1,"lanes":0,"inst":"r"}"#, None),
            (r#"{"v":1,"lanes":-1,"inst":"r"}"#, None),
            (r#"{"v":1,"lanes":4}"#, None),
            ("7", None),
            ("null", None),
        ] {
            assert_eq!(parsed(&format!("{{\"x_pinmesh_route\":{json}}}")).lanes, lanes, "{json}");
        }
        let info = RouteInfo { lanes: offer(Some(1)), ..RouteInfo::default() };
        let line = written(|out| info.write(out));
        assert!(line.ends_with(",\"x_pinmesh_route\":{\"v\":1,\"lanes\":4,\"lane\":1,\"inst\":\"r\"}} \r\n"), "{line}");
    }

    #[test]
    fn gossip() {
        let info = RouteInfo {
            port: 7,
            nonce: "n".into(),
            lanes: Some(LanesOffer::new(4, None, "r".into())),
            ..RouteInfo::default()
        };
        let told = |info: &RouteInfo, host: IpAddr, mode| {
            let line = written(|out| info.write_gossip(out, host, mode));
            parsed(line.strip_prefix("INFO ").and_then(|line| line.strip_suffix("\r\n")).expect("one line"))
        };
        let expected = RouteInfo { nonce: String::new(), lanes: None, gossip_mode: 1, ..info.clone() };
        let over_v4 = RouteInfo { ip: "nats-route://127.0.0.1:7/".into(), ..expected.clone() };
        assert_eq!(told(&info, Ipv4Addr::LOCALHOST.into(), 1), over_v4);
        let over_v6 = RouteInfo { ip: "nats-route://[::1]:7/".into(), ..expected.clone() };
        assert_eq!(told(&info, Ipv6Addr::LOCALHOST.into(), 1), over_v6);
        let advertised = RouteInfo { ip: "nats-route://example.com:8/".into(), ..expected };
        assert_eq!(told(&advertised, Ipv4Addr::LOCALHOST.into(), 1), advertised);
    }
}
