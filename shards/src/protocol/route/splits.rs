//! Any cut of a stream gives the same operations, and they are the oracle's.

use proptest::prelude::*;

use super::cuts::{assert_oracles, streams};
use super::oracle::Limits;
use super::plain::Event;

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
    b"LS-",
    b"LMx",
    b"MSG a 1 0\r\n\r\n",
    b"RS+                                                       $G a\r\n",
];

#[test]
fn each_fragment_means_what_the_oracle_says() {
    for fragment in FRAGMENTS {
        let events = assert_oracles(fragment, LIMITS, 0);
        assert!(!matches!(events.as_slice(), [] | [.., Event::Closed(_)]), "{}", fragment.escape_ascii());
        assert_oracles(fragment, DEDICATED, 0);
    }
    for mistake in MISTAKES {
        assert_oracles(mistake, LIMITS, 0);
        assert_oracles(mistake, DEDICATED, 0);
    }
}

/// Lines that servers 2.9.10 and 2.15.1 sent, one of each shape.
#[test]
fn what_the_reference_sends_is_understood() {
    let limits = Limits { control_line: super::MAX_CONTROL_LINE, payload: None, dedicated: false };
    for line in include_str!("recorded.txt").lines() {
        let stream = line.replace("\\r\\n", "\r\n").into_bytes();
        let events = assert_oracles(&stream, limits, 0);
        assert!(!matches!(events.as_slice(), [] | [.., Event::Closed(_)]), "{line}");
        for event in events {
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
    fn any_cut_gives_the_oracles_operations(stream in streams(FRAGMENTS, MISTAKES), seed: u32, dedicated: bool) {
        assert_oracles(&stream, Limits { dedicated, ..LIMITS }, seed);
    }

    #[test]
    fn arbitrary_bytes_mean_what_the_oracle_says(
        stream in proptest::collection::vec(any::<u8>(), 0..64),
        seed: u32,
    ) {
        assert_oracles(&stream, LIMITS, seed);
    }
}
