//! Where clients can connect: this server's own URLs, and those that remotes have told.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The URLs of all servers, counted, because two may advertise the same.
#[derive(Debug, Default)]
pub(super) struct ConnectUrls {
    own: Vec<String>,
    remote: BTreeMap<String, usize>,
    /// Clients are told nothing (`no_advertise`).
    is_secret: bool,
    /// Before a remote told of any, clients are told nothing either.
    had_others: bool,
}

impl ConnectUrls {
    pub fn new(own: Vec<String>, is_secret: bool) -> ConnectUrls {
        ConnectUrls { own, is_secret, ..ConnectUrls::default() }
    }

    /// Of a new remote. True: clients must be told.
    pub fn add(&mut self, urls: &[String]) -> bool {
        let before = self.told();
        self.had_others |= !urls.is_empty();
        for url in urls {
            *self.remote.entry(url.clone()).or_default() += 1;
        }
        self.told() != before
    }

    /// Of a remote that leaves. True: clients must be told.
    pub fn remove(&mut self, urls: &[String]) -> bool {
        let before = self.told();
        for url in urls {
            if let Some(count) = self.remote.get_mut(url) {
                *count -= 1;
                if *count == 0 {
                    self.remote.remove(url);
                }
            }
        }
        self.told() != before
    }

    /// What INFO says to clients: own URLs first. `None`: nothing.
    pub fn told(&self) -> Option<Arc<[String]>> {
        (self.had_others && !self.is_secret).then(|| self.own.iter().chain(self.remote.keys()).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(list: &str) -> Vec<String> {
        list.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn counts_what_several_advertise() {
        let mut known = ConnectUrls::new(urls("me:1"), false);
        assert_eq!(known.told(), None);
        assert!(!known.add(&[]), "a remote that tells of none changes nothing");
        assert!(known.add(&urls("b:2 a:2")));
        assert!(!known.add(&urls("a:2")));
        assert_eq!(known.told().as_deref(), Some(&urls("me:1 a:2 b:2")[..]));
        assert!(!known.remove(&urls("a:2")));
        assert!(known.remove(&urls("a:2 b:2 never-seen:3")));
        assert_eq!(known.told().as_deref(), Some(&urls("me:1")[..]), "from now on the field is there");
    }

    #[test]
    fn a_secret_is_kept() {
        let mut known = ConnectUrls::new(urls("me:1"), true);
        assert!(!known.add(&urls("a:2")) && known.told().is_none() && !known.remove(&urls("a:2")));
    }
}
