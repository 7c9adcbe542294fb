//! What the black-box tests share: servers to start, raw clients to drive.
//!
//! A test starts its own servers on free ports in their own directories; dropping a [`Server`] ends its process
//! and removes what it wrote. The same test body can run against this project's server and against the reference
//! (see [`Side`]), which beats expectations written from memory.
//!
//! ```no_run
//! use pinmesh_harness::Side;
//!
//! for side in Side::BOTH {
//!     let server = side.server().arg("-DV").config("ping_interval: 1s").start();
//!     println!("{side} listens on {}", server.url());
//! }
//! ```

pub mod cases;
pub mod client;
pub mod cluster;
pub mod frame;
mod heard;
pub mod line_up;
pub mod load;
pub mod mangle;
pub mod monitoring;
pub mod netns;
mod peer;
mod poll;
pub mod route;
pub mod scenarios;
mod server;
mod side;
pub mod suite;
pub mod witness;

pub use client::Client;
pub use cluster::{Cluster, Kind, Member, Seat};
pub use frame::{Frame, Message, Received};
pub use heard::Heard;
pub use line_up::LineUp;
pub use peer::Peer;
pub use poll::{DEADLINE, eventually, poll_until};
pub use route::{Introduction, RouteListener, ScriptedRoute};
pub use server::{Builder, Finished, NotReady, Server, Signal};
pub use side::Side;
