//! The shards that hold an interest.

use super::directory::Remote;
use super::sid::SidHint;

/// Shards that hold an interest.
#[derive(Debug, Default)]
pub(super) enum Holders {
    #[default]
    Nobody,
    One(Holder),
    #[allow(clippy::box_collection, reason = "there is one of these for each literal: two words, not four")]
    Many(Box<Vec<Holder>>),
}

/// One shard's interest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub shard: u16,
    /// How often: two literals of one shard may share a hash.
    pub count: u32,
    /// Of its first subscriber.
    pub sid: SidHint,
}

impl Holders {
    pub fn add(&mut self, shard: u16, sid: SidHint) {
        let new = Holder { shard, count: 1, sid };
        match self {
            Holders::Nobody => *self = Holders::One(new),
            Holders::One(holder) if holder.shard == shard => {
                holder.count += 1;
                holder.sid = sid;
            }
            Holders::One(holder) => *self = Holders::Many(Box::new(vec![*holder, new])),
            Holders::Many(many) => match many.iter_mut().find(|holder| holder.shard == shard) {
                Some(holder) => {
                    holder.count += 1;
                    holder.sid = sid;
                }
                None => many.push(new),
            },
        }
    }

    pub fn remove(&mut self, shard: u16) {
        match self {
            Holders::One(holder) if holder.shard == shard => {
                holder.count -= 1;
                if holder.count == 0 {
                    *self = Holders::Nobody;
                }
            }
            Holders::Many(many) => {
                if let Some(at) = many.iter().position(|holder| holder.shard == shard)
                    && let Some(holder) = many.get_mut(at)
                {
                    holder.count -= 1;
                    if holder.count == 0 {
                        many.swap_remove(at);
                    }
                }
                if many.is_empty() {
                    *self = Holders::Nobody;
                }
            }
            _ => {}
        }
    }

    pub fn is_nobody(&self) -> bool {
        matches!(self, Holders::Nobody)
    }

    pub fn others(&self, asking: u16, out: &mut Remote) {
        let holders = match self {
            Holders::Nobody => &[],
            Holders::One(holder) => std::slice::from_ref(holder),
            Holders::Many(many) => &many[..],
        };
        for Holder { shard, sid, .. } in holders {
            if *shard != asking && !out.shards.contains(shard) {
                out.shards.push(*shard);
                out.sid = *sid;
            }
        }
    }
}
