//! The oracle of the parser's tests: the same language read one byte at a time, slow and plain.
//!
//! It shares no code with the parser, owns what it collects, and never sees how the stream was cut. The fuzz target
//! includes this file, too.

/// One operation, or the end of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Upper-case name and the arguments as they came.
    Line(&'static str, Vec<u8>),
    /// `RS+`: account, subject, queue group with its weight.
    Interest(Option<Vec<u8>>, Vec<u8>, Option<(Vec<u8>, i32)>),
    /// `RS-`: account, subject, queue group.
    NoInterest(Option<Vec<u8>>, Vec<u8>, Option<Vec<u8>>),
    /// Any message.
    Message(Message),
    /// Closed; with what the other server is told.
    Closed(Option<&'static str>),
}

/// A message, and what a subscriber is sent behind its sid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub name: &'static str,
    pub account: Option<Vec<u8>>,
    pub subject: Vec<u8>,
    pub reply: Option<Vec<u8>>,
    pub queues: Vec<Vec<u8>>,
    pub headers: usize,
    pub tail: Vec<u8>,
}

/// Limits of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub control_line: usize,
    pub payload: Option<usize>,
    pub dedicated: bool,
}

const UNKNOWN: Event = Event::Closed(Some("Unknown Protocol Operation"));
const TOO_LONG: Event = Event::Closed(Some("maximum control line exceeded"));
const SILENT: Event = Event::Closed(None);
const WITH_BLANK: [&str; 11] = ["RS+", "RS-", "RMSG", "HMSG", "PUB", "HPUB", "SUB", "UNSUB", "A+", "A-", "-ERR"];
const WITHOUT: [&str; 5] = ["CONNECT", "INFO", "PING", "PONG", "+OK"];

