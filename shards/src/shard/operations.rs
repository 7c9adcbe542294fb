//! What a client's operations do.

use super::mail::{Message, Origin};
use super::trace::Quoted;
use super::{Core, LARGE_OPERATION, Shard, user_info};
use crate::account::AccountId;
use crate::connection::{CloseReason, Closing, Incoming, Key, Large, Traffic};
use crate::interest::Sources;
use crate::interest::plan::Generations;
use crate::protocol::client::{ClientOp, ControlLine, ParseError, ParserLimits, Publish, Step};
use crate::protocol::connect::validate_info;
use crate::subject;

const INVALID_PUBLISH_SUBJECT: &str = "Invalid Publish Subject";

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
        if connection.route.is_some() {
            return self.process_route(key, input, large);
        }
        let mut parser = std::mem::take(&mut connection.parser);
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
                    // A request behind a SUB must not overtake the interest in its reply.
                    self.core.spread_news();
                    // It may have been a CONNECT.
                    match self.core.publisher(key) {
                        Some(found) => *publisher = found,
                        None => return input.len(),
                    }
                }
                Step::Skipped { consumed } => at += consumed,
                Step::Incomplete { needed, line } => {
                    if let Some(line) = line.filter(|_| !publisher.runs) {
                        self.core.announce(publisher, &line);
                    }
                    if let Some(needed) = needed.filter(|needed| *needed > LARGE_OPERATION)
                        && let Some(connection) = self.core.connection(key)
                    {
                        connection.input.large = Some(Incoming::new(rest, needed));
                        at = input.len();
                    }
                    break;
                }
                Step::Error { error, line } => {
                    if let Some(line) = line.filter(|_| !publisher.runs) {
                        self.core.control_line(publisher, &line);
                    }
                    self.core.parse_error(key, &error.within(at));
                    at = input.len();
                    break;
                }
            }
        }
        self.close_run();
        let now = self.core.now;
        if let Some(connection) = self.core.connection(key) {
            connection.parser = parser;
            if received.messages > 0 {
                connection.received.messages += received.messages;
                connection.received.bytes += received.bytes;
                connection.last_active = now;
            }
        }
        self.core.history.received += received;
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
            && run.goes_on(
                publish.subject,
                Generations::of(&Sources {
                    local: &self.core.local,
                    directory: &self.core.directory,
                    account: publisher.account,
                    shard: usize::from(self.core.id),
                }),
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
        if !publisher.runs {
            let line = ControlLine { name: publish.name(), args: publish.args, subject: Some(publish.subject) };
            core.control_line(publisher, &line);
            if core.tracing {
                core.trace_payload(key, "<<-", publish.body, publish.header_len);
            }
        }
        let destination = destination(publish.subject);
        if let Destination::Reserved = destination {
            let subject = Quoted(publish.subject);
            let (told, logged) = ("Permissions Violation for Publish to", "Publish Violation - Subject");
            core.refuse_operation(key, &format!("{told} {subject}"), &format!("{logged} {subject}"));
            return;
        }
        if let Some(reply) = publish.reply
            && is_reserved_reply(reply)
        {
            let reply = Quoted(reply);
            let (told, logged) = ("Permissions Violation for Publish with Reply of", "Publish Violation - Reply");
            core.refuse_operation(key, &format!("{told} {reply}"), &format!("{logged} {reply}"));
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
            Some(tail) => message.take_tail(tail, operation, end, large),
            None => {
                rewritten = rewrite(publish);
                message.tail = &rewritten;
            }
        }
        let found = cache.look_up(&core.sources(publisher.account), &core.hasher, publish.subject);
        let plan = cache.plan(found);
        let ordinary = matches!(destination, Destination::Ordinary);
        let runs = ordinary && publisher.runs && (message.reply_len == 0 || !publisher.no_responders);
        if runs && core.begin_run(found, plan, &message, publisher.origin) {
            return;
        }
        core.deliver(plan, &message, publisher.origin);
        if let (Destination::UserInfo, Some(reply)) = (destination, publish.reply) {
            self.answer_user_info(publisher.account, publisher.origin, reply);
        }
        let core = &mut self.core;
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

/// What a message's subject says about its way.
enum Destination {
    /// Whoever is subscribed.
    Ordinary,
    /// Clients may not publish there.
    Reserved,
    /// The server answers, too.
    UserInfo,
}

#[inline]
fn destination(subject: &[u8]) -> Destination {
    let reserved = match subject.first() {
        Some(b'_') => subject.len() > 5 && subject.starts_with(b"_GR_."),
        Some(b'$') if user_info::is_request(subject) => return Destination::UserInfo,
        Some(b'$') => (subject.len() > 4 && subject.starts_with(b"$GR.")) || subject.starts_with(b"$NRG."),
        _ => false,
    };
    if reserved { Destination::Reserved } else { Destination::Ordinary }
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
            origin: Origin { shard, connection: key, echo: flags.echo, peer: None },
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

    /// The control line of a publish is there, its payload is not.
    #[cold]
    fn announce(&mut self, publisher: &Publisher, line: &ControlLine<'_>) {
        let key = publisher.origin.connection;
        let Some(connection) = self.connection(key) else { return };
        if connection.flags.announced {
            return;
        }
        if !self.control_line(publisher, line) {
            // The reference looks at the line once more when it finds no payload behind it.
            self.tell_error(key, INVALID_PUBLISH_SUBJECT);
        }
        if let Some(connection) = self.connection(key) {
            connection.flags.announced = true;
        }
    }

    /// Traces the control line of a publish and checks its subject, unless that was done before its payload came. False: it
    /// was not a good subject.
    #[cold]
    fn control_line(&mut self, publisher: &Publisher, line: &ControlLine<'_>) -> bool {
        let key = publisher.origin.connection;
        if self.connection(key).is_none_or(|connection| std::mem::take(&mut connection.flags.announced)) {
            return true;
        }
        if self.tracing {
            self.trace_operation(key, line.name, line.args);
        }
        let good = !publisher.pedantic || line.subject.is_none_or(subject::is_publishable_literal);
        if !good {
            self.tell_error(key, INVALID_PUBLISH_SUBJECT);
        }
        good
    }

    fn refuse_before_connect(&mut self, key: Key) {
        self.log_error(key, "authentication error");
        self.tell_error(key, "Authorization Violation");
        self.close(key, Closing::Flush(CloseReason::AuthenticationFailure));
    }

    /// Ends a connection for what it sent. What was answered before is still written. Whether the log or the client hears of it
    /// first is as with the reference.
    fn parse_error(&mut self, key: Key, error: &ParseError) {
        let logged = error.to_string();
        if let ParseError::PayloadExceeded { .. } = error {
            self.log_error(key, &logged);
        }
        if let Some(told) = error.wire_text() {
            self.tell_error(key, told);
        }
        match error {
            ParseError::PayloadExceeded { .. } => self.close(key, Closing::Flush(CloseReason::MaxPayloadExceeded)),
            ParseError::ControlLineExceeded => {
                self.close(key, Closing::Flush(CloseReason::MaxControlLineExceeded));
                self.log_error(key, &logged);
            }
            ParseError::UnknownOperation { .. }
            | ParseError::HeadersNotSupported
            | ParseError::Arguments(_)
            | ParseError::MessageArguments { .. } => {
                self.log_error(key, &logged);
                self.close(key, Closing::Flush(CloseReason::ProtocolViolation));
            }
        }
    }

    fn operate(&mut self, key: Key, op: ClientOp<'_>) {
        let (now, micros) = (self.now, self.now_micros);
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
                    if let Some(pinged) = connection.pinged.take() {
                        connection.rtt = micros.saturating_sub(pinged).max(1);
                    }
                }
            }
            ClientOp::Info { json } => {
                if let Err(error) = validate_info(json) {
                    self.log_error(key, &error.to_string());
                    self.close(key, Closing::Flush(CloseReason::ProtocolViolation));
                }
            }
            ClientOp::Err { text } => {
                self.log_error(key, &format!("Client Error {}", String::from_utf8_lossy(text)));
                self.close(key, Closing::Flush(CloseReason::ParseError));
            }
            ClientOp::Ok | ClientOp::Pub(_) => {}
        }
    }

    pub(super) fn touch(&mut self, key: Key, now: u64) {
        if let Some(connection) = self.connection(key) {
            connection.last_active = now;
        }
    }

    pub(super) fn ok_if_verbose(&mut self, key: Key) {
        if self.connection(key).is_some_and(|connection| connection.flags.verbose) {
            self.ok(key);
        }
    }

    /// A non-fatal refusal.
    pub(super) fn refuse_operation(&mut self, key: Key, told: &str, logged: &str) {
        self.tell_error(key, told);
        self.log_error(key, logged);
    }
}
