//! `/accountz` and `/accstatz`: the accounts, of which there is one so far, and their traffic.

use serde::Serialize;
use shards::account;
use shards::connection::Traffic;
use shards::snapshot::Query;

use super::http::Answer;
use super::query::{Parameters, QueryError};
use super::subsz::TableStats;
use super::{Head, Monitor, Outcome, json, sum, times};

#[derive(Serialize)]
struct Accountz<'a> {
    #[serde(flatten)]
    head: Head,
    #[serde(skip_serializing_if = "Option::is_none")]
    accounts: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_detail: Option<AccountDetail<'a>>,
}

#[derive(Serialize)]
struct AccountDetail<'a> {
    account_name: &'a str,
    update_time: String,
    expired: bool,
    complete: bool,
    jetstream_enabled: bool,
    leafnode_connections: usize,
    client_connections: usize,
    subscriptions: usize,
    name_tag: &'a str,
    sublist_stats: TableStats,
}

#[derive(Serialize)]
struct Accstatz<'a> {
    #[serde(flatten)]
    head: Head,
    account_statz: Vec<AccountStat<'a>>,
}

#[derive(Serialize)]
struct AccountStat<'a> {
    acc: &'a str,
    name: &'a str,
    conns: usize,
    leafnodes: usize,
    total_conns: usize,
    num_subscriptions: usize,
    sent: DataStats,
    received: DataStats,
    slow_consumers: u64,
}

#[derive(Serialize)]
struct DataStats {
    msgs: u64,
    bytes: u64,
    gateways: Messages,
    routes: Messages,
    leafs: Messages,
}

#[derive(Clone, Copy, Default, Serialize)]
struct Messages {
    msgs: u64,
    bytes: u64,
}

impl DataStats {
    fn new(all: Traffic, routed: Traffic) -> Self {
        let none = Messages::default();
        let routes = Messages { msgs: routed.messages, bytes: routed.bytes };
        DataStats { msgs: all.messages, bytes: all.bytes, gateways: none, routes, leafs: none }
    }
}

impl Monitor {
    pub(super) fn accountz(&self, parameters: &Parameters) -> Outcome {
        let global = account::GLOBAL.name();
        let (mut accounts, mut account_detail) = (None, None);
        match parameters.text("acc") {
            None => accounts = Some([global]),
            Some(name) if name == global => {
                let totals = sum(&self.ask(Query::default())?);
                account_detail = Some(AccountDetail {
                    account_name: global,
                    update_time: times::timestamp(self.identity.started),
                    expired: false,
                    complete: true,
                    jetstream_enabled: false,
                    leafnode_connections: 0,
                    client_connections: totals.connections,
                    subscriptions: totals.subscriptions + totals.interests,
                    name_tag: global,
                    sublist_stats: TableStats::from(&totals),
                });
            }
            Some(name) => return Err(QueryError::Meaning(format!("Account {name} does not exist")).into()),
        }
        let accountz = Accountz { head: self.head(), accounts, account_detail };
        Ok(Answer::json("200 OK", json::pretty(&accountz)))
    }

    pub(super) fn accstatz(&self, parameters: &Parameters) -> Outcome {
        let unused = parameters.boolean("unused")?;
        let totals = sum(&self.ask(Query::default())?);
        let name = account::GLOBAL.name();
        let stat = AccountStat {
            acc: name,
            name,
            conns: totals.connections,
            leafnodes: 0,
            total_conns: totals.connections,
            num_subscriptions: totals.subscriptions + totals.interests,
            sent: DataStats::new(totals.sent, totals.routed_out),
            received: DataStats::new(totals.received, totals.routed_in),
            slow_consumers: totals.slow_consumers,
        };
        let account_statz = if unused || totals.connections > 0 { vec![stat] } else { Vec::new() };
        Ok(Answer::json("200 OK", json::pretty(&Accstatz { head: self.head(), account_statz })))
    }
}
