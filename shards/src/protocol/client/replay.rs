//! The parser's operations in the oracle's words. Test code, and the fuzz target includes it, too.

use super::cuts::{self, Parsed};
use super::oracle::Limits;
use super::plain::{Event, Message, words};
use super::{ClientOp, ClientParser, ParserLimits, Step};

impl Parsed for Limits {
    fn parser(self) -> impl FnMut(&[u8]) -> cuts::Step {
        let limits =
            ParserLimits { max_control_line: self.control_line, max_payload: self.payload, headers: self.headers };
        let mut parser = ClientParser::new();
        move |input| match parser.next(input, &limits) {
            Step::Op { op, consumed } => cuts::Step::Op(event(op), consumed),
            Step::Skipped { consumed } => cuts::Step::Skipped(consumed),
            Step::Incomplete { needed, line } => {
                assert_eq!(needed.is_some(), line.is_some_and(|line| line.subject.is_some()));
                cuts::Step::Incomplete(needed)
            }
            Step::Error { error, .. } => {
                assert!(!error.to_string().is_empty());
                cuts::Step::Closed(error.wire_text())
            }
        }
    }
}

fn event(op: ClientOp<'_>) -> Event {
    match op {
        ClientOp::Connect { json } => Event::Line("CONNECT", json.to_vec()),
        ClientOp::Info { json } => Event::Line("INFO", json.to_vec()),
        ClientOp::Sub { args, subject, queue, sid } => {
            let expected: Vec<&[u8]> = [Some(subject), queue, Some(sid)].into_iter().flatten().collect();
            assert_eq!(words(args), expected);
            Event::Line("SUB", args.to_vec())
        }
        ClientOp::Unsub { sid, max, .. } => {
            Event::Words("UNSUB", vec![Some(sid.to_vec()), max.map(|max| max.to_string().into_bytes())])
        }
        ClientOp::Ping => Event::Line("PING", Vec::new()),
        ClientOp::Pong => Event::Line("PONG", Vec::new()),
        ClientOp::Ok => Event::Line("+OK", Vec::new()),
        ClientOp::Err { text } => Event::Line("-ERR", text.to_vec()),
        ClientOp::Pub(publish) => Event::Message(Message::of(&publish)),
    }
}
