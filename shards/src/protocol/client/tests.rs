//! What one call gives for one input.

use super::*;

const LIMITS: ParserLimits = ParserLimits { max_control_line: 64, max_payload: Some(100), headers: true };

/// The step for the beginning of `input`, on a fresh parser.
fn first(input: &[u8]) -> Step<'_> {
    ClientParser::new().next(input, &LIMITS)
}

fn publish(input: &[u8]) -> Publish<'_> {
    match first(input) {
        Step::Op { op: ClientOp::Pub(publish), consumed } => {
            assert_eq!(consumed, input.len());
            publish
        }
        other => panic!("{}: {other:?}", input.escape_ascii()),
    }
}

fn error(input: &[u8]) -> ParseError {
    match first(input) {
        Step::Error { error, .. } => error,
        other => panic!("{}: {other:?}", input.escape_ascii()),
    }
}

#[test]
fn a_plain_publish_is_sliced() {
    let publish = publish(b"PUB a.b 5\r\nhello\r\n");
    assert_eq!(publish.args, b"a.b 5");
    assert_eq!((publish.subject, publish.reply), (&b"a.b"[..], None));
    assert_eq!((publish.total_text, publish.header_text), (&b"5"[..], None));
    assert_eq!((publish.body, publish.has_headers()), (&b"hello"[..], false));
    assert_eq!(publish.tail, Some(&b"5\r\nhello\r\n"[..]));
}

#[test]
fn the_tail_is_the_end_of_the_input_or_written_anew() {
    for (input, sliced, tail) in [
        ("PUB a 2\r\nhi\r\n", true, "2\r\nhi\r\n"),
        ("pub a  002\r\nhi\r\n", true, "002\r\nhi\r\n"),
        ("PUB\t\ta\t2\r\nhi\r\n", true, "2\r\nhi\r\n"),
        ("PUB a   r 2\r\nhi\r\n", true, "r 2\r\nhi\r\n"),
        ("PUB a r  2\r\nhi\r\n", false, "r 2\r\nhi\r\n"),
        ("PUB a r\t2\r\nhi\r\n", false, "r 2\r\nhi\r\n"),
        ("PUB a 2 \r\nhi\r\n", false, "2\r\nhi\r\n"),
        ("PUB a 2\nhi\r\n", false, "2\r\nhi\r\n"),
        ("HPUB a 1 2\r\nhi\r\n", true, "1 2\r\nhi\r\n"),
        ("HPUB a r 01 2\r\nhi\r\n", true, "r 01 2\r\nhi\r\n"),
        ("HPUB a r 1  2\r\nhi\r\n", false, "r 1 2\r\nhi\r\n"),
        ("HPUB a 1\t2\r\nhi\r\n", false, "1 2\r\nhi\r\n"),
        ("HPUB a  1 2\r\nhi\r\n", true, "1 2\r\nhi\r\n"),
        ("HPUB a 3 1 2\r\nhi\r\n", true, "3 1 2\r\nhi\r\n"),
        ("HPUB a 0 2\r\nhi\r\n", true, "2\r\nhi\r\n"),
        ("HPUB a r 0 2\r\nhi\r\n", false, "r 2\r\nhi\r\n"),
        ("HPUB a 00 0\r\n\r\n", true, "0\r\n\r\n"),
    ] {
        let publish = publish(input.as_bytes());
        assert_eq!(publish.tail.is_some(), sliced, "{input:?}");
        let mut written = Vec::new();
        publish.write_tail(&mut written);
        assert_eq!(written, tail.as_bytes(), "{input:?}");
    }
}

