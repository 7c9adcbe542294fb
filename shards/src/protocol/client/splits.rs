//! Any cut of a stream gives the same operations, and they are the oracle's.

use proptest::prelude::*;

use super::cuts::{assert_oracles, streams};
use super::oracle::Limits;
use super::plain::Event;

const LIMITS: Limits = Limits { control_line: 24, payload: Some(20), headers: true };

/// Pieces of protocol, good and bad, that make streams which get somewhere.
const FRAGMENTS: &[&[u8]] = &[
    b"PUB a 2\r\nhi\r\n",
    b"PUB a r 2\r\nhi\r\n",
    b"PUB a  2\r\nhi\r\n",
    b"pUb\ta.b \t r\t 002 \nhi\r\n",
    b"PUB a 0\r\n\r\n",
    b"PUB 1 2 3\r\nabc\r\n",
    b"PUB a 20\r\n01234567890123456789\r\n",
    b"HPUB a 1 2\r\nhi\r\n",
    b"HPUB a r 0 2\r\nhi\r\n",
    b"HPUB a r 1  2\r\nhi\r\n",
    b"SUB a 1\r\n",
    b"sub a q\t1 \n",
    b"UNSUB 1\r\n",
    b"UNSUB 1 5\r\n",
    b"PING\r\n",
    b"PINGxyz 1\r\n",
    b"PONG\n",
    b"+OK\r\n",
    b"CONNECT{}\r\n",
    b"CONNECT \t {\"a\":1}\r\n",
    b"INFO {}\r\n",
    b"-ERR 'x'\r\n",
];

const MISTAKES: &[&[u8]] = &[
    b"",
    b"Z",
    b"PUB",
    b"PU",
    b" ",
    b"\t",
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b"a",
    b"1",
    b"PUB a 21\r\n",
    b"PUB a 2\r\nhello\r\n",
    b"PUB a 2\r\nhi\n",
    b"PUB a 2\r\nhi\rx",
    b"PUB a 0000000001\r\n",
    b"PUB a x\r\n",
    b"HPUB a 3 2\r\nhi\r\n",
    b"SUB a\r\n",
    b"SUB a b c d\r\n",
    b"SUB \r\n",
    b"PUB \n",
    b"UNSUB a b c\r\n",
    b"SUB aaaaaaaaaaaaaaaaaaaaaaa 1\r\n",
    b"MSG a 1 0\r\n\r\n",
    b"SUB                                                       a 1\r\n",
];

#[test]
fn each_fragment_means_what_the_oracle_says() {
    for fragment in FRAGMENTS {
        let events = assert_oracles(fragment, LIMITS, 0);
        assert!(!matches!(events.as_slice(), [] | [.., Event::Closed(_)]), "{}", fragment.escape_ascii());
    }
    for mistake in MISTAKES {
        assert_oracles(mistake, LIMITS, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_cut_gives_the_oracles_operations(stream in streams(FRAGMENTS, MISTAKES), seed: u32) {
        assert_oracles(&stream, LIMITS, seed);
    }

    #[test]
    fn arbitrary_bytes_mean_what_the_oracle_says(
        stream in proptest::collection::vec(any::<u8>(), 0..64),
        seed: u32,
    ) {
        assert_oracles(&stream, LIMITS, seed);
    }
}
