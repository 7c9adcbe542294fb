//! What a cluster does when things go wrong: servers that are killed, stopped, started all at once, or that find each other at the
//! same moment, and peers that send garbage, never read, or announce more than anybody could want.
//!
//! Every body plays on clusters of the reference, of ours, and of both. What happens on a network that fails stands in
//! `cluster_namespaces.rs`.

mod bad_peers;
mod crowd;
mod duel;
mod gate;
mod greedy_peers;
mod killed;
mod stopped;
mod storm;