#[test]
fn headers() {
    let with = publish(b"HPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    assert!(with.has_headers());
    assert_eq!((with.header_len, with.header_text, with.total_text), (12, Some(&b"12"[..]), &b"14"[..]));
    assert_eq!(with.body, b"NATS/1.0\r\n\r\nhi");
    let without = publish(b"HPUB a r 0 2\r\nhi\r\n");
    assert!(!without.has_headers());
    assert_eq!((without.header_len, without.header_text), (0, None));
    let limits = ParserLimits { headers: false, ..LIMITS };
    let refused = ClientParser::new().next(b"HPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", &limits);
    assert!(matches!(refused, Step::Error { error: ParseError::HeadersNotSupported, .. }), "{refused:?}");
}

#[test]
fn control_operations() {
    let subscribe = |args, queue| ClientOp::Sub { args, subject: b"a", queue, sid: b"7" };
    let unsubscribe = |args, max| ClientOp::Unsub { args, sid: b"7", max };
    for (input, expected) in [
        (&b"SUB a 7\r\n"[..], subscribe(b"a 7", None)),
        (b"sub\ta  q 7\t\n", subscribe(b"a  q 7\t", Some(b"q"))),
        (b"UNSUB 7\r\n", unsubscribe(b"7", None)),
        (b"UNSUB 7 5\r\n", unsubscribe(b"7 5", Some(5))),
        (b"UNSUB 7 0\r\n", unsubscribe(b"7 0", None)),
        (b"UNSUB 7 -1\r\n", unsubscribe(b"7 -1", None)),
        (b"UNSUB 7 999999999\r\n", unsubscribe(b"7 999999999", Some(999_999_999))),
        (b"UNSUB 7 0000000001\r\n", unsubscribe(b"7 0000000001", None)),
        (b"PiNG\r\n", ClientOp::Ping),
        (b"PONGxyz foo\n", ClientOp::Pong),
        (b"+OK\r\n", ClientOp::Ok),
        (b"-ERR  'a b' \r\n", ClientOp::Err { text: b"'a b' " }),
        (b"CONNECT{\"a\": 1}\r\n", ClientOp::Connect { json: b"{\"a\": 1}" }),
        (b"connect \t {} \r\n", ClientOp::Connect { json: b"{} " }),
        (b"CONNECT\r\n", ClientOp::Connect { json: b"" }),
        (b"INFO {}\n", ClientOp::Info { json: b"{}" }),
    ] {
        assert_eq!(first(input), Step::Op { op: expected, consumed: input.len() }, "{}", input.escape_ascii());
    }
}

#[test]
fn an_unfinished_payload_says_how_much_is_missing() {
    let needed = |input: &[u8]| match ClientParser::new().next(input, &LIMITS) {
        Step::Incomplete { needed, line } => (needed, line.and_then(|line| line.subject).map(<[u8]>::to_vec)),
        other => panic!("{other:?}"),
    };
    assert_eq!(needed(b""), (None, None));
    assert_eq!(needed(b"PUB a 5\r"), (None, None));
    for input in ["PUB a 5\r\n", "PUB a 5\r\nhell", "PUB a 5\r\nhello", "PUB a 5\r\nhello\r"] {
        assert_eq!(needed(input.as_bytes()), (Some(16), Some(b"a".to_vec())), "{input:?}");
    }
}

#[test]
fn ignored_bytes_are_not_kept() {
    let mut parser = ClientParser::new();
    assert_eq!(parser.next(b"PINGabc", &LIMITS), Step::Skipped { consumed: 7 });
    assert_eq!(parser.next(&[b'x'; 5000], &LIMITS), Step::Skipped { consumed: 5000 });
    assert_eq!(parser.next(b"x\nPUB", &LIMITS), Step::Op { op: ClientOp::Ping, consumed: 2 });
    assert_eq!(parser.next(b"SUB   ", &LIMITS), Step::Skipped { consumed: 6 });
    assert_eq!(parser.next(&[b' '; 5000], &LIMITS), Step::Skipped { consumed: 5000 });
    let mut rest = vec![b' '; 5000];
    rest.extend_from_slice(b"a");
    assert_eq!(parser.next(&rest, &LIMITS), Step::Skipped { consumed: 5000 });
    assert_eq!(parser.next(b"a", &LIMITS), Step::Incomplete { needed: None, line: None });
    let op = ClientOp::Sub { args: b"a 1", subject: b"a", queue: None, sid: b"1" };
    assert_eq!(parser.next(b"a 1\r\n", &LIMITS), Step::Op { op, consumed: 5 });
}

/// Texts as the reference logs them.
#[test]
fn errors_for_the_log() {
    for (input, text) in [
        ("PUB foo abc\r\n", r#"processPub Bad or Missing Size: "foo abc""#),
        ("PUB foo 0123456789\r\n", r#"processPub Bad or Missing Size: "foo 0123456789""#),
        ("PUB foo\r\n", r#"processPub Parse Error: "foo""#),
        ("PUB foo a b 1\r\n", r#"processPub Parse Error: "foo a b 1""#),
        ("PUB foo 101\r\n", "maximum payload exceeded: 101 vs 100"),
        ("HPUB foo 1\r\n", r#"processHeaderPub Parse Error: "foo 1""#),
        ("HPUB foo x 12\r\n", r#"processHeaderPub Bad or Missing Header Size: "foo x 12""#),
        ("HPUB foo 12 x\r\n", r#"processHeaderPub Bad or Missing Total Size: "foo 12 x""#),
        ("HPUB foo 12 11\r\n", r#"processHeaderPub Header Size larger then TotalSize: "foo 12 11""#),
        ("SUB foo\r\n", r#"processSub Parse Error: "foo""#),
        ("SUB a b c d\r\n", r#"processSub Parse Error: "a b c d""#),
        ("UNSUB a b c\r\n", r#"processUnsub Parse Error: "a b c""#),
        ("FOO bar\r\n", r#"Client parser ERROR, state=0, i=0: proto='"FOO bar\r"...'"#),
        ("-ERR\r\nPING\r\n", r#"Client parser ERROR, state=7, i=4: proto='"\r\nPING\r"...'"#),
        ("PUBx", r#"Client parser ERROR, state=31, i=3: proto='""...'"#),
        ("POx", r#"Client parser ERROR, state=37, i=2: proto='""...'"#),
        ("UNSUBx", r#"Client parser ERROR, state=63, i=5: proto='""...'"#),
        ("INFx", r#"Client parser ERROR, state=73, i=3: proto='""...'"#),
        ("PUB foo 2\r\nhix", r#"Client parser ERROR, state=41, i=13: proto='""...'"#),
        ("PUB foo 2\r\nhi\rx", r#"Client parser ERROR, state=42, i=14: proto='""...'"#),
        (
            "PUB foo 2\r\nhello\r\nPING\r\nPING\r\nPING\r\nPING\r\nPING\r\nPING\r\n",
            r#"Client parser ERROR, state=41, i=13: proto='"llo\r\nPING\r\nPING\r\nPING\r\nPING\r\nPIN"...'"#,
        ),
    ] {
        assert_eq!(error(input.as_bytes()).to_string(), text, "{input:?}");
    }
    let no_headers = ParserLimits { headers: false, ..LIMITS };
    let step = ClientParser::new().next(b"HPUB a 0 0\r\n", &no_headers);
    let line = Some(ControlLine { name: "HPUB", args: b"a 0 0", subject: None });
    assert_eq!(step, Step::Error { error: ParseError::HeadersNotSupported, line });
}

/// What was understood before the mistake is told, too: it is traced, and a subject is checked.
#[test]
fn errors_behind_a_whole_control_line() {
    let line = |name, args: &'static str, subject: Option<&'static str>| {
        Some(ControlLine { name, args: args.as_bytes(), subject: subject.map(str::as_bytes) })
    };
    for (input, expected) in [
        ("PUB a x\r\n", line("PUB", "a x", None)),
        ("PUB a 101\r\n", line("PUB", "a 101", None)),
        ("pub a 2\r\nxyz", line("PUB", "a 2", Some("a"))),
        ("HPUB a r 2 2\r\nxy\rz", line("HPUB", "a r 2 2", Some("a"))),
        ("HPUB a 2 1\n", line("HPUB", "a 2 1", None)),
        ("PUB \r\n", line("PUB", "", None)),
        ("SUB a\r\n", line("SUB", "a", None)),
        ("UNSUB 1 2 3\r\n", line("UNSUB", "1 2 3", None)),
        ("FOO\r\n", None),
    ] {
        let Step::Error { line, .. } = first(input.as_bytes()) else { panic!("{input:?}") };
        assert_eq!(line, expected, "{input:?}");
    }
}

#[test]
fn names_of_publishes() {
    for (input, name) in [
        (&b"PUB a 1\r\nx\r\n"[..], "PUB"),
        (b"pub a r\t 1 \r\nx\r\n", "PUB"),
        (b"PUB a  1\r\nx\r\n", "PUB"),
        (b"HPUB a 0 1\r\nx\r\n", "HPUB"),
        (b"hpub a r 0 1\r\nx\r\n", "HPUB"),
        (b"HPUB a 1 1\r\nx\r\n", "HPUB"),
    ] {
        assert_eq!(publish(input).name(), name, "{}", input.escape_ascii());
    }
}

#[test]
fn errors_for_the_client() {
    let told = |input: &str| error(input.as_bytes()).wire_text();
    for input in ["Z", "\n", "\x0bOK\r\n", "PUB\0foo 2\r\n", "MSG a 1 0\r\n\r\n", "PUB a 2\r\nhi\n"] {
        assert_eq!(told(input), Some("Unknown Protocol Operation"), "{input:?}");
    }
    assert_eq!(told("PUB a 999999999\r\n"), Some("Maximum Payload Violation"));
    for input in ["PUB \r\n", "PUB \n", "SUB \n", "UNSUB \t\r\n", "PUB a 1e3\r\n", "HPUB a 2 1\r\n"] {
        assert_eq!(told(input), None, "{input:?}");
    }
}

#[test]
fn the_control_line_limit_counts_arguments_only() {
    let at_limit = [b"SUB  ".as_slice(), &[b'a'; 62], b" 1\r\n"].concat();
    assert!(matches!(first(&at_limit), Step::Op { .. }));
    let above = [b"SUB ".as_slice(), &[b'a'; 63], b" 1\r\n"].concat();
    assert_eq!(error(&above), ParseError::ControlLineExceeded);
    for (length, end, exceeded) in [(64, "", false), (64, "\r", false), (65, "", true), (65, "\r", true)] {
        for name in ["SUB ", "PUB ", "CONNECT", "-ERR "] {
            let unfinished = [name.as_bytes(), &vec![b'a'; length], end.as_bytes()].concat();
            let step = first(&unfinished);
            let refused = matches!(step, Step::Error { error: ParseError::ControlLineExceeded, .. });
            assert_eq!(refused, exceeded, "{name} {length} {end:?}");
        }
    }
}
