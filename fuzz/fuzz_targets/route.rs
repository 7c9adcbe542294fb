//! The route parser: no panic, the oracle's operations, and the same ones for any cut of the stream. The JSON of INFO and
//! CONNECT: no panic, and what was written anew is read as the same.
//!
//! The first byte of the input chooses the limits, the second the cut; the rest is the stream.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shards::protocol::Publish;
use shards::protocol::route::{RouteConnect, RouteInfo, RouteLimits, RouteOp, RouteParser, RouteStep, account_index};

#[path = "../../shards/src/protocol/cuts.rs"]
mod cuts;
#[path = "../../shards/src/protocol/route/oracle.rs"]
mod oracle;
#[path = "../../shards/src/protocol/plain.rs"]
mod plain;
#[path = "../../shards/src/protocol/route/replay.rs"]
mod replay;

fuzz_target!(|data: &[u8]| {
    let [options, cut, stream @ ..] = data else { return };
    let limits = oracle::Limits {
        control_line: if options & 1 == 0 { 64 } else { 4096 },
        payload: (options & 2 == 0).then_some(100),
        dedicated: options & 4 != 0,
    };
    for event in cuts::assert_oracles(stream, limits, u32::from(*cut)) {
        match event {
            plain::Event::Line("INFO", json) => info(&json),
            plain::Event::Line("CONNECT", json) => connect(&json),
            plain::Event::Words("RS+", words) => {
                if let [Some(account), ..] = words.as_slice() {
                    assert!(account_index(account, 3) < 3);
                }
            }
            _ => {}
        }
    }
});

fn info(json: &[u8]) {
    let Ok(info) = RouteInfo::parse(json) else { return };
    let mut line = Vec::new();
    info.write(&mut line);
    let written = line.strip_prefix(b"INFO ").and_then(|line| line.strip_suffix(b" \r\n")).expect("a line");
    assert_eq!(RouteInfo::parse(written).expect("what was written can be read"), info);
    let mut line = Vec::new();
    info.write_gossip(&mut line, std::net::Ipv4Addr::LOCALHOST.into(), 1);
    let written = line.strip_prefix(b"INFO ").and_then(|line| line.strip_suffix(b"\r\n")).expect("a line");
    let told = RouteInfo::parse(written).expect("gossip can be read");
    assert!(told.nonce.is_empty() && told.lanes.is_none() && !told.ip.is_empty());
}

fn connect(json: &[u8]) {
    let Ok(connect) = RouteConnect::parse(json) else { return };
    let mut line = Vec::new();
    connect.write(&mut line);
    let written = line.strip_prefix(b"CONNECT ").and_then(|line| line.strip_suffix(b"\r\n")).expect("a line");
    let again = RouteConnect::parse(written).expect("what was written can be read");
    assert_eq!((again.name, again.cluster, again.credentials), (connect.name, connect.cluster, connect.credentials));
}
