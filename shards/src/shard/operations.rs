//! What a client's operations do.

use super::mail::{Message, Origin};
use super::trace::Quoted;
use super::{COMPLAINT_INTERVAL_MS, Core, LARGE_OPERATION, Shard};
use crate::account::{self, AccountId};
use crate::connection::{CloseReason, Closing, Key, Large, Pause, Traffic};
use crate::interest::{NewSubscription, Sources, SubId};
use crate::protocol::client::{ClientOp, ParseError, ParserLimits, Publish, Step};
use crate::subject;

/// A queue group of this name is the server's own.
const RESERVED_QUEUE: &[u8] = b"_sys_";

/// What publishing needs to know of the publisher. It changes with CONNECT only, so it is looked up once for many messages.
struct Publisher {
    origin: Origin,
    account: AccountId,
    verbose: bool,
    pedantic: bool,
    no_responders: bool,
    /// Its messages need nothing but delivery.
    runs: bool,
    limits: ParserLimits,
}

impl Shard {
    /// Acts on all complete operations in `input`; answers how many bytes are done with. `large`: the input is one operation in a buffer
    /// that may be shared.
    pub(super) fn process(&mut self, key: Key, input: &[u8], large: Option<&Large>) -> usize {
        let Some(connection) = self.core.connection(key) else { return input.len() };
        let mut parser = std::mem::take(&mut connection.parser);
        let mut complained = connection.flags.complained;
        let mut received = Traffic::default();
        let mut at = 0;
        let mut publisher = None;
        self.core.disturbed = true;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            if std::mem::take(&mut self.core.disturbed) {
                match self.core.may_go_on(key, rest) {
                    Verdict::GoOn => {}
                    Verdict::Wait => break,
                    Verdict::End => {
                        at = input.len();
                        break;
                    }
                }
            }
            let publisher = match &mut publisher {
                Some(publisher) => publisher,
                none => match self.core.publisher(key) {
                    Some(found) => none.insert(found),
                    None => return input.len(),
                },
            };
            let step = parser.next(rest, &publisher.limits);
            // By reference: a message's description is too large to be moved for every message.
            if let Step::Op { op: ClientOp::Pub(publish), consumed } = &step {
                at += consumed;
                complained = false;
                received.messages += 1;
                received.bytes += publish.body.len() as u64;
                self.publish(publisher, publish, rest, *consumed, large);
                continue;
            }
            self.close_run();
            match step {
                Step::Op { op, consumed } => {
                    at += consumed;
                    self.core.operate(key, op);
                    // It may have been a CONNECT.
                    match self.core.publisher(key) {
                        Some(found) => *publisher = found,
                        None => return input.len(),
                    }
                }
                Step::Skipped { consumed } => at += consumed,
                Step::Incomplete { needed, publish_subject } => {
                    if let Some(subject) = publish_subject
                        && publisher.pedantic
                        && !complained
                        && !subject::is_publishable_literal(subject)
                    {
                        // Said here and again when the payload is there, as the reference does.
                        complained = true;
                        self.core.tell_error(key, "Invalid Publish Subject");
                    }
                    if let Some(needed) = needed.filter(|needed| *needed > LARGE_OPERATION)
                        && let Some(connection) = self.core.connection(key)
                    {
                        connection.input.large = Some((rest.to_vec(), needed));
                        at = input.len();
                    }
                    break;
                }
                Step::Error(error) => {
                    self.core.parse_error(key, &error);
                    at = input.len();
                    break;
                }
            }
        }
        self.close_run();
        let now = self.core.now;
        if let Some(connection) = self.core.connection(key) {
            connection.parser = parser;
            connection.flags.complained = complained;
            if received.messages > 0 {
                connection.received.messages += received.messages;
                connection.received.bytes += received.bytes;
                connection.last_active = now;
            }
        }
        at
    }

    /// One message from a client. `operation` begins with it and it ends at `end`.
    #[inline]
    fn publish(
        &mut self,
        publisher: &Publisher,
        publish: &Publish<'_>,
        operation: &[u8],
        end: usize,
        large: Option<&Large>,
    ) {
        // One like the message before it.
        if let Some(run) = &mut self.core.run
            && publisher.runs
            && publish.header_len == 0
            && let Some(tail) = publish.tail
            && publish.reply.is_none_or(|reply| !publisher.no_responders && !is_reserved_reply(reply))
            && run.origin == publisher.origin
            && self.cache.continues(
                run.place,
                &Sources {
                    local: &self.core.local,
                    directory: &self.core.directory,
                    account: publisher.account,
                    shard: usize::from(self.core.id),
                },
                publish.subject,
            )
        {
            let wide = operation.get(end.saturating_sub(tail.len())..).and_then(<[u8]>::first_chunk);
            run.append(&mut self.core.arena, tail, wide, publish.body.len());
            return;
        }
        self.close_run();
        self.publish_anew(publisher, publish, operation, end, large);
    }

    /// Checks, in the reference's order, then delivery.
    #[inline(never)]
    fn publish_anew(
        &mut self,
        publisher: &Publisher,
        publish: &Publish<'_>,
        operation: &[u8],
        end: usize,
        large: Option<&Large>,
    ) {
        let Shard { cache, core, .. } = self;
        let key = publisher.origin.connection;
        if core.tracing {
            let name = if publish.header_text.is_some() { "HPUB" } else { "PUB" };
            core.trace_operation(key, name, publish.args);
            core.trace_payload(key, "<<-", publish.body, publish.header_len);
        }
        if publisher.pedantic && !subject::is_publishable_literal(publish.subject) {
            core.tell_error(key, "Invalid Publish Subject");
        }
        if is_reserved_subject(publish.subject) {
            core.violation(key, "Publish", " to ", publish.subject);
            return;
        }
        if let Some(reply) = publish.reply
            && is_reserved_reply(reply)
        {
            core.violation(key, "Publish", " with Reply of ", reply);
            return;
        }
        if publisher.verbose {
            core.ok(key);
        }
        let mut message = Message {
            account: publisher.account,
            subject: publish.subject,
            tail: &[],
            wide: None,
            reply_len: publish.reply.map_or(0, <[u8]>::len),
            header_len: publish.header_len,
            body_len: publish.body.len(),
            large: None,
        };
        let rewritten;
        match publish.tail {
            Some(tail) => {
                // The tail is the end of the operation.
                let start = end.saturating_sub(tail.len());
                message.tail = tail;
                message.wide = operation.get(start..).and_then(<[u8]>::first_chunk);
                message.large = large.map(|data| (data, data.len().saturating_sub(tail.len())));
            }
            None => {
                rewritten = rewrite(publish);
                message.tail = &rewritten;
            }
        }
        let found = cache.look_up(&core.sources(publisher.account), &core.hasher, publish.subject);
        let plan = cache.plan(found);
        let runs = publisher.runs && (message.reply_len == 0 || !publisher.no_responders);
        if runs && core.begin_run(found, plan, &message, publisher.origin) {
            return;
        }
        core.deliver(plan, &message, publisher.origin);
        if let Some(pause) = core.pressure.take() {
            core.pause(key, pause);
        }
    }
}