enum State {
    Name(String),
    Ignored(&'static str),
    Blanks(&'static str),
    Arguments(&'static str, Vec<u8>),
    Payload(Message, usize),
    PayloadEnd(Message, bool),
}

/// Everything that `stream` means, up to the first mistake.
pub fn events(stream: &[u8], limits: Limits) -> Vec<Event> {
    let mut events = Vec::new();
    let mut state = State::Name(String::new());
    for &byte in stream {
        state = match step(state, byte, limits, &mut events) {
            Some(state) => state,
            None => break,
        };
        if let State::Arguments(_, args) = &state
            && args.strip_suffix(b"\r").unwrap_or(args).len() > limits.control_line
        {
            events.push(TOO_LONG);
            break;
        }
    }
    events
}

fn step(state: State, byte: u8, limits: Limits, events: &mut Vec<Event>) -> Option<State> {
    let is_blank = byte == b' ' || byte == b'\t';
    match state {
        State::Name(name) if WITHOUT.contains(&name.as_str()) => {
            let name = *WITHOUT.iter().find(|whole| **whole == name)?;
            let next = if name.len() == 4 && name != "INFO" || name == "+OK" {
                State::Ignored(name)
            } else {
                State::Blanks(name)
            };
            step(next, byte, limits, events)
        }
        State::Name(name) if WITH_BLANK.contains(&name.as_str()) => {
            let name = *WITH_BLANK.iter().find(|whole| **whole == name)?;
            if is_blank {
                return Some(State::Blanks(name));
            }
            events.push(UNKNOWN);
            None
        }
        State::Name(mut name) => {
            name.push(char::from(byte.to_ascii_uppercase()));
            if WITH_BLANK.iter().chain(&WITHOUT).any(|whole| whole.starts_with(&name)) {
                return Some(State::Name(name));
            }
            events.push(UNKNOWN);
            None
        }
        State::Ignored(name) if byte == b'\n' => {
            events.push(Event::Line(name, Vec::new()));
            Some(State::Name(String::new()))
        }
        State::Ignored(name) => Some(State::Ignored(name)),
        State::Blanks(name) if is_blank => Some(State::Blanks(name)),
        State::Blanks(name) => step(State::Arguments(name, Vec::new()), byte, limits, events),
        State::Arguments(name, mut args) if byte == b'\n' => {
            if args.ends_with(b"\r") {
                args.pop();
            }
            let (event, left) = line(name, args, limits);
            match event {
                Event::Message(message) if left == 0 => Some(State::PayloadEnd(message, false)),
                Event::Message(message) => Some(State::Payload(message, left)),
                event => {
                    let closed = matches!(event, Event::Closed(_));
                    events.push(event);
                    (!closed).then(|| State::Name(String::new()))
                }
            }
        }
        State::Arguments(name, mut args) => {
            args.push(byte);
            Some(State::Arguments(name, args))
        }
        State::Payload(mut message, left) => {
            message.tail.push(byte);
            Some(if left == 1 { State::PayloadEnd(message, false) } else { State::Payload(message, left - 1) })
        }
        State::PayloadEnd(message, false) if byte == b'\r' => Some(State::PayloadEnd(message, true)),
        State::PayloadEnd(mut message, true) if byte == b'\n' => {
            message.tail.extend_from_slice(b"\r\n");
            events.push(Event::Message(message));
            Some(State::Name(String::new()))
        }
        State::PayloadEnd(..) => {
            events.push(UNKNOWN);
            None
        }
    }
}

/// What a complete line means, and how many payload bytes follow.
fn line(name: &'static str, args: Vec<u8>, limits: Limits) -> (Event, usize) {
    if args.len() > limits.control_line {
        return (TOO_LONG, 0);
    }
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let mut words: Vec<Vec<u8>> = args.split(blank).filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect();
    let from_client = name == "PUB" || name == "HPUB";
    let account = match name {
        "PUB" | "HPUB" => Some(Vec::new()),
        "RS+" | "RS-" | "UNSUB" | "RMSG" | "HMSG" if !limits.dedicated => {
            if words.is_empty() {
                return (SILENT, 0);
            }
            Some(words.remove(0))
        }
        _ => None,
    };
    match (name, words.as_slice()) {
        ("RS+", [subject]) => (Event::Interest(account, subject.clone(), None), 0),
        ("RS+", [subject, queue, weight]) => {
            let weight = size(weight).map_or(-1, |weight| weight as i32);
            (Event::Interest(account, subject.clone(), Some((queue.clone(), weight))), 0)
        }
        ("RS-" | "UNSUB", [subject]) => (Event::NoInterest(account, subject.clone(), None), 0),
        ("RS-" | "UNSUB", [subject, queue]) => (Event::NoInterest(account, subject.clone(), Some(queue.clone())), 0),
        ("RS+" | "RS-" | "UNSUB", _) => (SILENT, 0),
        ("RMSG" | "PUB", [subject, between @ .., total]) => {
            message(name, (account, subject, between, None, total), from_client, limits)
        }
        ("HMSG" | "HPUB", [subject, between @ .., header, total]) => {
            message(name, (account, subject, between, Some(header), total), from_client, limits)
        }
        ("RMSG" | "PUB" | "HMSG" | "HPUB", _) => (SILENT, 0),
        ("SUB" | "A+" | "A-", _) => (Event::Line("ignored", Vec::new()), 0),
        _ => (Event::Line(name, args), 0),
    }
}

type Parts<'a> = (Option<Vec<u8>>, &'a Vec<u8>, &'a [Vec<u8>], Option<&'a Vec<u8>>, &'a Vec<u8>);

fn message(name: &'static str, parts: Parts<'_>, from_client: bool, limits: Limits) -> (Event, usize) {
    let (account, subject, between, header, total) = parts;
    let (reply, queues) = match between {
        [] => (None, Vec::new()),
        [reply] => (Some(reply.clone()), Vec::new()),
        _ if from_client => return (SILENT, 0),
        [mark, queues @ ..] if mark == b"|" => (None, queues.to_vec()),
        [mark, reply, queues @ ..] if mark == b"+" => (Some(reply.clone()), queues.to_vec()),
        _ => return (SILENT, 0),
    };
    let Some(total_size) = size(total) else { return (SILENT, 0) };
    let headers = match header.map(|header| size(header)) {
        None => 0,
        Some(Some(headers)) if headers <= total_size => headers,
        Some(_) => return (SILENT, 0),
    };
    if limits.payload.is_some_and(|max| total_size > max) {
        return (Event::Closed(Some("Maximum Payload Violation")), 0);
    }
    let mut tail = Vec::new();
    for part in reply.iter().chain(header.filter(|_| headers > 0)) {
        tail.extend_from_slice(part);
        tail.push(b' ');
    }
    tail.extend_from_slice(total);
    tail.extend_from_slice(b"\r\n");
    (Event::Message(Message { name, account, subject: subject.clone(), reply, queues, headers, tail }), total_size)
}

fn size(text: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    if digits.len() < 10 { digits.parse().ok() } else { None }
}
