//! Runs the parser over a stream in pieces, as a connection would, and tells what came out in the oracle's words.
//!
//! Test code, and the fuzz target includes it, too.

use super::oracle::{Event, Limits, Message};
use super::{RouteLimits, RouteOp, RouteParser, RouteStep, RoutedMessage};

/// Feeds `pieces` one after the other; what is incomplete stays and the next piece is put behind it.
pub fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: Limits) -> Vec<Event> {
    let route_limits =
        RouteLimits { max_control_line: limits.control_line, max_payload: limits.payload, dedicated: limits.dedicated };
    let mut parser = RouteParser::new();
    let mut events = Vec::new();
    let mut kept: Vec<u8> = Vec::new();
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut done = 0;
        loop {
            let input = &kept[done..];
            match parser.next(input, &route_limits) {
                RouteStep::Op { op, consumed } => {
                    assert!(consumed > 0 && consumed <= input.len(), "an operation of {consumed} bytes");
                    events.push(event(op));
                    done += consumed;
                }
                RouteStep::Skipped { consumed } => {
                    assert!(consumed <= input.len(), "skipped {consumed} bytes");
                    if consumed == 0 {
                        break;
                    }
                    done += consumed;
                }
                RouteStep::Incomplete { needed } => {
                    assert!(needed.is_none_or(|needed| needed > input.len()), "{needed:?} of {}", input.len());
                    // What a connection must keep is bounded: a name, a control line, its end.
                    assert!(needed.is_some() || input.len() <= limits.control_line + 18, "kept {}", input.len());
                    break;
                }
                RouteStep::Error(error) => {
                    assert!(!error.to_string().is_empty());
                    events.push(Event::Closed(error.wire_text()));
                    return events;
                }
            }
        }
        kept.drain(..done);
    }
    events
}

fn event(op: RouteOp<'_>) -> Event {
    let owned = |text: Option<&[u8]>| text.map(<[u8]>::to_vec);
    match op {
        RouteOp::Connect { json } => Event::Line("CONNECT", json.to_vec()),
        RouteOp::Info { json } => Event::Line("INFO", json.to_vec()),
        RouteOp::Interest(interest) => {
            let queue = interest.queue.map(|(queue, weight)| (queue.to_vec(), weight));
            Event::Interest(owned(interest.account), interest.subject.to_vec(), queue)
        }
        RouteOp::NoInterest { account, subject, queue, .. } => {
            Event::NoInterest(owned(account), subject.to_vec(), owned(queue))
        }
        RouteOp::Ping => Event::Line("PING", Vec::new()),
        RouteOp::Pong => Event::Line("PONG", Vec::new()),
        RouteOp::Ok => Event::Line("+OK", Vec::new()),
        RouteOp::Err { text } => Event::Line("-ERR", text.to_vec()),
        RouteOp::Ignored => Event::Line("ignored", Vec::new()),
        RouteOp::Msg(message) => {
            let mut tail = Vec::new();
            message.write_tail(&mut tail);
            let mut anew = Vec::new();
            let mut untailed: RoutedMessage<'_> = message;
            untailed.tail = None;
            untailed.write_tail(&mut anew);
            assert_eq!(tail, anew);
            assert!(tail.ends_with(&[message.body, b"\r\n"].concat()));
            assert_eq!(message.has_headers(), message.header_text.is_some());
            let queues: Vec<Vec<u8>> = message.queues.map(<[u8]>::to_vec).collect();
            assert_eq!(message.queues.is_empty(), queues.is_empty());
            Event::Message(Message {
                name: message.name(),
                account: owned(message.account),
                subject: message.subject.to_vec(),
                reply: owned(message.reply),
                queues,
                headers: message.header_len,
                tail,
            })
        }
    }
}