/// May a connection's input be acted on?
enum Verdict {
    GoOn,
    /// Not now.
    Wait,
    /// Never.
    End,
}

/// The tail of a message that did not come in the usual form.
#[cold]
fn rewrite(publish: &Publish<'_>) -> Vec<u8> {
    let mut tail = Vec::new();
    publish.write_tail(&mut tail);
    tail
}

#[inline]
fn is_reserved_subject(subject: &[u8]) -> bool {
    match subject.first() {
        Some(b'_') => subject.len() > 5 && subject.starts_with(b"_GR_."),
        Some(b'$') => (subject.len() > 4 && subject.starts_with(b"$GR.")) || subject.starts_with(b"$NRG."),
        _ => false,
    }
}

fn is_reserved_reply(reply: &[u8]) -> bool {
    match reply.first() {
        Some(b'_') => reply.starts_with(b"_R_.") || (reply.len() > 5 && reply.starts_with(b"_GR_.")),
        Some(b'$') => {
            (reply.len() > 4 && reply.starts_with(b"$GR.")) || (reply.len() > 8 && reply.starts_with(b"$JS.ACK."))
        }
        _ => false,
    }
}

impl Core {
    fn publisher(&mut self, key: Key) -> Option<Publisher> {
        let limits = &self.config.limits;
        let (max_control_line, max_payload) = (limits.max_control_line, limits.max_payload);
        let (shard, tracing) = (self.id, self.tracing);
        let connection = self.connection(key)?;
        let flags = connection.flags;
        Some(Publisher {
            origin: Origin { shard, connection: key, echo: flags.echo },
            account: connection.account,
            verbose: flags.verbose,
            pedantic: flags.pedantic,
            no_responders: flags.no_responders,
            runs: !tracing && !flags.verbose && !flags.pedantic,
            limits: ParserLimits { max_control_line, max_payload, headers: flags.headers },
        })
    }

    fn may_go_on(&mut self, key: Key, input: &[u8]) -> Verdict {
        let Some(connection) = self.connection(key) else { return Verdict::End };
        if connection.closing.is_some() {
            return Verdict::End;
        }
        if connection.pause.is_some() {
            return Verdict::Wait;
        }
        if !connection.flags.spoke {
            // Who must log in says CONNECT first, and its first byte tells.
            connection.flags.spoke = true;
            if !matches!(input.first(), Some(b'C' | b'c')) {
                self.refuse_before_connect(key);
                return Verdict::End;
            }
        }
        Verdict::GoOn
    }

