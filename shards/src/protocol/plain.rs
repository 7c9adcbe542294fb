//! The oracle of the parsers' tests: their languages read one byte at a time, slow and plain.
//!
//! It shares no code with the parsers, owns what it collects, and never sees how the stream was cut. The fuzz targets include this file, too.

/// One operation, or the end of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Upper-case name and the arguments as they came.
    Line(&'static str, Vec<u8>),
    /// Any message.
    Message(Message),
    /// Upper-case name and each argument that there may be, as it is understood.
    Words(&'static str, Vec<Option<Vec<u8>>>),
    /// Closed; with what the other side is told.
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

/// What one kind of connection understands, within its limits.
pub trait Language: Copy {
    /// Names behind which a blank must come.
    const WITH_BLANK: &'static [&'static str];

    /// Names behind which nothing may come.
    const NOT_UNDERSTOOD: &'static [&'static str] = &[];

    /// Longest arguments of a line.
    fn control_line(self) -> usize;

    /// What a complete line means, and how many payload bytes follow.
    fn line(self, name: &'static str, args: Vec<u8>) -> (Event, usize);
}

/// Names behind which anything may come, in every language.
const WITHOUT_BLANK: [&str; 5] = ["CONNECT", "INFO", "PING", "PONG", "+OK"];
const UNKNOWN: Event = Event::Closed(Some("Unknown Protocol Operation"));
const TOO_LONG: Event = Event::Closed(Some("maximum control line exceeded"));
/// What is closed without a word.
pub const SILENT: (Event, usize) = (Event::Closed(None), 0);

enum State {
    Name(String),
    Ignored(&'static str),
    Blanks(&'static str),
    Arguments(&'static str, Vec<u8>),
    Payload(Message, usize),
    PayloadEnd(Message, bool),
}

/// Everything that `stream` means, up to the first mistake.
pub fn events<L: Language>(stream: &[u8], language: L) -> Vec<Event> {
    let mut events = Vec::new();
    let mut state = State::Name(String::new());
    for &byte in stream {
        state = match step(state, byte, language, &mut events) {
            Some(state) => state,
            None => break,
        };
        if let State::Arguments(_, args) = &state
            && args.strip_suffix(b"\r").unwrap_or(args).len() > language.control_line()
        {
            events.push(TOO_LONG);
            break;
        }
    }
    events
}

fn step<L: Language>(state: State, byte: u8, language: L, events: &mut Vec<Event>) -> Option<State> {
    let is_blank = byte == b' ' || byte == b'\t';
    match state {
        State::Name(name) if WITHOUT_BLANK.contains(&name.as_str()) => {
            let name = *WITHOUT_BLANK.iter().find(|whole| **whole == name)?;
            let is_ignored = matches!(name, "PING" | "PONG" | "+OK");
            step(if is_ignored { State::Ignored(name) } else { State::Blanks(name) }, byte, language, events)
        }
        State::Name(name) if L::WITH_BLANK.contains(&name.as_str()) => {
            let name = *L::WITH_BLANK.iter().find(|whole| **whole == name)?;
            if is_blank {
                return Some(State::Blanks(name));
            }
            events.push(UNKNOWN);
            None
        }
        State::Name(mut name) => {
            name.push(char::from(byte.to_ascii_uppercase()));
            let mut names = L::WITH_BLANK.iter().chain(&WITHOUT_BLANK).chain(L::NOT_UNDERSTOOD);
            if names.any(|whole| whole.starts_with(&name)) {
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
        State::Blanks(name) => step(State::Arguments(name, Vec::new()), byte, language, events),
        State::Arguments(name, mut args) if byte == b'\n' => {
            if args.ends_with(b"\r") {
                args.pop();
            }
            let too_long = args.len() > language.control_line();
            let (event, left) = if too_long { (TOO_LONG, 0) } else { language.line(name, args) };
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

/// The words of `args`.
pub fn words(args: &[u8]) -> Vec<Vec<u8>> {
    let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    args.split(is_blank).filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
}

/// A size: 1 to 9 digits.
pub fn size(text: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    if digits.len() < 10 { digits.parse().ok() } else { None }
}

/// What the line of a message means whose `words` follow its account.
pub fn message(
    name: &'static str,
    account: Option<Vec<u8>>,
    words: &[Vec<u8>],
    max_payload: Option<usize>,
) -> (Event, usize) {
    let (subject, between, header, total) = match (name, words) {
        ("PUB" | "RMSG", [subject, between @ .., total]) => (subject, between, None, total),
        ("HPUB" | "HMSG", [subject, between @ .., header, total]) => (subject, between, Some(header), total),
        _ => return SILENT,
    };
    let (reply, queues) = match between {
        [] => (None, Vec::new()),
        [reply] => (Some(reply.clone()), Vec::new()),
        _ if name.ends_with("PUB") => return SILENT,
        [mark, queues @ ..] if mark == b"|" => (None, queues.to_vec()),
        [mark, reply, queues @ ..] if mark == b"+" => (Some(reply.clone()), queues.to_vec()),
        _ => return SILENT,
    };
    let Some(total_size) = size(total) else { return SILENT };
    let headers = match header.map(|header| size(header)) {
        None => 0,
        Some(Some(headers)) if headers <= total_size => headers,
        Some(_) => return SILENT,
    };
    if max_payload.is_some_and(|max| total_size > max) {
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
