//! Streams of the reference, round trips however they are cut, and streams that nobody should send.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LEVELS: [Level; 4] = [Level::Uncompressed, Level::Fast, Level::Better, Level::Best];

fn encode(level: Level, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::new(level).encode(plain, &mut out);
    out
}

/// What the pieces decode to, each of which must be used up.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, S2Error> {
    let (mut decoder, mut out) = (Decoder::new(), Vec::new());
    for mut piece in pieces {
        while !piece.is_empty() {
            let before = out.len();
            let used = decoder.decode(piece, &mut out)?;
            assert!(used == piece.len() || out.len() - before >= 1 << 20, "stopped without a reason");
            piece = &piece[used..];
        }
    }
    Ok(out)
}

/// A chunk, for streams that the encoder does not write.
fn chunk(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&body.len().to_le_bytes()[..3]);
    out.extend_from_slice(body);
    out
}

fn data(kind: u8, plain: &[u8], body: &[u8]) -> Vec<u8> {
    chunk(kind, &[&checksum(plain).to_le_bytes(), body].concat())
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn recorded_streams_decode() {
    let text = include_str!("recorded.txt");
    let streams: Vec<(&str, Vec<u8>)> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            (fields[0], from_hex(fields[2]))
        })
        .collect();
    let digits = format!("RMSG $G big 40000\r\n{}\r\n", "0123456789".repeat(4000)).into_bytes();
    let prose = decode([&*streams.iter().find(|(name, _)| *name == "text").unwrap().1]).unwrap();
    assert!(prose.starts_with(b"RMSG $G foo 800\r\nand subscriber of a "), "{}", String::from_utf8_lossy(&prose));
    assert_eq!(prose.len(), "RMSG $G foo 800\r\n".len() + 800 + 2);
    for (name, stream) in &streams {
        let expected: &[u8] = match *name {
            "ping" => b"PING\r\n",
            "pong" => b"PONG\r\n",
            "message" => b"RMSG $G foo 5\r\nhello\r\n",
            "text" => &prose,
            "digits" => &digits,
            _ => panic!("{name}"),
        };
        assert_eq!(decode([&**stream]).unwrap(), expected, "{name}");
        assert_eq!(decode(stream.chunks(1)).unwrap(), expected, "{name} byte by byte");
    }
    let all: Vec<u8> = streams.iter().flat_map(|(_, stream)| stream.iter().copied()).collect();
    let one_by_one: Vec<u8> = streams.iter().flat_map(|(_, stream)| decode([&**stream]).unwrap()).collect();
    assert_eq!(decode(all.chunks(7)).unwrap(), one_by_one);
}

#[test]
fn small_and_incompressible_data_stay_plain() {
    assert_eq!(encode(Level::Fast, b"PING\r\n"), b"\xff\x06\x00\x00S2sTwO\x01\x0a\x00\x00\xab\x90\xcc\x24PING\r\n");
    assert_eq!(encode(Level::Best, b""), b"");
    let mut random = fastrand::Rng::with_seed(1);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(200_000).collect();
    for level in LEVELS {
        let stream = encode(level, &noise);
        assert_eq!(stream.len(), 10 + 4 * 8 + noise.len(), "{level:?}");
        assert_eq!(decode([&*stream]).unwrap(), noise);
    }
}

#[test]
fn more_effort_makes_less() {
    let plain: Vec<u8> =
        (0..5000).flat_map(|n| format!("RS+ $G orders.{}.{}\r\n", n % 17, n * n).into_bytes()).collect();
    let lengths = LEVELS.map(|level| encode(level, &plain).len());
    assert!(lengths.is_sorted_by(|less, more| less > more), "{lengths:?}");
}

#[test]
fn a_change_of_level_is_for_the_next_stream() {
    let plain = b"to be or not to be ".repeat(100);
    let mut encoder = Encoder::new(Level::Uncompressed);
    let (mut out, mut expected) = (Vec::new(), Vec::new());
    for level in LEVELS {
        encoder.set_level(level);
        assert_eq!(encoder.level(), level);
        encoder.encode(&plain, &mut out);
        expected.extend(encode(level, &plain));
    }
    assert_eq!(out, expected);
    assert_eq!(decode([&*out]).unwrap(), plain.repeat(4));
}

#[test]
fn what_is_not_data_is_skipped() {
    let stream = [
        &IDENTIFIER[..],
        &chunk(0xfe, &[0; 70_000]),
        &chunk(0x80, b""),
        &data(PLAIN, b"one ", b"one "),
        &chunk(0x99, b"an index"),
        IDENTIFIER,
        IDENTIFIER,
        b"\xff\x06\x00\x00sNaPpY",
        &data(COMPRESSED, b"two", b"\x03\x08two"),
        &data(PLAIN, b"", b""),
        &data(COMPRESSED, b"", b"\x00"),
    ]
    .concat();
    assert_eq!(decode([&*stream]).unwrap(), b"one two");
    for length in [1, 2, 3, 5, 11, 4096] {
        assert_eq!(decode(stream.chunks(length)).unwrap(), b"one two", "in pieces of {length}");
    }
}