    pub(super) fn pause(&mut self, key: Key, pause: Pause) {
        let Some(connection) = self.connection(key) else { return };
        if connection.closing.is_some() || connection.pause.is_some() {
            return;
        }
        connection.pause = Some(pause);
        self.disturbed = true;
        match pause {
            // The end of this turn is all that it waits for.
            Pause::Turn => self.resume(key),
            Pause::Credit { target } => self.waiting_for_credit.push((target, key)),
            Pause::Stall { .. } | Pause::Verification => {}
        }
    }

    fn refuse_before_connect(&mut self, key: Key) {
        if let Some(connection) = self.connection(key) {
            log::error!("{} - authentication error", connection.label());
        }
        self.tell_error(key, "Authorization Violation");
        self.close(key, Closing::Flush(CloseReason::AuthenticationFailure));
    }

    fn parse_error(&mut self, key: Key, error: &ParseError) {
        let Some(connection) = self.connection(key) else { return };
        log::error!("{} - {error}", connection.label());
        let reason = match error {
            ParseError::ControlLineExceeded => CloseReason::MaxControlLineExceeded,
            ParseError::PayloadExceeded { .. } => CloseReason::MaxPayloadExceeded,
            ParseError::UnknownOperation { .. } => CloseReason::ParseError,
            ParseError::HeadersNotSupported | ParseError::Arguments(_) => CloseReason::ProtocolViolation,
        };
        match error.wire_text() {
            Some(text) => {
                self.tell_error(key, text);
                self.close(key, Closing::Flush(reason));
            }
            // Without a word, but what was answered before is still written.
            None => self.close(key, Closing::Flush(reason)),
        }
    }

    fn operate(&mut self, key: Key, op: ClientOp<'_>) {
        let now = self.now;
        match op {
            ClientOp::Connect { json } => self.connect(key, json),
            ClientOp::Sub { args, subject, queue, sid } => {
                if self.tracing {
                    self.trace_operation(key, "SUB", args);
                }
                self.touch(key, now);
                self.subscribe(key, subject, queue, sid);
            }
            ClientOp::Unsub { args, sid, max } => {
                if self.tracing {
                    self.trace_operation(key, "UNSUB", args);
                }
                self.touch(key, now);
                self.unsubscribe(key, sid, max);
            }
            ClientOp::Ping => {
                if self.tracing {
                    self.trace_line(key, "<<-", "PING");
                }
                self.ping(key);
            }
            ClientOp::Pong => {
                if self.tracing {
                    self.trace_line(key, "<<-", "PONG");
                }
                if let Some(connection) = self.connection(key) {
                    connection.pings_out = 0;
                }
            }
            ClientOp::Info { json } => {
                if let Err(error) = crate::protocol::connect::validate_info(json) {
                    if let Some(connection) = self.connection(key) {
                        log::error!("{} - {error}", connection.label());
                    }
                    self.close(key, Closing::Flush(CloseReason::ProtocolViolation));
                }
            }
            ClientOp::Err { text } => {
                if let Some(connection) = self.connection(key) {
                    log::error!("{} - Client Error {}", connection.label(), String::from_utf8_lossy(text));
                }
                self.close(key, Closing::Flush(CloseReason::ParseError));
            }
            ClientOp::Ok | ClientOp::Pub(_) => {}
        }
    }

    fn touch(&mut self, key: Key, now: u64) {
        if let Some(connection) = self.connection(key) {
            connection.last_active = now;
        }
    }

    fn ok_if_verbose(&mut self, key: Key) {
        if self.connection(key).is_some_and(|connection| connection.flags.verbose) {
            self.ok(key);
        }
    }

    /// A non-fatal refusal: `-ERR 'Permissions Violation for <what><text>"<subject>"'`.
    fn violation(&mut self, key: Key, what: &str, text: &str, subject: &[u8]) {
        let quoted = Quoted(subject);
        self.complain(key, &format!("{what} Violation - Subject {quoted}"));
        self.tell_error(key, &format!("Permissions Violation for {what}{text}{quoted}"));
    }

    /// Logs a client's mistake, the same one once a second at most, whoever makes it.
    fn complain(&mut self, key: Key, text: &str) {
        let now = self.now;
        if self.complaints.get(text).is_some_and(|&at| now.saturating_sub(at) < COMPLAINT_INTERVAL_MS) {
            return;
        }
        if self.complaints.len() >= 256 {
            self.complaints.retain(|_, at| now.saturating_sub(*at) < COMPLAINT_INTERVAL_MS);
        }
        if self.complaints.len() < 1024 {
            self.complaints.insert(text.to_owned(), now);
        }
        if let Some(connection) = self.connection(key) {
            log::error!("{} - {text}", connection.label());
        }
    }

