//! Runs the parser over a stream in pieces, as a connection would, and tells what came out in the oracle's words.
//!
//! Test code, and the fuzz targets include it, too.

use super::oracle::{Event, Limits};
use super::{ClientOp, ClientParser, ParserLimits, Step};

/// Feeds `pieces` one after the other; what is incomplete stays and the next piece is put behind it.
pub fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: Limits) -> Vec<Event> {
    let parser_limits =
        ParserLimits { max_control_line: limits.control_line, max_payload: limits.payload, headers: limits.headers };
    let mut parser = ClientParser::new();
    let mut events = Vec::new();
    let mut kept: Vec<u8> = Vec::new();
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut done = 0;
        loop {
            let input = &kept[done..];
            match parser.next(input, &parser_limits) {
                Step::Op { op, consumed } => {
                    assert!(consumed > 0 && consumed <= input.len(), "an operation of {consumed} bytes");
                    events.push(event(op));
                    done += consumed;
                }
                Step::Skipped { consumed } => {
                    assert!(consumed <= input.len(), "skipped {consumed} bytes");
                    if consumed == 0 {
                        break;
                    }
                    done += consumed;
                }
                Step::Incomplete { needed, line } => {
                    assert_eq!(needed.is_some(), line.is_some_and(|line| line.subject.is_some()));
                    assert!(needed.is_none_or(|needed| needed > input.len()), "{needed:?} of {}", input.len());
                    // What a connection must keep is bounded: a name, a control line, its end.
                    assert!(needed.is_some() || input.len() <= limits.control_line + 18, "kept {}", input.len());
                    break;
                }
                Step::Error { error, .. } => {
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

fn event(op: ClientOp<'_>) -> Event {
    match op {
        ClientOp::Connect { json } => Event::Line("CONNECT", json.to_vec()),
        ClientOp::Info { json } => Event::Line("INFO", json.to_vec()),
        ClientOp::Sub { args, subject, queue, sid } => {
            let parts: Vec<&[u8]> =
                args.split(|byte| matches!(byte, b' ' | b'\t')).filter(|part| !part.is_empty()).collect();
            let expected: Vec<&[u8]> = [Some(subject), queue, Some(sid)].into_iter().flatten().collect();
            assert_eq!(parts, expected);
            Event::Line("SUB", args.to_vec())
        }
        ClientOp::Unsub { sid, max, .. } => Event::Unsub { sid: sid.to_vec(), max },
        ClientOp::Ping => Event::Line("PING", Vec::new()),
        ClientOp::Pong => Event::Line("PONG", Vec::new()),
        ClientOp::Ok => Event::Line("+OK", Vec::new()),
        ClientOp::Err { text } => Event::Line("-ERR", text.to_vec()),
        ClientOp::Pub(publish) => {
            let mut tail = Vec::new();
            publish.write_tail(&mut tail);
            let written_anew = {
                let mut anew = Vec::new();
                super::Publish { tail: None, ..publish }.write_tail(&mut anew);
                anew
            };
            assert_eq!(tail, written_anew);
            assert_eq!(publish.has_headers(), publish.header_text.is_some());
            Event::Publish { subject: publish.subject.to_vec(), headers: publish.header_len, tail }
        }
    }
}
