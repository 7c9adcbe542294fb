//! What one call gives for one input, and that what is written is read.

use super::*;

const LIMITS: RouteLimits = RouteLimits { max_control_line: 64, dedicated: false, max_payload: Some(100) };
const DEDICATED: RouteLimits = RouteLimits { dedicated: true, ..LIMITS };

/// The operation that `input` is, on a fresh parser.
fn op_within<'a>(input: &'a [u8], limits: &RouteLimits) -> RouteOp<'a> {
    match RouteParser::new().next(input, limits) {
        RouteStep::Op { op, consumed } => {
            assert_eq!(consumed, input.len(), "{}", input.escape_ascii());
            op
        }
        other => panic!("{}: {other:?}", input.escape_ascii()),
    }
}

fn message(input: &str) -> RoutedMessage<'_> {
    match op_within(input.as_bytes(), &LIMITS) {
        RouteOp::Msg(message) => message,
        other => panic!("{input:?}: {other:?}"),
    }
}

fn error(input: &str) -> ParseError {
    match RouteParser::new().next(input.as_bytes(), &LIMITS) {
        RouteStep::Error(error) => error,
        other => panic!("{input:?}: {other:?}"),
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn a_plain_message_is_sliced() {
    let message = message("RMSG $G a.b 5\r\nhello\r\n");
    assert_eq!((message.publish.name(), message.publish.args), ("RMSG", &b"$G a.b 5"[..]));
    assert_eq!(
        (message.account, message.publish.subject, message.publish.reply),
        (Some(&b"$G"[..]), &b"a.b"[..], None)
    );
    assert_eq!(
        (message.publish.total_text, message.publish.header_text, message.publish.header_len),
        (&b"5"[..], None, 0)
    );
    assert_eq!(
        (message.publish.body, message.publish.has_headers(), message.queues.is_empty()),
        (&b"hello"[..], false, true)
    );
    assert_eq!(message.publish.tail, Some(&b"5\r\nhello\r\n"[..]));
}

#[test]
fn messages() {
    for (input, reply, queues, tail) in [
        ("RMSG $G s 2\r\nhi\r\n", None, "", "2\r\nhi\r\n"),
        ("RMSG $G s r 2\r\nhi\r\n", Some("r"), "", "r 2\r\nhi\r\n"),
        ("RMSG $G s | 2\r\nhi\r\n", Some("|"), "", "| 2\r\nhi\r\n"),
        ("RMSG $G s + 2\r\nhi\r\n", Some("+"), "", "+ 2\r\nhi\r\n"),
        ("RMSG $G s | q 2\r\nhi\r\n", None, "q", "2\r\nhi\r\n"),
        ("RMSG $G s | q1 q2 q3 2\r\nhi\r\n", None, "q1 q2 q3", "2\r\nhi\r\n"),
        ("RMSG $G s + r 2\r\nhi\r\n", Some("r"), "", "r 2\r\nhi\r\n"),
        ("RMSG $G s + r q 2\r\nhi\r\n", Some("r"), "q", "r 2\r\nhi\r\n"),
        ("RMSG $G s + r q1 r 2\r\nhi\r\n", Some("r"), "q1 r", "r 2\r\nhi\r\n"),
        ("rmsg\t$G  s \t| q1\tq2 2 \nhi\r\n", None, "q1 q2", "2\r\nhi\r\n"),
        ("HMSG $G s 1 2\r\nhi\r\n", None, "", "1 2\r\nhi\r\n"),
        ("HMSG $G s r 1 2\r\nhi\r\n", Some("r"), "", "r 1 2\r\nhi\r\n"),
        ("HMSG $G s | q 1 2\r\nhi\r\n", None, "q", "1 2\r\nhi\r\n"),
        ("HMSG $G s + r q 1 2\r\nhi\r\n", Some("r"), "q", "r 1 2\r\nhi\r\n"),
        ("HMSG $G s 0 2\r\nhi\r\n", None, "", "2\r\nhi\r\n"),
        ("HMSG $G s r 00 2\r\nhi\r\n", Some("r"), "", "r 2\r\nhi\r\n"),
        ("RMSG $G s 0\r\n\r\n", None, "", "0\r\n\r\n"),
    ] {
        let message = message(input);
        assert_eq!((message.account, message.publish.subject), (Some(&b"$G"[..]), &b"s"[..]), "{input:?}");
        assert_eq!(message.publish.reply.map(text), reply, "{input:?}");
        let names: Vec<&str> = message.queues.map(text).collect();
        assert_eq!(names.join(" "), queues, "{input:?}");
        assert_eq!(message.queues.is_empty(), queues.is_empty(), "{input:?}");
        let mut written = Vec::new();
        message.publish.write_tail(&mut written);
        assert_eq!(text(&written), tail, "{input:?}");
    }
}

#[test]
fn the_tail_is_the_end_of_the_input_or_written_anew() {
    for (input, sliced) in [
        ("RMSG $G s 2\r\nhi\r\n", true),
        ("rmsg $G s  2\r\nhi\r\n", true),
        ("RMSG $G s  r 2\r\nhi\r\n", true),
        ("RMSG $G s r  2\r\nhi\r\n", false),
        ("RMSG $G s r\t2\r\nhi\r\n", false),
        ("RMSG $G s 2 \r\nhi\r\n", false),
        ("RMSG $G s 2\nhi\r\n", false),
        ("RMSG $G s | q 2\r\nhi\r\n", true),
        ("RMSG $G s + r q 2\r\nhi\r\n", false),
        ("HMSG $G s r 1 2\r\nhi\r\n", true),
        ("HMSG $G s r 1  2\r\nhi\r\n", false),
        ("HMSG $G s 0 2\r\nhi\r\n", true),
        ("HMSG $G s r 0 2\r\nhi\r\n", false),
    ] {
        assert_eq!(message(input).publish.tail.is_some(), sliced, "{input:?}");
    }
}

#[test]
fn on_a_connection_for_one_account() {
    let RouteOp::Msg(message) = op_within(b"RMSG A foo 2\r\nhi\r\n", &DEDICATED) else { panic!() };
    assert_eq!((message.account, message.publish.subject, message.publish.reply), (None, &b"A"[..], Some(&b"foo"[..])));
    let RouteOp::Msg(message) = op_within(b"HMSG foo + r q 1 2\r\nhi\r\n", &DEDICATED) else { panic!() };
    assert_eq!((message.account, message.publish.subject, message.publish.reply), (None, &b"foo"[..], Some(&b"r"[..])));
    let args = b"foo q 2";
    let interest = RoutedInterest { args, account: None, subject: b"foo", queue: Some((b"q", 2)) };
    assert_eq!(op_within(b"RS+ foo q 2\r\n", &DEDICATED), RouteOp::Interest(interest));
    let gone = RouteOp::NoInterest { args: b"foo q", account: None, subject: b"foo", queue: Some(b"q") };
    assert_eq!(op_within(b"RS- foo q\r\n", &DEDICATED), gone);
}

#[test]
fn control_operations() {
    let account = Some(&b"$G"[..]);
    let interest = |args, queue| RouteOp::Interest(RoutedInterest { args, account, subject: b"a", queue });
    let gone = |args, queue| RouteOp::NoInterest { args, account, subject: b"a", queue };
    for (input, expected) in [
        (&b"RS+ $G a\r\n"[..], interest(b"$G a", None)),
        (b"rs+\t$G \t a  \n", interest(b"$G \t a  ", None)),
        (b"RS+ $G a q 12\r\n", interest(b"$G a q 12", Some((&b"q"[..], 12)))),
        (b"RS+ $G a q 0\r\n", interest(b"$G a q 0", Some((b"q", 0)))),
        (b"RS+ $G a q -1\r\n", interest(b"$G a q -1", Some((b"q", -1)))),
        (b"RS+ $G a q x\r\n", interest(b"$G a q x", Some((b"q", -1)))),
        (b"RS+ $G a q 9999999999\r\n", interest(b"$G a q 9999999999", Some((b"q", -1)))),
        (b"RS- $G a\r\n", gone(b"$G a", None)),
        (b"RS- $G a q\r\n", gone(b"$G a q", Some(&b"q"[..]))),
        (b"UNSUB $G a\r\n", gone(b"$G a", None)),
        (b"SUB a 1\r\n", RouteOp::Ignored),
        (b"A+ $G\r\n", RouteOp::Ignored),
        (b"a- \r\n", RouteOp::Ignored),
        (b"PiNG\r\n", RouteOp::Ping),
        (b"PONGxyz foo\n", RouteOp::Pong),
        (b"+OK\r\n", RouteOp::Ok),
        (b"-ERR  'a b' \r\n", RouteOp::Err { text: b"'a b' " }),
        (b"CONNECT{\"a\": 1}\r\n", RouteOp::Connect { json: b"{\"a\": 1}" }),
        (b"INFO {} \r\n", RouteOp::Info { json: b"{} " }),
        (b"INFO\r\n", RouteOp::Info { json: b"" }),
    ] {
        assert_eq!(op_within(input, &LIMITS), expected);
    }
}

/// The reference takes a client's publish for a message of an account that nobody has.
#[test]
fn publishes_of_clients() {
    for (input, name, reply) in [
        ("PUB s 2\r\nhi\r\n", "PUB", None),
        ("PUB s r 2\r\nhi\r\n", "PUB", Some(&b"r"[..])),
        ("HPUB s 1 2\r\nhi\r\n", "HPUB", None),
    ] {
        let message = message(input);
        assert_eq!(
            (message.publish.name(), message.account, message.publish.subject),
            (name, Some(&b""[..]), &b"s"[..])
        );
        assert_eq!((message.publish.reply, message.publish.body), (reply, &b"hi"[..]));
    }
}

#[test]
fn an_unfinished_payload_says_how_much_is_missing() {
    let needed = |input: &[u8]| match RouteParser::new().next(input, &LIMITS) {
        RouteStep::Incomplete { needed } => needed,
        other => panic!("{other:?}"),
    };
    assert_eq!(needed(b""), None);
    assert_eq!(needed(b"RMSG $G a 5\r"), None);
    for end in ["", "hell", "hello", "hello\r"] {
        assert_eq!(needed(format!("RMSG $G a 5\r\n{end}").as_bytes()), Some(20), "{end:?}");
    }
}

#[test]
fn ignored_bytes_are_not_kept() {
    let mut parser = RouteParser::new();
    assert_eq!(parser.next(b"PINGabc", &LIMITS), RouteStep::Skipped { consumed: 7 });
    assert_eq!(parser.next(&[b'x'; 5000], &LIMITS), RouteStep::Skipped { consumed: 5000 });
    assert_eq!(parser.next(b"x\nRMSG", &LIMITS), RouteStep::Op { op: RouteOp::Ping, consumed: 2 });
    assert_eq!(parser.next(b"RS-   ", &LIMITS), RouteStep::Skipped { consumed: 6 });
    assert_eq!(parser.next(&[b' '; 5000], &LIMITS), RouteStep::Skipped { consumed: 5000 });
    assert_eq!(parser.next(b"a", &LIMITS), RouteStep::Incomplete { needed: None });
    let op = RouteOp::NoInterest { args: b"a b", account: Some(b"a"), subject: b"b", queue: None };
    assert_eq!(parser.next(b"a b\r\n", &LIMITS), RouteStep::Op { op, consumed: 5 });
    let mut parser = RouteParser::new();
    assert_eq!(parser.next(b"RMSG  ", &LIMITS), RouteStep::Skipped { consumed: 6 });
    assert_eq!(parser.next(b"$G a 1\r\n", &LIMITS), RouteStep::Incomplete { needed: Some(11) });
    let step = parser.next(b"$G a 1\r\nx\r\n", &LIMITS);
    assert!(matches!(step, RouteStep::Op { op: RouteOp::Msg(_), consumed: 11 }), "{step:?}");
    assert_eq!(parser.next(b"PING\r\n", &LIMITS), RouteStep::Op { op: RouteOp::Ping, consumed: 6 });
}

/// Texts as the reference logs them.
#[test]
fn errors_for_the_log() {
    for (input, text) in [
        ("RS+ $G\r\n", "processRemoteSub Parse Error: 'R $G'"),
        ("RS+ $G foo q\r\n", "processRemoteSub Parse Error: 'R $G foo q'"),
        ("RS+ $G foo q 1 x y\r\n", "processRemoteSub Parse Error: 'R $G foo q 1 x y'"),
        ("RS- $G\r\n", "processRemoteUnsub parse error: '$G'"),
        ("RS- $G foo q 1\r\n", "processRemoteUnsub parse error: '$G foo q 1'"),
        ("RMSG \r\n", "processRoutedMsgArgs Parse Error: '[]'"),
        ("RMSG $G\r\n", "processRoutedMsgArgs Parse Error: '[$G]'"),
        ("RMSG $G  foo\r\n", "processRoutedMsgArgs Parse Error: '[$G foo]'"),
        ("RMSG $G foo x y 3\r\n", "processRoutedMsgArgs Bad or Missing Reply Indicator: 'x'"),
        ("RMSG $G foo || r q 3\r\n", "processRoutedMsgArgs Bad or Missing Reply Indicator: '||'"),
        ("RMSG $G foo -1\r\n", "processRoutedMsgArgs Bad or Missing Size: '[$G foo -1]'"),
        ("RMSG $G foo | q abc\r\n", "processRoutedMsgArgs Bad or Missing Size: '[$G foo | q abc]'"),
        ("RMSG $G foo 1234567890\r\n", "processRoutedMsgArgs Bad or Missing Size: '[$G foo 1234567890]'"),
        ("RMSG $G foo 101\r\n", "maximum payload exceeded: 101 vs 100"),
        ("HMSG $G foo 3\r\n", "processRoutedHeaderMsgArgs Parse Error: '[$G foo 3]'"),
        ("HMSG $G foo x 2\r\n", "processRoutedHeaderMsgArgs Bad or Missing Header Size: '$G foo x 2'"),
        ("HMSG $G foo 2 x\r\n", "processRoutedHeaderMsgArgs Bad or Missing Size: '[$G foo 2 x]'"),
        ("HMSG $G foo 3 2\r\n", "processRoutedHeaderMsgArgs Header Size larger then TotalSize: '$G foo 3 2'"),
        ("HMSG $G foo x q r 0 2\r\n", "processRoutedHeaderMsgArgs Bad or Missing Reply Indicator: 'x'"),
        ("PUB foo\r\n", "processPub Parse Error: \"foo\""),
        ("PUB foo a b 1\r\n", "processPub Parse Error: \"foo a b 1\""),
        ("PUB foo x\r\n", "processPub Bad or Missing Size: \"foo x\""),
        ("HPUB foo\r\n", "processHeaderPub Parse Error: \"foo\""),
        ("HPUB foo x 1\r\n", "processHeaderPub Bad or Missing Header Size: \"foo x 1\""),
        ("HPUB foo 1 x\r\n", "processHeaderPub Bad or Missing Total Size: \"foo 1 x\""),
        ("FOO bar\r\n", r#"Router parser ERROR, state=0, i=0: proto='"FOO bar\r"...'"#),
        ("MSG foo 1 3\r\n", r#"Router parser ERROR, state=0, i=0: proto='"MSG foo 1 3\r"...'"#),
        ("RS+\r\nPING\r\n", r#"Router parser ERROR, state=45, i=3: proto='"\r\nPING\r"...'"#),
        ("RS-x\r\n", r#"Router parser ERROR, state=63, i=3: proto='"x\r"...'"#),
        ("RS*x\r\n", r#"Router parser ERROR, state=58, i=2: proto='"*x\r"...'"#),
        ("RMx\r\n", r#"Router parser ERROR, state=66, i=2: proto='"x\r"...'"#),
        ("RMSG\r\n", r#"Router parser ERROR, state=68, i=4: proto='"\r"...'"#),
        ("R\r\n", r#"Router parser ERROR, state=57, i=1: proto='"\r"...'"#),
        ("HM\r\n", r#"Router parser ERROR, state=24, i=2: proto='"\r"...'"#),
        ("HMSG\r\n", r#"Router parser ERROR, state=26, i=4: proto='"\r"...'"#),
        ("A+\r\n", r#"Router parser ERROR, state=49, i=2: proto='"\r"...'"#),
        ("Ax\r\n", r#"Router parser ERROR, state=48, i=1: proto='"x\r"...'"#),
        ("L\r\n", r#"Router parser ERROR, state=55, i=1: proto='"\r"...'"#),
        ("LSx\r\n", r#"Router parser ERROR, state=56, i=2: proto='"x\r"...'"#),
        ("LS+x\r\n", r#"Router parser ERROR, state=45, i=3: proto='"x\r"...'"#),
        ("LS-\r\n", r#"Router parser ERROR, state=63, i=3: proto='"\r"...'"#),
        ("LMSx\r\n", r#"Router parser ERROR, state=67, i=3: proto='"x\r"...'"#),
        ("LMSG\r\n", r#"Router parser ERROR, state=68, i=4: proto='"\r"...'"#),
        ("-ERR\r\n", r#"Router parser ERROR, state=7, i=4: proto='"\r"...'"#),
        ("UNSUBx\r\n", r#"Router parser ERROR, state=63, i=5: proto='"x\r"...'"#),
        ("RMSG $G foo 3\r\nabcd\r\n", r#"Router parser ERROR, state=41, i=18: proto='"d\r"...'"#),
        ("RMSG $G foo 3\r\nabc\rPING\r\n", r#"Router parser ERROR, state=42, i=19: proto='"PING\r"...'"#),
    ] {
        assert_eq!(error(input).to_string(), text, "{input:?}");
    }
    let later = error("RMx\r\n").within(10).to_string();
    assert_eq!(later, r#"Router parser ERROR, state=66, i=12: proto='"x\r"...'"#);
}

#[test]
fn errors_for_the_other_server() {
    for input in ["Z", "\n", "RMSG $G foo 3\r\nabcd\r\n", "MSG a 1 0\r\n\r\n", "LS+ $G a\r\n"] {
        assert_eq!(error(input).wire_text(), Some("Unknown Protocol Operation"), "{input:?}");
    }
    for input in ["RMSG $G\r\n", "RS+ $G\r\n", "RS- $G\r\n", "HMSG $G a 2 1\r\n"] {
        assert_eq!(error(input).wire_text(), None, "{input:?}");
    }
    assert_eq!(error("RMSG $G a 999999999\r\n").wire_text(), Some("Maximum Payload Violation"));
}

#[test]
fn the_control_line_limit_counts_arguments_only() {
    for name in ["RS+ ", "RS- ", "RMSG ", "INFO ", "CONNECT", "A+ ", "-ERR "] {
        for (length, end, exceeded) in [(64, "", false), (64, "\r", false), (65, "", true), (65, "\r", true)] {
            let unfinished = [name.as_bytes(), &vec![b'a'; length], end.as_bytes()].concat();
            let step = RouteParser::new().next(&unfinished, &LIMITS);
            let refused = matches!(step, RouteStep::Error(ParseError::ControlLineExceeded));
            assert_eq!(refused, exceeded, "{name} {length} {end:?}");
        }
    }
    assert_eq!(error(&format!("RS+ {}\r\n", "a".repeat(65))), ParseError::ControlLineExceeded);
    assert_eq!(error(&format!("RMSG $G {} 2\r\nhi\r\n", "a".repeat(60))), ParseError::ControlLineExceeded);
}

#[test]
fn what_is_written_is_read() {
    let account = Some(&b"$G"[..]);
    let mut out = Vec::new();
    write::interest(&mut out, account, b"a", None);
    write::interest(&mut out, account, b"a", Some((b"q", 3)));
    write::interest(&mut out, None, b"a", Some((b"q", 3)));
    write::no_interest(&mut out, account, b"a", None);
    write::no_interest(&mut out, None, b"a", Some(b"q"));
    write::message_head(&mut out, account, b"a", false);
    out.extend_from_slice(b"r 2\r\nhi\r\n");
    write::message_head(&mut out, None, b"a", true);
    out.extend_from_slice(b"1 2\r\nhi\r\n");
    assert_eq!(
        text(&out),
        "RS+ $G a\r\nRS+ $G a q 3\r\nRS+ a q 3\r\nRS- $G a\r\nRS- a q\r\nRMSG $G a r 2\r\nhi\r\nHMSG a 1 2\r\nhi\r\n"
    );
    for (reply, queues, header_len, line) in [
        (None, &[][..], None, "RMSG $G a 2\r\n"),
        (Some(&b"r"[..]), &[], None, "RMSG $G a r 2\r\n"),
        (None, &[&b"q"[..]], None, "RMSG $G a | q 2\r\n"),
        (Some(b"r"), &[b"q1", b"q2"], None, "RMSG $G a + r q1 q2 2\r\n"),
        (None, &[], Some(1), "HMSG $G a 1 2\r\n"),
        (Some(b"r"), &[b"q"], Some(1), "HMSG $G a + r q 1 2\r\n"),
    ] {
        let mut out = Vec::new();
        write::message(&mut out, account, b"a", reply, queues.iter().copied(), header_len, 2);
        assert_eq!(text(&out), line);
        out.extend_from_slice(b"hi\r\n");
        let message = message(text(&out));
        assert_eq!((message.publish.reply, message.queues.collect::<Vec<_>>()), (reply, queues.to_vec()));
        assert_eq!(message.publish.header_len, header_len.unwrap_or_default());
    }
}
