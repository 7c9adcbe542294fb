//! `/subsz`: the table of subscriptions, and the subscriptions themselves if asked for.

use serde::Serialize;
use shards::account;
use shards::snapshot::{Query, SubscriptionFacts, SubscriptionQuery, Totals};
use shards::subject;

use super::http::Answer;
use super::query::{Parameters, QueryError};
use super::{Head, Monitor, Outcome, json, page, sum};

/// The reference's table has a cache and counts its matches; ours is made otherwise, so these stay zero.
#[derive(Debug, Default, Serialize)]
pub(super) struct TableStats {
    num_subscriptions: usize,
    num_cache: u64,
    num_inserts: u64,
    num_removes: u64,
    num_matches: u64,
    cache_hit_rate: f64,
    max_fanout: u64,
    avg_fanout: f64,
}

impl From<&Totals> for TableStats {
    fn from(totals: &Totals) -> Self {
        TableStats {
            num_subscriptions: totals.subscriptions + totals.interests,
            // What other servers wanted once and do not any more is not counted.
            num_inserts: totals.subscribed + totals.interests as u64,
            num_removes: totals.subscribed.saturating_sub(totals.subscriptions as u64),
            ..TableStats::default()
        }
    }
}

/// One subscription, in `/connz` too.
#[derive(Debug, Serialize)]
pub(super) struct SubscriptionDetail {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_tag: Option<&'static str>,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    qgroup: Option<String>,
    sid: String,
    msgs: u32,
    #[serde(skip_serializing_if = "is_zero")]
    max: u32,
    cid: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's way to ask")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl SubscriptionDetail {
    pub(super) fn new(facts: &SubscriptionFacts, with_account: bool) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let account = with_account.then(|| facts.account.name());
        SubscriptionDetail {
            account,
            account_tag: account,
            subject: text(&facts.subject),
            qgroup: facts.queue.as_deref().map(text),
            sid: text(facts.sid.as_bytes()),
            msgs: facts.delivered,
            max: facts.max,
            cid: facts.cid,
        }
    }
}

#[derive(Serialize)]
struct Subsz {
    #[serde(flatten)]
    head: Head,
    #[serde(flatten)]
    table: TableStats,
    total: usize,
    offset: usize,
    limit: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<SubscriptionDetail>,
}

impl Monitor {
    pub(super) fn subsz(&self, parameters: &Parameters) -> Outcome {
        let wanted = parameters.boolean("subs")?;
        let (offset, limit) = page(parameters)?;
        let test = parameters.bytes("test").map(<[u8]>::to_vec);
        if let Some(test) = &test
            && (subject::has_empty_token(test) || !subject::is_literal(test))
        {
            let test = String::from_utf8_lossy(test);
            let text = format!("invalid test subject, must be valid publish subject: {test}");
            return Err(QueryError::Meaning(text).into());
        }
        let (mut table, mut total, mut subscriptions_list) = (TableStats::default(), 0, Vec::new());
        if parameters.text("acc").is_none_or(|name| name == account::GLOBAL.name()) {
            let first = offset.saturating_add(limit);
            let subscriptions = wanted.then_some(SubscriptionQuery { test, first });
            let snapshots = self.ask(Query { subscriptions, ..Query::default() })?;
            table = TableStats::from(&sum(&snapshots));
            total = snapshots.iter().map(|snapshot| snapshot.matching).sum();
            // Shard after shard: what a shard left out of its list lies behind the end of the page.
            let all = snapshots.iter().flat_map(|snapshot| &snapshot.subscriptions);
            subscriptions_list =
                all.skip(offset).take(limit).map(|facts| SubscriptionDetail::new(facts, true)).collect();
        }
        let subsz = Subsz { head: self.head(), table, total, offset, limit, subscriptions_list };
        Ok(Answer::json("200 OK", json::pretty(&subsz)))
    }
}
