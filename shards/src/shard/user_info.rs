//! `$SYS.REQ.USER.INFO`: a client asks the server who it is.
//!
//! The subject is an ordinary one besides: whoever is subscribed to it gets the request, too.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::Serialize;

use super::mail::{Message, Origin};
use super::{Core, Shard};
use crate::account::AccountId;
use crate::connection::Key;
use crate::protocol::json;

/// Is this the subject of the request?
pub(super) fn is_request(subject: &[u8]) -> bool {
    subject == b"$SYS.REQ.USER.INFO"
}

#[derive(Serialize)]
struct Answer<'a> {
    server: ServerInfo<'a>,
    data: UserInfo<'a>,
}

/// What every message of the server begins with.
#[derive(Serialize)]
struct ServerInfo<'a> {
    name: &'a str,
    host: &'a str,
    id: &'a str,
    ver: &'a str,
    jetstream: bool,
    flags: u64,
    /// Grows with each message.
    seq: u64,
    time: String,
}

#[derive(Serialize)]
struct UserInfo<'a> {
    user: &'a str,
    account: &'a str,
    account_name: &'a str,
}

impl Shard {
    /// Publishes the answer to a request, for whoever listens to its reply subject.
    #[cold]
    pub(super) fn answer_user_info(&mut self, account: AccountId, requester: Origin, reply: &[u8]) {
        let Shard { cache, core, .. } = self;
        let Some(body) = core.user_info(requester.connection) else { return };
        let mut tail = format!("{}\r\n", body.len()).into_bytes();
        tail.extend_from_slice(&body);
        tail.extend_from_slice(b"\r\n");
        let message = Message {
            account,
            subject: reply,
            tail: &tail,
            reply_len: 0,
            header_len: 0,
            body_len: body.len(),
            wide: None,
            large: None,
        };
        let found = cache.look_up(&core.sources(account), &core.hasher, reply);
        // It is the server's message, so one that does not want its own gets it.
        core.deliver(cache.plan(found), &message, Origin { echo: true, ..requester });
    }
}

impl Core {
    fn user_info(&mut self, requester: Key) -> Option<Vec<u8>> {
        self.own_messages += 1;
        let (seq, time) = (self.own_messages, self.wall_clock());
        let connection = self.connections.get(requester.index as usize).filter(|found| found.key == requester)?;
        let account = connection.account.name();
        let user = match (connection.options.user(), connection.options.auth_token()) {
            (Some(user), _) => user,
            (None, Some(_)) => "[REDACTED]",
            (None, None) => "",
        };
        let identity = &self.config.identity;
        let answer = Answer {
            server: ServerInfo {
                name: &identity.server_name,
                host: &identity.host,
                id: &identity.server_id,
                ver: &identity.version,
                jetstream: false,
                flags: 0,
                seq,
                time: time.to_string(),
            },
            data: UserInfo { user, account, account_name: account },
        };
        let mut body = Vec::new();
        json::append(&mut body, &answer);
        Some(body)
    }

    /// The time of day of this turn.
    fn wall_clock(&self) -> Timestamp {
        let time: SystemTime = self.config.identity.started + Duration::from_millis(self.now);
        Timestamp::try_from(time).unwrap_or_default()
    }
}
