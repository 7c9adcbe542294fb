//! Any cut of a stream gives the same operations, and they are the oracle's.

use proptest::prelude::*;

use super::oracle::{self, Event, Limits};
use super::replay;

const LIMITS: Limits = Limits { control_line: 24, payload: Some(20), dedicated: false };
const DEDICATED: Limits = Limits { dedicated: true, ..LIMITS };

/// Pieces of protocol, good and bad, that make streams which get somewhere.
const FRAGMENTS: &[&[u8]] = &[
    b"RMSG $G a 2\r\nhi\r\n",
    b"RMSG $G a r 2\r\nhi\r\n",
    b"RMSG $G a  2\r\nhi\r\n",
    b"RMSG $G a | q 2\r\nhi\r\n",
    b"RMSG $G a | q1 q2 2\r\nhi\r\n",
    b"RMSG $G a + r q 2\r\nhi\r\n",
    b"RMSG $G a + r q1 r 2\r\nhi\r\n",
    b"RMSG $G a + r 2\r\nhi\r\n",
    b"rMsG\t$G a.b \t r\t 002 \nhi\r\n",
    b"RMSG $G a 0\r\n\r\n",
    b"RMSG 1 2 3 4\r\nabcd\r\n",
    b"RMSG $G a 20\r\n01234567890123456789\r\n",
    b"HMSG $G a 1 2\r\nhi\r\n",
    b"HMSG $G a r 0 2\r\nhi\r\n",
    b"HMSG $G a | q 1 2\r\nhi\r\n",
    b"HMSG $G a + r q 1  2\r\nhi\r\n",
    b"RS+ $G a\r\n",
    b"RS+ $G a q 7\r\n",
    b"rs+  $G\ta q -7 \n",
    b"RS- $G a\r\n",
    b"RS- $G a q\r\n",
    b"UNSUB $G a q\r\n",
    b"SUB a 1\r\n",
    b"A+ $G\r\n",
    b"a- $G\n",
    b"PUB a r 2\r\nhi\r\n",
    b"HPUB a 1 2\r\nhi\r\n",
    b"PING\r\n",
    b"PINGxyz 1\r\n",
    b"PONG\n",
    b"+OK\r\n",
    b"CONNECT{}\r\n",
    b"CONNECT \t {\"a\":1}\r\n",
    b"INFO {} \r\n",
    b"-ERR 'x'\r\n",
];

const MISTAKES: &[&[u8]] = &[
    b"",
    b"Z",
    b"RMSG",
    b"RM",
    b" ",
    b"\r\n",
    b"\n",
    b"\0",
    b"a",
    b"1",
    b"RMSG $G a 21\r\n",
    b"RMSG $G a 2\r\nhello\r\n",
    b"RMSG $G a 2\r\nhi\n",
    b"RMSG $G a 2\r\nhi\rx",
    b"RMSG $G a 0000000001\r\n",
    b"RMSG $G a x\r\n",
    b"RMSG $G a x y 2\r\nhi\r\n",
    b"RMSG $G a || q 2\r\nhi\r\n",
    b"RMSG $G\r\n",
    b"RMSG \n",
    b"HMSG $G a 3 2\r\nhi\r\n",
    b"HMSG $G a 2\r\nhi\r\n",
    b"PUB a b c 2\r\nhi\r\n",
    b"RS+ $G\r\n",
    b"RS+ $G a q\r\n",
    b"RS+ $G a q 1 x\r\n",
    b"RS+ \r\n",
    b"RS- $G a q 1\r\n",
    b"RS-x",
    b"RS+ $G aaaaaaaaaaaaaaaaaaaaaaa\r\n",
    b"LS+ $G a\r\n",
    b"MSG a 1 0\r\n\r\n",
    b"RS+                                                       $G a\r\n",
];

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        9 => proptest::sample::select(FRAGMENTS),
        1 => proptest::sample::select(MISTAKES),
    ];
    (proptest::collection::vec(fragment, 0..8), 0..8usize).prop_map(|(fragments, cut)| {
        let mut stream = fragments.concat();
        stream.truncate(stream.len().saturating_sub(cut));
        stream
    })
}

fn bytewise(stream: &[u8], limits: Limits) -> Vec<Event> {
    replay::events(stream.chunks(1), limits)
}

#[test]
fn each_fragment_means_what_the_oracle_says() {
    for fragment in FRAGMENTS {
        let expected = oracle::events(fragment, LIMITS);
        assert!(!matches!(expected.as_slice(), [] | [.., Event::Closed(_)]), "{}", fragment.escape_ascii());
    }
    for fragment in FRAGMENTS.iter().chain(MISTAKES) {
        for limits in [LIMITS, DEDICATED] {
            let expected = oracle::events(fragment, limits);
            assert_eq!(replay::events([*fragment], limits), expected, "{}", fragment.escape_ascii());
            assert_eq!(bytewise(fragment, limits), expected, "{}", fragment.escape_ascii());
        }
    }
}

/// Lines that servers 2.9.10 and 2.15.1 sent, one of each shape.
#[test]
fn what_the_reference_sends_is_understood() {
    let limits = Limits { control_line: super::MAX_CONTROL_LINE, payload: None, dedicated: false };
    for line in include_str!("recorded.txt").lines() {
        let stream = line.replace("\\r\\n", "\r\n").into_bytes();
        let expected = oracle::events(&stream, limits);
        assert!(!matches!(expected.as_slice(), [] | [.., Event::Closed(_)]), "{line}");
        assert_eq!(replay::events([stream.as_slice()], limits), expected, "{line}");
        assert_eq!(bytewise(&stream, limits), expected, "{line}");
        for event in expected {
            match event {
                Event::Line("INFO", json) => {
                    let info = super::RouteInfo::parse(&json).unwrap_or_else(|error| panic!("{line}: {error}"));
                    let mut written = Vec::new();
                    info.write(&mut written);
                    let object = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).expect("an object");
                    assert_eq!(object(&written["INFO ".len()..]), object(&json));
                }
                Event::Line("CONNECT", json) => {
                    let connect = super::RouteConnect::parse(&json).unwrap_or_else(|error| panic!("{line}: {error}"));
                    assert!(!connect.name.is_empty() && connect.headers, "{line}");
                }
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_cut_gives_the_oracles_operations(
        stream in stream(),
        cuts in proptest::collection::vec(1..12usize, 1..40),
        dedicated: bool,
    ) {
        let limits = Limits { dedicated, ..LIMITS };
        let expected = oracle::events(&stream, limits);
        prop_assert_eq!(&replay::events([stream.as_slice()], limits), &expected);
        prop_assert_eq!(&bytewise(&stream, limits), &expected);
        let mut rest = stream.as_slice();
        let pieces = cuts.iter().cycle().map_while(|&length| {
            let (piece, behind) = rest.split_at(length.min(rest.len()));
            rest = behind;
            (!piece.is_empty()).then_some(piece)
        });
        prop_assert_eq!(&replay::events(pieces, limits), &expected);
    }

    #[test]
    fn arbitrary_bytes_mean_what_the_oracle_says(stream in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert_eq!(replay::events([stream.as_slice()], LIMITS), oracle::events(&stream, LIMITS));
    }
}
