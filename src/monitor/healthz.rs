//! `/healthz`: is the server there for clients? It is when this is asked: the port answers once the listeners do.

use log::warn;
use serde::Serialize;

use super::http::Answer;
use super::query::Parameters;
use super::{Monitor, Outcome};

#[derive(Default, Serialize)]
struct Health<'a> {
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<[Detail<'a>; 1]>,
}

#[derive(Serialize)]
struct Detail<'a> {
    r#type: &'a str,
    error: &'a str,
}

impl Monitor {
    pub(super) fn healthz(&self, parameters: &Parameters) -> Outcome {
        let deprecated = parameters.boolean("js-enabled")?;
        for name in ["js-enabled-only", "js-server-only", "js-meta-only"] {
            parameters.boolean(name)?;
        }
        let details = parameters.boolean("details")?;
        if deprecated {
            warn!("Healthcheck: js-enabled deprecated, use js-enabled-only instead");
        }
        let named = |name: &str| parameters.bytes(name).is_some();
        // Without JetStream there is no more to check than whether the question makes sense.
        let error = match (named("account"), named("stream"), named("consumer")) {
            (false, true, _) => Some("\"account\" must not be empty when checking stream health"),
            (_, false, true) => Some("\"stream\" must not be empty when checking consumer health"),
            _ => None,
        };
        let Some(error) = error else {
            return Ok(Answer::json("200 OK", compact(&Health { status: "ok", ..Health::default() })));
        };
        let health = if details {
            warn!("Healthcheck failed: 1 errors");
            Health { status: "error", errors: Some([Detail { r#type: "BAD_REQUEST", error }]), ..Health::default() }
        } else {
            warn!("Healthcheck failed: {error:?}");
            Health { status: "error", error: Some(error), ..Health::default() }
        };
        Ok(Answer::json("400 Bad Request", compact(&health)))
    }
}

fn compact(health: &Health<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    shards::protocol::json::append(&mut out, health);
    out
}