#[test]
fn wrong_streams_are_refused() {
    let good = data(PLAIN, b"abc", b"abc");
    let with_identifier = |chunk: &[u8]| [&IDENTIFIER[..], chunk].concat();
    let snappy = |chunk: &[u8]| [b"\xff\x06\x00\x00sNaPpY", chunk].concat();
    let cases = [
        (good.clone(), S2Error::NoIdentifier),
        (chunk(0xfe, b""), S2Error::NoIdentifier),
        (b"INFO {}\r\n".to_vec(), S2Error::UnknownChunk(b'I')),
        (with_identifier(&chunk(0x7f, b"")), S2Error::UnknownChunk(0x7f)),
        (b"\xff\x06\x00\x00S2sTwo".to_vec(), S2Error::ForeignStream),
        (b"\xff\x07\x00\x00".to_vec(), S2Error::ForeignStream),
        (with_identifier(&chunk(PLAIN, b"abc")), S2Error::ChunkLength(3)),
        (with_identifier(b"\x00\xff\xff\xff"), S2Error::ChunkLength(0xff_ffff)),
        (with_identifier(&data(PLAIN, b"abd", b"abc")), S2Error::Checksum),
        (with_identifier(&data(COMPRESSED, b"abd", b"\x03\x08abc")), S2Error::Checksum),
        (with_identifier(&data(COMPRESSED, b"abc", b"\x04\x08abc")), S2Error::CorruptBlock),
        (with_identifier(&data(COMPRESSED, b"abc", b"")), S2Error::CorruptBlock),
        (with_identifier(&data(COMPRESSED, b"aaa", b"\x03\x05\x01")), S2Error::CorruptBlock),
        (with_identifier(&data(COMPRESSED, b"", b"\x81\x80\x80\x02")), S2Error::BlockLength((4 << 20) + 1, 4 << 20)),
        (snappy(&data(COMPRESSED, b"", b"\x81\x80\x04")), S2Error::BlockLength((64 << 10) + 1, 64 << 10)),
        (snappy(&data(PLAIN, b"", &[0; 65_537])), S2Error::BlockLength(65_537, 64 << 10)),
    ];
    for (stream, error) in cases {
        assert_eq!(decode([&*stream]), Err(error.clone()));
        assert_eq!(decode(stream.chunks(1)), Err(error));
    }
}

#[test]
fn nothing_of_a_wrong_block_comes_out() {
    let stream = [&IDENTIFIER[..], &data(PLAIN, b"good", b"good"), &data(PLAIN, b"x", b"evil")].concat();
    let mut out = b"before ".to_vec();
    assert_eq!(Decoder::new().decode(&stream, &mut out), Err(S2Error::Checksum));
    assert_eq!(out, b"before good");
}

#[test]
fn a_bomb_goes_off_in_small_pieces() {
    let bomb = encode(Level::Fast, &vec![b'a'; 64 << 20]);
    let (mut decoder, mut out) = (Decoder::new(), Vec::new());
    let (mut rest, mut total) = (&*bomb, 0);
    while !rest.is_empty() {
        let used = decoder.decode(rest, &mut out).unwrap();
        assert!(out.len() <= (1 << 20) + (64 << 10), "{}", out.len());
        total += out.len();
        out.clear();
        rest = &rest[used..];
    }
    assert_eq!(total, 64 << 20);
}

#[test]
fn modes_of_a_configuration() {
    use Compression::*;
    for (text, mode) in [
        ("", Accept),
        ("Accept", Accept),
        ("OFF", Off),
        ("false", Off),
        ("disabled", Off),
        ("on", Fast),
        ("true", Fast),
        ("enabled", Fast),
        ("s2_fast", Fast),
        ("fast", Fast),
        ("S2_BETTER", Better),
        ("best", Best),
        ("auto", Auto),
        ("not supported", NotSupported),
        ("not_supported", NotSupported),
    ] {
        assert_eq!(text.parse(), Ok(mode), "{text:?}");
    }
    for text in ["zip", "ZIP", "s2_uncompressed", "s2"] {
        let error = text.parse::<Compression>().unwrap_err();
        assert_eq!(error.to_string(), format!("unsupported compression mode {text:?}"));
    }
}

