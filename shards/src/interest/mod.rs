//! Who wants what: the shard's own table, the directory of all shards, and plans made from both.
//!
//! * [`local`]: one shard's subscriptions, exact.
//! * [`directory`]: which shards want a subject; shared, cut into partitions that the [`ring`] gives to shards.
//! * [`plan`]: what a publish needs to know, cached by subject and checked by versions.

pub mod directory;
mod holders;
pub mod keys;
mod literals;
pub mod local;
mod paged;
pub mod plan;
#[cfg(test)]
mod properties;
pub mod ring;
pub mod sid;
pub mod trie;

pub use directory::Directory;
pub use local::{LocalInterest, NewSubscription, SubId, Subscription};
pub use plan::{Found, Plan, PlanCache, Sources, Target};
pub use sid::Sid;