    fn subscribe(&mut self, key: Key, subject: &[u8], queue: Option<&[u8]>, sid: &[u8]) {
        let limits = &self.config.limits;
        let (max_tokens, max_subscriptions) = (limits.max_subscription_tokens, limits.max_subscriptions);
        if queue == Some(RESERVED_QUEUE) {
            let quoted = Quoted(subject);
            let sid = String::from_utf8_lossy(sid);
            self.complain(key, &format!("Subscription Violation - Subject {quoted}, Queue \"_sys_\", SID {sid}"));
            let text = format!("Permissions Violation for Subscription to {quoted} using queue \"_sys_\"");
            self.tell_error(key, &text);
            return;
        }
        if max_tokens > 0 && subject::token_count(subject) > max_tokens {
            let quoted = Quoted(subject);
            let sid = String::from_utf8_lossy(sid);
            self.complain(key, &format!("Subscription Violation Too Many Tokens - Subject {quoted}, SID {sid}"));
            self.tell_error(key, &format!("Permissions Violation for Subscription to {quoted}, too many tokens"));
            return;
        }
        let hash = self.hash_sid(sid);
        let Some(connection) = self.connections.get_mut(key.index as usize) else { return };
        if max_subscriptions > 0 && connection.subscriptions.len() >= max_subscriptions {
            self.complain(key, "maximum subscriptions exceeded");
            self.tell_error(key, "maximum subscriptions exceeded");
            return;
        }
        if connection.subscription(&self.local, hash, sid).is_none() {
            if !subject::is_valid_subscription(subject) {
                self.tell_error(key, "Invalid Subject");
                return;
            }
            let account = connection.account;
            let new = NewSubscription { account, connection: key.index, subject, queue, sid };
            let id = self.local.subscribe(new);
            let (local, hasher) = (&self.local, &self.hasher);
            let rehash = |id: &SubId| {
                local.get(*id).map_or(0, |subscription| hasher.hash(account::GLOBAL, subscription.sid.as_bytes()))
            };
            connection.subscriptions.insert_unique(hash, id, rehash);
        }
        self.ok_if_verbose(key);
    }

    fn hash_sid(&self, sid: &[u8]) -> u64 {
        self.hasher.hash(account::GLOBAL, sid)
    }

    fn unsubscribe(&mut self, key: Key, sid: &[u8], max: Option<u64>) {
        let hash = self.hash_sid(sid);
        let connection = self.connections.get(key.index as usize);
        let id = connection.and_then(|connection| connection.subscription(&self.local, hash, sid));
        if let Some(id) = id {
            match (max, self.local.get(id)) {
                (Some(max), Some(subscription)) if max > u64::from(subscription.delivered) => {
                    let account = connection.map_or(account::GLOBAL, |connection| connection.account);
                    // Nine digits at most, so it fits.
                    self.local.set_max(account, id, u32::try_from(max).unwrap_or(u32::MAX));
                }
                _ => self.remove_subscription(key, id),
            }
        }
        self.ok_if_verbose(key);
    }

    /// Ends one subscription.
    pub(super) fn remove_subscription(&mut self, key: Key, id: SubId) {
        let Some(subscription) = self.local.get(id) else { return };
        let hash = self.hash_sid(subscription.sid.as_bytes());
        let Some(connection) = self.connection(key) else { return };
        let account = connection.account;
        if let Ok(entry) = connection.subscriptions.find_entry(hash, |found| *found == id) {
            entry.remove();
        }
        // A connection that once had a hundred thousand inboxes need not pay for them for ever.
        if connection.subscriptions.capacity() > 1024
            && connection.subscriptions.capacity() / 8 > connection.subscriptions.len()
        {
            self.shrink_subscriptions(key);
        }
        let gone = self.local.unsubscribe(account, id);
        if self.tracing
            && let Some(gone) = gone
        {
            let sid = String::from_utf8_lossy(gone.sid.as_bytes());
            self.trace_line(key, "<->", &format!("DELSUB {sid}"));
        }
    }

    fn shrink_subscriptions(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key.index as usize) else { return };
        let (local, hasher) = (&self.local, &self.hasher);
        let keep = connection.subscriptions.len() * 2;
        connection.subscriptions.shrink_to(keep, |id| {
            local.get(*id).map_or(0, |subscription| hasher.hash(account::GLOBAL, subscription.sid.as_bytes()))
        });
    }
}