/// What the reference did, configured as the first, with a peer that announced the second.
#[test]
fn negotiation() {
    use Compression::*;
    for (mine, remote, result) in [
        (Accept, "s2_fast", Fast),
        (Accept, "s2_auto", Fast),
        (Accept, "s2_uncompressed", Uncompressed),
        (Accept, "accept", Off),
        (Accept, "off", Off),
        (Accept, "not supported", NotSupported),
        (Accept, "", NotSupported),
        (Fast, "s2_auto", Fast),
        (Fast, "s2_better", Fast),
        (Fast, "accept", Fast),
        (Fast, "off", Off),
        (Fast, "not supported", NotSupported),
        (Fast, "", NotSupported),
        (Auto, "s2_auto", Auto),
        (Auto, "accept", Auto),
        (Auto, "off", Off),
        (Auto, "", NotSupported),
        (Better, "s2_auto", Better),
        (Better, "accept", Better),
        (Better, "off", Off),
        (Better, "", NotSupported),
        (Off, "s2_auto", Off),
        (Off, "accept", Off),
        (Off, "off", Off),
        (Off, "zip", Off),
        (Off, "not supported", Off),
        (Off, "", NotSupported),
        (NotSupported, "s2_fast", NotSupported),
        (NotSupported, "off", NotSupported),
        (NotSupported, "zip", NotSupported),
        (NotSupported, "", NotSupported),
    ] {
        assert_eq!(negotiate(mine, Some(remote)), Ok(result), "{mine} with {remote:?}");
        if remote.is_empty() {
            assert_eq!(negotiate(mine, None), Ok(result), "{mine} with nothing");
        }
    }
    for (mine, remote) in [(Accept, "zip"), (Accept, "ACCEPT"), (Fast, "S2_FAST")] {
        let error = negotiate(mine, Some(remote)).unwrap_err();
        assert_eq!(error.to_string(), format!("unsupported route compression mode {remote:?}"));
    }
}

#[test]
fn both_servers_agree_whether_to_compress() {
    use Compression::*;
    let modes = [NotSupported, Off, Accept, Uncompressed, Fast, Better, Best, Auto];
    for (mine, theirs) in modes.iter().flat_map(|mine| modes.map(|theirs| (*mine, theirs))) {
        let here = negotiate(mine, Some(theirs.as_str())).unwrap().level();
        let there = negotiate(theirs, Some(mine.as_str())).unwrap().level();
        assert_eq!(here.is_some(), there.is_some(), "{mine} with {theirs}");
    }
}

/// The thresholds and times with which the reference's monitoring was asked for its level.
#[test]
fn levels_for_round_trip_times() {
    use Level::*;
    let ms = Duration::from_millis;
    let default = [ms(10), ms(50), ms(100)];
    for (thresholds, rtt, level) in [
        (&default[..], ms(0), Uncompressed),
        (&default, ms(10), Uncompressed),
        (&default, ms(11), Fast),
        (&default, ms(51), Better),
        (&default, ms(101), Best),
        (&[ms(1)], ms(2), Uncompressed),
        (&[ms(1), ms(2)], ms(3), Fast),
        (&[ms(1), ms(2), ms(3)], ms(4), Best),
        (&[ms(1), ms(2), ms(3), ms(4)], ms(5), Best),
        (&[ms(0), ms(10)], ms(1), Fast),
        (&[ms(0), ms(0), ms(10)], ms(1), Better),
        (&[ms(0), ms(0), ms(0), ms(10)], ms(1), Best),
        (&[ms(0), ms(0), ms(10)], ms(11), Best),
        (&[ms(1), ms(0), ms(10)], ms(2), Better),
        (&[], ms(1), Uncompressed),
    ] {
        assert_eq!(level_for_rtt(thresholds, rtt), level, "{thresholds:?} {rtt:?}");
    }
}

/// Noise, repetitions of it and of a text, in any order.
fn plain() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        vec(any::<u8>(), 0..300),
        (vec(any::<u8>(), 1..40), 1..400usize).prop_map(|(seed, times)| seed.repeat(times)),
        (0..2000usize).prop_map(|times| b"RMSG $G orders.eu.new 12\r\nhello, world\r\n".repeat(times)),
    ];
    vec(part, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trips(flushes in vec((plain(), 0..4usize), 0..4), cuts in vec(1..5000usize, 1..8)) {
        let (mut stream, mut expected, mut encoder) = (Vec::new(), Vec::new(), Encoder::new(Level::Fast));
        for (plain, level) in &flushes {
            encoder.set_level(LEVELS[*level]);
            encoder.encode(plain, &mut stream);
            expected.extend_from_slice(plain);
        }
        let mut rest = &*stream;
        let mut lengths = cuts.iter().cycle();
        let pieces = std::iter::from_fn(|| {
            let (piece, behind) = rest.split_at(rest.len().min(*lengths.next()?));
            rest = behind;
            (!piece.is_empty()).then_some(piece)
        });
        prop_assert_eq!(decode(pieces), Ok(expected));
    }

    #[test]
    fn spoilt_streams_do_no_harm(plain in plain(), level in 0..4usize, spoils in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut stream = encode(LEVELS[level], &plain);
        if !stream.is_empty() {
            for (index, value) in spoils {
                let place = index.index(stream.len());
                stream[place] = value;
            }
            let whole = decode([&*stream]);
            prop_assert_eq!(decode(stream.chunks(3)), whole);
        }
    }
}
