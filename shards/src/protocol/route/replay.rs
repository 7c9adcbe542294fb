//! The parser's operations in the oracle's words. Test code, and the fuzz target includes it, too.

use super::cuts::{self, Parsed};
use super::oracle::Limits;
use super::plain::{Event, Message};
use super::{RouteLimits, RouteOp, RouteParser, RouteStep};

impl Parsed for Limits {
    fn parser(self) -> impl FnMut(&[u8]) -> cuts::Step {
        let limits =
            RouteLimits { max_control_line: self.control_line, max_payload: self.payload, dedicated: self.dedicated };
        let mut parser = RouteParser::new();
        move |input| match parser.next(input, &limits) {
            RouteStep::Op { op, consumed } => cuts::Step::Op(event(op), consumed),
            RouteStep::Skipped { consumed } => cuts::Step::Skipped(consumed),
            RouteStep::Incomplete { needed } => cuts::Step::Incomplete(needed),
            RouteStep::Error(error) => {
                assert!(!error.to_string().is_empty());
                cuts::Step::Closed(error.wire_text())
            }
        }
    }
}

fn event(op: RouteOp<'_>) -> Event {
    let owned = |text: Option<&[u8]>| text.map(<[u8]>::to_vec);
    match op {
        RouteOp::Connect { json } => Event::Line("CONNECT", json.to_vec()),
        RouteOp::Info { json } => Event::Line("INFO", json.to_vec()),
        RouteOp::Interest(interest) => {
            let (queue, weight) = interest.queue.unzip();
            let weight = weight.map(|weight| weight.to_string().into_bytes());
            Event::Words("RS+", vec![owned(interest.account), owned(Some(interest.subject)), owned(queue), weight])
        }
        RouteOp::NoInterest { account, subject, queue, .. } => {
            Event::Words("RS-", vec![owned(account), owned(Some(subject)), owned(queue)])
        }
        RouteOp::Ping => Event::Line("PING", Vec::new()),
        RouteOp::Pong => Event::Line("PONG", Vec::new()),
        RouteOp::Ok => Event::Line("+OK", Vec::new()),
        RouteOp::Err { text } => Event::Line("-ERR", text.to_vec()),
        RouteOp::Ignored => Event::Line("ignored", Vec::new()),
        RouteOp::Msg(routed) => {
            let queues: Vec<Vec<u8>> = routed.queues.map(<[u8]>::to_vec).collect();
            assert_eq!(routed.queues.is_empty(), queues.is_empty());
            Event::Message(Message { account: owned(routed.account), queues, ..Message::of(&routed.publish) })
        }
    }
}
