//! Who wants what: the shard's own table, the directory of all shards, and plans made from both.
//!
//! * [`local`]: one shard's subscriptions, exact.
//! * [`directory`]: which shards want a subject; shared, cut into partitions that the [`ring`] gives to shards.
//! * [`learned`]: what a route told of its peer, exact.
//! * [`news`]: what changed here, for peers to be told.
//! * [`plan`]: what a publish needs to know, cached by subject and checked by versions.

pub mod directory;
mod holders;
pub mod keys;
pub mod learned;
mod literals;
pub mod local;
pub mod news;
mod paged;
pub mod plan;
#[cfg(test)]
mod properties;
pub mod ring;
pub mod sid;
pub mod trie;

pub use directory::Directory;
pub use learned::{LearnedInterest, LearnedSubscription};
pub use local::{LocalInterest, NewSubscription, SubId, Subscription};
pub use news::News;
pub use plan::{Found, Plan, PlanCache, Sources, Target};
pub use sid::Sid;
