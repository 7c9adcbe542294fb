//! Numbers of remotes, as directory and plans know them: given again only when nothing is left of all routes of the last one.

use std::collections::HashMap;

use super::MAX_PEERS;

/// Which numbers are in use, and by which routes.
#[derive(Debug)]
pub(super) struct PeerNumbers {
    /// Users of each number: its remote, and each route that is not forgotten.
    users: Vec<usize>,
    routes: HashMap<u64, u16>,
}

impl Default for PeerNumbers {
    fn default() -> Self {
        PeerNumbers { users: vec![0; MAX_PEERS], routes: HashMap::new() }
    }
}

impl PeerNumbers {
    /// A number for a new remote.
    pub fn take(&mut self) -> Option<u16> {
        let (number, users) = self.users.iter_mut().enumerate().find(|(_, users)| **users == 0)?;
        *users = 1;
        u16::try_from(number).ok()
    }

    /// The remote is gone, though shards may still have something of it.
    pub fn give_back(&mut self, peer: u16) {
        if let Some(users) = self.users.get_mut(usize::from(peer)) {
            *users = users.saturating_sub(1);
        }
    }

    /// A route of that remote goes to a shard.
    pub fn keep(&mut self, rid: u64, peer: u16) {
        if let Some(users) = self.users.get_mut(usize::from(peer)) {
            *users += 1;
            self.routes.insert(rid, peer);
        }
    }

    /// Nothing is left of a route.
    pub fn forget(&mut self, rid: u64) {
        if let Some(peer) = self.routes.remove(&rid) {
            self.give_back(peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_waits_for_its_last_route() {
        let mut numbers = PeerNumbers::default();
        assert_eq!((numbers.take(), numbers.take()), (Some(0), Some(1)));
        numbers.keep(7, 0);
        numbers.keep(8, 0);
        numbers.give_back(0);
        numbers.forget(7);
        numbers.forget(7);
        assert_eq!(numbers.take(), Some(2));
        numbers.forget(8);
        assert_eq!(numbers.take(), Some(0));
        assert_eq!(std::iter::from_fn(|| numbers.take()).count(), MAX_PEERS - 3);
    }
}
