//! SUB and UNSUB: a connection's subscriptions, from the operation to the interest and back.

use super::Core;
use super::trace::Quoted;
use crate::account::{self, AccountId};
use crate::connection::Key;
use crate::interest::{LearnedInterest, NewSubscription, SubId};
use crate::subject;

/// A queue group of this name is the server's own.
const RESERVED_QUEUE: &[u8] = b"_sys_";
/// A line that any client can cause at will is logged once in so long, in milliseconds.
const COMPLAINT_INTERVAL_MS: u64 = 1000;

/// Subscriptions of closed connections that are ended in one turn.
const ENDED_IN_A_TURN: usize = 4096;

/// A closed connection's subscriptions that are still to be ended.
#[derive(Debug)]
pub(super) struct Leaving {
    pub key: Key,
    account: AccountId,
    ids: Vec<SubId>,
    /// What a route told.
    learned: Option<LearnedInterest>,
}

impl Core {
    /// `SUB`
    pub(super) fn subscribe(&mut self, key: Key, subject: &[u8], queue: Option<&[u8]>, sid: &[u8]) {
        let limits = &self.config.limits;
        let (max_tokens, max_subscriptions) = (limits.max_subscription_tokens, limits.max_subscriptions);
        if queue == Some(RESERVED_QUEUE) {
            let quoted = Quoted(subject);
            let sid = String::from_utf8_lossy(sid);
            let told = format!("Permissions Violation for Subscription to {quoted} using queue \"_sys_\"");
            let logged = format!("Subscription Violation - Subject {quoted}, Queue: \"_sys_\", SID {sid}");
            self.refuse_operation(key, &told, &logged);
            return;
        }
        if max_tokens > 0 && subject::token_count(subject) > max_tokens {
            let quoted = Quoted(subject);
            let sid = String::from_utf8_lossy(sid);
            let told = format!("Permissions Violation for Subscription to {quoted}, too many tokens");
            let logged = format!("Subscription Violation Too Many Tokens - Subject {quoted}, SID {sid}");
            self.refuse_operation(key, &told, &logged);
            return;
        }
        let hash = self.hash_sid(sid);
        let Some(connection) = self.connections.get_mut(key.index as usize) else { return };
        if max_subscriptions > 0 && connection.subscriptions.len() >= max_subscriptions {
            self.too_many_subscriptions(key);
            return;
        }
        if connection.subscriptions.find(&self.local, hash, sid).is_none() {
            if !subject::is_valid_subscription(subject) {
                self.tell_error(key, "Invalid Subject");
                return;
            }
            let account = connection.account;
            let new = NewSubscription { account, connection: key.index, subject, queue, sid };
            let id = self.local.subscribe(new);
            connection.subscriptions.insert(hash, id);
        }
        self.ok_if_verbose(key);
    }

    /// Says so to the client, and to the log once a second at most, whoever it is that tries.
    fn too_many_subscriptions(&mut self, key: Key) {
        const TEXT: &str = "maximum subscriptions exceeded";
        if self.quiet_until <= self.now {
            self.quiet_until = self.now + COMPLAINT_INTERVAL_MS;
            self.log_error(key, TEXT);
        }
        self.tell_error(key, TEXT);
    }

    fn hash_sid(&self, sid: &[u8]) -> u64 {
        self.hasher.hash(account::GLOBAL, sid)
    }

    /// `UNSUB`, now or after so many messages.
    pub(super) fn unsubscribe(&mut self, key: Key, sid: &[u8], max: Option<u64>) {
        let hash = self.hash_sid(sid);
        let connection = self.connections.get(key.index as usize);
        let Some(connection) = connection else { return };
        let (account, id) = (connection.account, connection.subscriptions.find(&self.local, hash, sid));
        self.ok_if_verbose(key);
        let Some(id) = id else { return };
        let delivered = self.local.get(id).map_or(0, |subscription| u64::from(subscription.delivered));
        match max.filter(|&max| max > delivered) {
            // Nine digits at most, so it fits.
            Some(max) => self.local.set_max(account, id, u32::try_from(max).unwrap_or(u32::MAX)),
            None => self.remove_subscription(key, id),
        }
    }

    /// Ends one subscription.
    pub(super) fn remove_subscription(&mut self, key: Key, id: SubId) {
        let Some(subscription) = self.local.get(id) else { return };
        let hash = self.hash_sid(subscription.sid.as_bytes());
        let Some(connection) = self.connection(key) else { return };
        let account = connection.account;
        connection.subscriptions.remove(hash, id);
        self.end_subscription(key, account, id);
    }

    /// Ends all subscriptions of a connection.
    pub(super) fn drop_subscriptions(&mut self, key: Key) {
        let Some(connection) = self.connection(key) else { return };
        let account = connection.account;
        for id in connection.subscriptions.take() {
            self.end_subscription(key, account, id);
        }
    }

    /// Ends all subscriptions of a connection that is being closed: at once if they are few, else some in each turn, so that nobody
    /// waits while a million of them go. The connection accepts no message in the meantime.
    pub(super) fn leave(&mut self, key: Key) {
        let Some(connection) = self.connection(key) else { return };
        let (account, ids) = (connection.account, connection.subscriptions.take());
        let learned = connection.route.as_mut().map(|route| {
            let nothing = LearnedInterest::new(route.peer, account);
            std::mem::replace(&mut route.learned, nothing)
        });
        self.leaving.push(Leaving { key, account, ids, learned });
        self.end_some_subscriptions();
    }

    /// Goes on with connections that have many subscriptions to end.
    pub(super) fn end_some_subscriptions(&mut self) {
        let mut left = ENDED_IN_A_TURN;
        while let Some(mut leaving) = self.leaving.pop() {
            while left > 0
                && let Some(id) = leaving.ids.pop()
            {
                left -= 1;
                self.end_subscription(leaving.key, leaving.account, id);
            }
            if let Some(learned) = &mut leaving.learned
                && !learned.take_back(&self.directory, ENDED_IN_A_TURN)
            {
                self.leaving.push(leaving);
                return;
            }
            if !leaving.ids.is_empty() {
                self.leaving.push(leaving);
                return;
            }
            if self.connection(leaving.key).is_some_and(|connection| connection.flags.gone) {
                self.forget(leaving.key);
            }
        }
    }

    /// Ends the interest of a subscription that its connection has forgotten.
    fn end_subscription(&mut self, key: Key, account: AccountId, id: SubId) {
        let gone = self.local.unsubscribe(account, id);
        if self.tracing
            && let Some(gone) = gone
        {
            let sid = String::from_utf8_lossy(gone.sid.as_bytes());
            self.trace_line(key, "<->", &format!("DELSUB {sid}"));
        }
    }
}
