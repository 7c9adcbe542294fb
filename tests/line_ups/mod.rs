//! The line-ups of servers that every body of a test about clusters is played with: references alone, which proves the
//! body right; ours alone; and both together.

use std::panic;
use std::thread;

use anyhow::Result;
use pinmesh_harness::Cluster;
use pinmesh_harness::Kind::{self, Old, Ours, Reference};
use pinmesh_harness::cluster::line_up;

/// Gets kinds of servers to start, and a cluster without servers to put them into.
pub type Body = fn(&[Kind], &mut Cluster) -> Result<()>;

pub const REFERENCES: &[[Kind; 4]] = &[[Reference; 4], [Old; 4]];
pub const OURS: &[[Kind; 4]] = &[[Ours(1); 4], [Ours(2), Ours(3), Ours(2), Ours(1)]];
pub const MIXED: &[[Kind; 4]] = &[
    [Reference, Ours(2), Old, Ours(1)],
    [Ours(2), Reference, Ours(1), Old],
    [Old, Ours(1), Reference, Ours(2)],
    [Reference, Reference, Ours(2), Reference],
];

/// Makes three tests of each body.
macro_rules! on_every_line_up {
    ($($body:ident),* $(,)?) => { $(
        mod $body {
            #[test]
            fn references() {
                crate::line_ups::run(crate::line_ups::REFERENCES, super::$body);
            }

            #[test]
            fn ours() {
                crate::line_ups::run(crate::line_ups::OURS, super::$body);
            }

            #[test]
            fn mixed() {
                crate::line_ups::run(crate::line_ups::MIXED, super::$body);
            }
        }
    )* };
}

/// Plays a body with each line-up, all of them at once: most of the time is spent waiting.
pub fn run(line_ups: &'static [[Kind; 4]], body: Body) {
    let play = |kinds: &'static [Kind; 4]| {
        thread::spawn(move || {
            let mut cluster = Cluster::default();
            // Panics while the servers are still there, so that their logs are shown.
            body(kinds, &mut cluster).unwrap_or_else(|error| panic!("{}: {error:#}", line_up(kinds.iter().copied())));
        })
    };
    let plays: Vec<_> = line_ups.iter().map(play).collect();
    let ends: Vec<_> = plays.into_iter().map(thread::JoinHandle::join).collect();
    for end in ends {
        end.unwrap_or_else(|failure| panic::resume_unwind(failure));
    }
}
