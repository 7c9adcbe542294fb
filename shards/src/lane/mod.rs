//! Lanes: how shards hand parcels to each other, and the only atomics of the engine.
//!
//! A *lane* is the one-way, first-in-first-out path from one shard to another. Each shard has one inbox, an unbounded
//! channel into which all others send, and one [`Endpoint`] with which it sends, receives, counts credit and goes to
//! sleep. The unit is the parcel (many messages), and whatever costs something here is paid per parcel or per turn, never
//! per message. Nothing here waits: a send cannot fail, a receive answers "nothing now", and neither needs room anywhere.
//! The payload is opaque, so lanes know nothing of messages.
//!
//! # Order: the parcels of one turn become visible together
//!
//! *A publishes to C, then to B; B, on receipt, publishes to C: C must act on A's first.* The parcels of A's turn sit in
//! two inboxes, and B may be quick: without care, B's answer could reach C between A's two sends. So each shard has a
//! public number, *released*: the last of its turns that may be acted on. [`Endpoint::send_turn`] puts all parcels, each
//! with the number of its turn, into the inboxes and rings their doorbells; then it raises *released*; then it rings
//! once more. Who takes out a parcel whose turn is not released yet *holds* it aside and goes on with parcels of others,
//! so that nobody waits for a sender that was interrupted half-way. (A turn with a single target is released before it
//! is sent: there is no second inbox with which it could disagree.)
//!
//! The receiving rule: **take one parcel out of the inbox; then, newest first, look which held parcels (the new one
//! among them) are released; then act on those, oldest first.** Why it keeps causal order, for parcels X and Y to the
//! same shard C, when the sender of Y had acted on something of X's turn, or on something that follows from it:
//!
//! 1. It acted only after it saw X's turn released, and X was in C's inbox before that. So X was in the inbox before Y,
//!    and as the inbox is a queue, C takes X out first. When C has Y, it has acted on X or holds it.
//! 2. Taking Y out makes visible to C what its sender saw, the release of X's turn included. So each look at X that comes
//!    *after* Y was taken out finds X released, and X, which is older, is acted on before Y. A look *before* Y was taken
//!    out proves nothing: the release, the reaction and Y can all happen between the look and the taking. Hence the order
//!    in the rule.
//! 3. Two parcels of the same turn may be released between the look at one and the look at the other. Newest first: if
//!    the newer is found released, so is the older, whose look comes later. So what is acted on in one go is closed
//!    towards the past, for parcels of one sender too (first in, first out).
//!
//! A reaction need not come over a lane: a client that got something from B may publish on a connection to C. C looks at
//! its inbox after each socket read, and finds X there: it was put there, and the doorbell was rung, before the release.
//!
//! Held parcels are few: a sender has at most one unreleased turn, the one that it is sending at this moment.
//!
//! # Sleep: the doorbell
//!
//! Each shard has a doorbell with three positions: quiet, rung, asleep. Ringing is one swap, and only who finds it
//! *asleep* calls [`Wake::wake`], so one sleep costs one system call. The receiver turns it from rung to quiet *before*
//! it drains the inbox, and from quiet to asleep (which fails if it was rung) before it polls. Announcement and second
//! look are one operation on one word, so there are no two locations whose order a fence would have to settle. A shard
//! that holds unreleased parcels may sleep: the last ring, and any wake, come after the release. The same word answers
//! [`Endpoint::may_have_mail`], one load without a fence, for shards that spin.
//!
//! # Credit
//!
//! What bounds the inboxes are byte credits per ordered pair of shards: the sender counts what it sent, the receiver adds
//! up what it no longer keeps alive. A sender without credit goes on sending what it has (draining depends on no room),
//! but stops reading the sockets that cause it. It leaves the sum at which it wants to be told; the one [`settle`] that
//! passes this sum rings its doorbell.
//!
//! [`settle`]: Endpoint::settle

pub mod counts;
mod credit;
mod doorbell;
mod endpoint;
pub mod gauge;
pub mod ids;
mod sync;
pub mod versions;

#[cfg(test)]
mod tests;

pub use endpoint::{Endpoint, Incoming, LaneCounters, Outgoing, mesh};
pub use versions::Versions;

/// Wakes the thread of one shard out of its poll.
///
/// A wake that comes before the poll must end that poll at once (as an eventfd does), and must be cheap to get in vain.
pub trait Wake: Send + Sync {
    /// Ends the current poll of the shard, or the next one if it does not poll now.
    fn wake(&self);
}

impl<W: Wake + ?Sized> Wake for std::sync::Arc<W> {
    fn wake(&self) {
        (**self).wake();
    }
}
