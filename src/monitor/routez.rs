//! `/routez`: connections to other servers of the cluster, of which this server has none yet.

use serde::Serialize;

use super::http::Answer;
use super::query::Parameters;
use super::{Monitor, Outcome, connz, json, times};

#[derive(Serialize)]
struct Routez<'a> {
    server_id: &'a str,
    server_name: &'a str,
    now: String,
    num_routes: usize,
    routes: [(); 0],
}

impl Monitor {
    pub(super) fn routez(&self, parameters: &Parameters) -> Outcome {
        connz::subscriptions_wanted(parameters)?;
        self.hit("/routez");
        let now = times::timestamp(std::time::SystemTime::now());
        let (server_id, server_name) = (&self.identity.server_id, &self.identity.server_name);
        let routez = Routez { server_id, server_name, now, num_routes: 0, routes: [] };
        Ok(Answer::json("200 OK", json::pretty(&routez)))
    }
}
