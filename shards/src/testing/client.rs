//! The client's side of a connection: takes what the server says apart.

/// One thing that a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Info(String),
    Ok,
    Ping,
    Pong,
    Err(String),
    Msg { subject: String, sid: String, reply: Option<String>, headers: Vec<u8>, payload: Vec<u8> },
}

impl Frame {
    /// A message without reply and headers.
    pub fn msg(subject: &str, sid: &str, payload: impl AsRef<[u8]>) -> Frame {
        let (subject, sid) = (subject.to_owned(), sid.to_owned());
        Frame::Msg { subject, sid, reply: None, headers: Vec::new(), payload: payload.as_ref().to_vec() }
    }

    pub fn is_msg(&self) -> bool {
        matches!(self, Frame::Msg { .. })
    }
}

/// See the module.
pub(crate) struct Client {
    /// Does it read at all?
    pub reads: bool,
    /// What it got, and in which step.
    pub frames: Vec<(u64, Frame)>,
    unparsed: Vec<u8>,
    /// It is another server: what it got is kept as it is.
    raw: bool,
}

impl Default for Client {
    fn default() -> Self {
        Client { reads: true, frames: Vec::new(), unparsed: Vec::new(), raw: false }
    }
}

impl Client {
    /// The far end of a route.
    pub fn server() -> Client {
        Client { raw: true, ..Client::default() }
    }

    /// What another server got since it was last asked.
    pub fn take_raw(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.unparsed)).expect("text")
    }

    pub fn read(&mut self, bytes: &[u8], tick: u64) {
        self.unparsed.extend_from_slice(bytes);
        if self.raw {
            return;
        }
        let mut rest = &self.unparsed[..];
        while let Some((frame, behind)) = parse(rest) {
            self.frames.push((tick, frame));
            rest = behind;
        }
        self.unparsed = rest.to_vec();
    }
}

fn parse(input: &[u8]) -> Option<(Frame, &[u8])> {
    let end = input.windows(2).position(|window| window == b"\r\n")?;
    let line = String::from_utf8(input[..end].to_vec()).expect("control lines are text here");
    let behind = &input[end + 2..];
    let (name, arguments) = line.split_once(' ').unwrap_or((&line, ""));
    let frame = match name {
        "INFO" => Frame::Info(arguments.to_owned()),
        "+OK" => Frame::Ok,
        "PING" => Frame::Ping,
        "PONG" => Frame::Pong,
        "-ERR" => Frame::Err(arguments.to_owned()),
        "MSG" | "HMSG" => return message(name == "HMSG", arguments, behind),
        _ => panic!("what is {line:?}?"),
    };
    Some((frame, behind))
}

fn message<'a>(has_headers: bool, arguments: &str, behind: &'a [u8]) -> Option<(Frame, &'a [u8])> {
    let mut words: Vec<&str> = arguments.split(' ').collect();
    let size = |word: Option<&str>| -> usize { word.expect("a size").parse().expect("a size") };
    let total = size(words.pop());
    let header_len = if has_headers { size(words.pop()) } else { 0 };
    let (subject, sid, reply) = match words[..] {
        [subject, sid] => (subject, sid, None),
        [subject, sid, reply] => (subject, sid, Some(reply.to_owned())),
        _ => panic!("a message with {words:?}"),
    };
    let body = behind.get(..total + 2)?;
    assert!(body.ends_with(b"\r\n"), "{arguments}");
    let (headers, payload) = body[..total].split_at(header_len);
    let (subject, sid) = (subject.to_owned(), sid.to_owned());
    let frame = Frame::Msg { subject, sid, reply, headers: headers.to_vec(), payload: payload.to_vec() };
    Some((frame, &behind[total + 2..]))
}
