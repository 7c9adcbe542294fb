//! What a server of several shards does, seen from its clients; chance comes from seeds, time is virtual.
//!
//! * [`histories`]: random traffic with churn, checked against what the invariants allow;
//! * [`barrier`]: the flush barrier under the worst timing;
//! * [`requests`]: echo, no-responders, auto-unsubscribe, a second CONNECT;
//! * [`pressure`]: stalls, slow consumers, deadlines, credit;
//! * [`large`]: large operations, stripped headers, memory of idle connections;
//! * [`surveys`]: what monitoring is told;
//! * [`cluster`]: what clients are told of the cluster;
//! * [`route_info`]: INFOs of other servers;
//! * [`routes`]: what other servers are told and tell;
//! * [`route_surveys`]: what monitoring is told of that;
//! * [`alarms`]: pings, stale connections, authentication.

mod alarms;
mod barrier;
mod cluster;
mod histories;
mod large;
mod pressure;
mod requests;
mod route_info;
mod route_surveys;
mod routes;
mod surveys;

use crate::testing::{Frame, Net};

/// Runs a test once for each seed and says which one it was that failed.
fn for_seeds(seeds: std::ops::Range<u64>, test: impl Fn(u64)) {
    for seed in seeds {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(seed)));
        if let Err(panic) = outcome {
            eprintln!("failed with seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

const QUIET: &str = r#"{"verbose":false,"pedantic":false}"#;
const FULL: &str = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true}"#;

/// `PUB <to> <size> <payload>`
fn publish(to: &str, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut operation = format!("PUB {to} {}\r\n", payload.len()).into_bytes();
    operation.extend_from_slice(payload);
    operation.extend_from_slice(b"\r\n");
    operation
}

fn messages(net: &mut Net, client: usize) -> Vec<Frame> {
    net.take(client).into_iter().filter(Frame::is_msg).collect()
}
