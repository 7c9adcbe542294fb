//! Who holds an interest: shards of this server, and peers.

use super::directory::Remote;
use super::sid::SidHint;

/// Those who hold an interest.
#[derive(Debug, Default)]
pub(super) enum Holders {
    #[default]
    Nobody,
    One(Holder),
    #[allow(clippy::box_collection, reason = "there is one of these for each literal: two words, not four")]
    Many(Box<Vec<Holder>>),
}

/// One holder's interest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    /// See [`peer_holder`](super::directory::peer_holder).
    pub holder: u16,
    /// How often: two literals may share a hash, and a peer may tell of one on several lanes.
    pub count: u32,
    /// Of its first subscriber.
    pub sid: SidHint,
}

impl Holders {
    pub fn add(&mut self, holder: u16, sid: SidHint) {
        let new = Holder { holder, count: 1, sid };
        match self {
            Holders::Nobody => *self = Holders::One(new),
            Holders::One(one) if one.holder == holder => {
                one.count += 1;
                one.sid = sid;
            }
            Holders::One(one) => *self = Holders::Many(Box::new(vec![*one, new])),
            Holders::Many(many) => match many.iter_mut().find(|one| one.holder == holder) {
                Some(one) => {
                    one.count += 1;
                    one.sid = sid;
                }
                None => many.push(new),
            },
        }
    }

    pub fn remove(&mut self, holder: u16) {
        match self {
            Holders::One(one) if one.holder == holder => {
                one.count -= 1;
                if one.count == 0 {
                    *self = Holders::Nobody;
                }
            }
            Holders::Many(many) => {
                if let Some(at) = many.iter().position(|one| one.holder == holder)
                    && let Some(one) = many.get_mut(at)
                {
                    one.count -= 1;
                    if one.count == 0 {
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

    /// All of them.
    pub fn as_slice(&self) -> &[Holder] {
        match self {
            Holders::Nobody => &[],
            Holders::One(holder) => std::slice::from_ref(holder),
            Holders::Many(many) => many,
        }
    }

    /// Adds all but the asking shard to `out`.
    pub fn others(&self, asking: u16, out: &mut Remote) {
        for Holder { holder, sid, .. } in self.as_slice() {
            out.note(*holder, asking, *sid);
        }
    }
}
