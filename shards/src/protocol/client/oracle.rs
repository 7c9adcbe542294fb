//! The oracle of the parser's tests: the same language read one byte at a time, slow and plain.
//!
//! It shares no code with the parser, owns what it collects, and never sees how the stream was cut. The fuzz targets
//! include this file, too.

/// One operation, or the end of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Upper-case name and the arguments as they came.
    Line(&'static str, Vec<u8>),
    /// `PUB` or `HPUB`: subject, and what a subscriber is sent behind its sid.
    Publish { subject: Vec<u8>, headers: usize, tail: Vec<u8> },
    /// `UNSUB` with its number, if it counts.
    Unsub { sid: Vec<u8>, max: Option<u64> },
    /// Closed; with what the client is told.
    Closed(Option<&'static str>),
}

/// Limits of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub control_line: usize,
    pub payload: Option<usize>,
    pub headers: bool,
}

const UNKNOWN: Event = Event::Closed(Some("Unknown Protocol Operation"));
const TOO_LONG: Event = Event::Closed(Some("maximum control line exceeded"));
const NAMES: [&str; 10] = ["PUB", "HPUB", "SUB", "UNSUB", "CONNECT", "INFO", "PING", "PONG", "+OK", "-ERR"];

enum State {
    Name(String),
    Ignored(&'static str),
    Blanks(&'static str),
    Arguments(&'static str, Vec<u8>),
    Payload { publish: Event, left: usize },
    PayloadEnd { publish: Event, seen_return: bool },
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
    let mut close = |event| {
        events.push(event);
        None
    };
    match state {
        State::Name(mut name) => {
            if let Some(whole) = NAMES.into_iter().find(|candidate| *candidate == name) {
                match whole {
                    "PUB" | "HPUB" | "SUB" | "UNSUB" | "-ERR" if byte != b' ' && byte != b'\t' => close(UNKNOWN),
                    "PING" | "PONG" | "+OK" => step(State::Ignored(whole), byte, limits, events),
                    _ => step(State::Blanks(whole), byte, limits, events),
                }
            } else {
                name.push(char::from(byte.to_ascii_uppercase()));
                if NAMES.into_iter().any(|candidate| candidate.starts_with(&name)) {
                    Some(State::Name(name))
                } else {
                    close(UNKNOWN)
                }
            }
        }
        State::Ignored(name) if byte == b'\n' => {
            events.push(Event::Line(name, Vec::new()));
            Some(State::Name(String::new()))
        }
        State::Ignored(name) => Some(State::Ignored(name)),
        State::Blanks(name) if byte == b' ' || byte == b'\t' => Some(State::Blanks(name)),
        State::Blanks(name) => step(State::Arguments(name, Vec::new()), byte, limits, events),
        State::Arguments(name, mut args) if byte == b'\n' => {
            if args.ends_with(b"\r") {
                args.pop();
            }
            match line(name, args, limits) {
                (Event::Closed(text), _) => close(Event::Closed(text)),
                (publish @ Event::Publish { .. }, 0) => Some(State::PayloadEnd { publish, seen_return: false }),
                (publish @ Event::Publish { .. }, left) => Some(State::Payload { publish, left }),
                (event, _) => {
                    events.push(event);
                    Some(State::Name(String::new()))
                }
            }
        }
        State::Arguments(name, mut args) => {
            args.push(byte);
            Some(State::Arguments(name, args))
        }
        State::Payload { mut publish, left } => {
            if let Event::Publish { tail, .. } = &mut publish {
                tail.push(byte);
            }
            if left == 1 {
                Some(State::PayloadEnd { publish, seen_return: false })
            } else {
                Some(State::Payload { publish, left: left - 1 })
            }
        }
        State::PayloadEnd { publish, seen_return: false } if byte == b'\r' => {
            Some(State::PayloadEnd { publish, seen_return: true })
        }
        State::PayloadEnd { mut publish, seen_return: true } if byte == b'\n' => {
            if let Event::Publish { tail, .. } = &mut publish {
                tail.extend_from_slice(b"\r\n");
            }
            events.push(publish);
            Some(State::Name(String::new()))
        }
        State::PayloadEnd { .. } => close(UNKNOWN),
    }
}

/// What a complete line means, and how many payload bytes follow.
fn line(name: &'static str, args: Vec<u8>, limits: Limits) -> (Event, usize) {
    const SILENT: (Event, usize) = (Event::Closed(None), 0);
    if args.len() > limits.control_line {
        return (TOO_LONG, 0);
    }
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let parts: Vec<&[u8]> = args.split(blank).filter(|part| !part.is_empty()).collect();
    let size = |text: &[u8]| match text {
        [] => None,
        digits if digits.len() < 10 && digits.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(digits).ok()?.parse::<usize>().ok()
        }
        _ => None,
    };
    let (subject, reply, header, total) = match (name, parts.as_slice()) {
        ("PUB", [subject, total]) => (subject, None, None, total),
        ("PUB", [subject, reply, total]) => (subject, Some(reply), None, total),
        ("HPUB", [subject, header, total]) if limits.headers => (subject, None, Some(header), total),
        ("HPUB", [subject, reply, header, total]) if limits.headers => (subject, Some(reply), Some(header), total),
        ("UNSUB", [sid]) => return (Event::Unsub { sid: sid.to_vec(), max: None }, 0),
        ("UNSUB", [sid, max]) => {
            let max = size(max).filter(|&max| max > 0).map(|max| max as u64);
            return (Event::Unsub { sid: sid.to_vec(), max }, 0);
        }
        ("PUB" | "HPUB" | "UNSUB", _) => return SILENT,
        ("SUB", [_, _] | [_, _, _]) | ("CONNECT" | "INFO" | "-ERR", _) => return (Event::Line(name, args), 0),
        _ => return SILENT,
    };
    let Some(total_size) = size(total) else { return SILENT };
    let headers = match header.map(|header| size(header)) {
        None => 0,
        Some(Some(headers)) if headers <= total_size => headers,
        Some(_) => return SILENT,
    };
    if limits.payload.is_some_and(|max| total_size > max) {
        return (Event::Closed(Some("Maximum Payload Violation")), 0);
    }
    let header = header.filter(|_| headers > 0);
    let mut tail = Vec::new();
    for part in reply.into_iter().chain(header) {
        tail.extend_from_slice(part);
        tail.push(b' ');
    }
    tail.extend_from_slice(total);
    tail.extend_from_slice(b"\r\n");
    (Event::Publish { subject: subject.to_vec(), headers, tail }, total_size)
}
