//! Endpoints of parts that this server does not have, as the reference answers them while those parts are off.

use serde::Serialize;
use serde_json::{Map, Value};

use super::http::Answer;
use super::query::Parameters;
use super::{Head, Monitor, Outcome, json};

#[derive(Serialize)]
struct Leafz {
    #[serde(flatten)]
    head: Head,
    leafnodes: u64,
    leafs: [(); 0],
}

#[derive(Serialize)]
struct Gatewayz {
    #[serde(flatten)]
    head: Head,
    outbound_gateways: Map<String, Value>,
    inbound_gateways: Map<String, Value>,
}

#[derive(Default, Serialize)]
struct Jsz {
    memory: u64,
    storage: u64,
    reserved_memory: u64,
    reserved_storage: u64,
    accounts: u64,
    ha_assets: u64,
    api: JetStreamApi,
    #[serde(flatten)]
    head: Option<Head>,
    disabled: bool,
    config: JetStreamConfig,
    streams: u64,
    consumers: u64,
    messages: u64,
    bytes: u64,
    total: u64,
}

#[derive(Default, Serialize)]
struct JetStreamApi {
    level: u64,
    total: u64,
    errors: u64,
}

#[derive(Default, Serialize)]
struct JetStreamConfig {
    max_memory: u64,
    max_storage: u64,
}

impl Monitor {
    pub(super) fn leafz(&self, parameters: &Parameters) -> Outcome {
        parameters.boolean("subs")?;
        let leafz = Leafz { head: self.head(), leafnodes: 0, leafs: [] };
        Ok(Answer::json("200 OK", json::pretty(&leafz)))
    }

    pub(super) fn gatewayz(&self, parameters: &Parameters) -> Outcome {
        super::connz::subscriptions_wanted(parameters)?;
        parameters.boolean("accs")?;
        let gatewayz = Gatewayz { head: self.head(), outbound_gateways: Map::new(), inbound_gateways: Map::new() };
        Ok(Answer::json("200 OK", json::pretty(&gatewayz)))
    }

    pub(super) fn jsz(&self, parameters: &Parameters) -> Outcome {
        for name in ["accounts", "streams", "consumers", "direct-consumers", "config"] {
            parameters.boolean(name)?;
        }
        for name in ["offset", "limit"] {
            parameters.integer(name)?;
        }
        for name in ["leader-only", "raft", "stream-leader-only"] {
            parameters.boolean(name)?;
        }
        let jsz = Jsz { head: Some(self.head()), disabled: true, ..Jsz::default() };
        Ok(Answer::json("200 OK", json::pretty(&jsz)))
    }

    pub(super) fn raftz(&self, _: &Parameters) -> Outcome {
        Ok(Answer::text("404 Not Found", "No Raft nodes registered"))
    }

    pub(super) fn ipqueuesz(&self, parameters: &Parameters) -> Outcome {
        parameters.boolean("all")?;
        Ok(Answer::json("200 OK", b"{}".to_vec()))
    }
}
