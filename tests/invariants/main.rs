//! What must stay true of the broker whatever the load and the placement of connections: the invariants of the
//! design, each as a black-box test.
//!
//! Every body runs against our server with 1, 2, 4 and 8 shards, and in shorter form against the reference server,
//! which keeps the same promises: a body that fails there is wrong. `checkers.rs` runs bodies behind a relay that
//! spoils the stream, to prove that they notice.
//!
//! A failure names its seed: `PINMESH_SEED` repeats it, as far as threads and sockets let it. `PINMESH_EFFORT=10`
//! runs ten times the rounds.

/// Makes the tests `<body>::shards_1`, `_2`, `_4`, `_8` and `<body>::reference` out of a body.
macro_rules! on_every_server {
    ($($body:ident),+ $(,)?) => { on_every_server! { config ""; $($body),+ } };
    (config $config:expr; $($body:ident),+) => { $(
        mod $body {
            use pinmesh_harness::Side;
            use crate::arena::run;

            #[test]
            fn shards_1() {
                run(Side::Ours, 1, $config, super::$body);
            }

            #[test]
            fn shards_2() {
                run(Side::Ours, 2, $config, super::$body);
            }

            #[test]
            fn shards_4() {
                run(Side::Ours, 4, $config, super::$body);
            }

            #[test]
            fn shards_8() {
                run(Side::Ours, 8, $config, super::$body);
            }

            #[test]
            fn reference() {
                run(Side::Reference, 1, $config, super::$body);
            }
        }
    )+ };
}

mod arena;
mod causality;
mod checkers;
mod flush_barrier;
mod histories;
mod no_deadlock;
mod no_loss;
mod order;
mod queue_groups;
mod quiet_neighbour;
mod slow_consumer;
mod visibility;
