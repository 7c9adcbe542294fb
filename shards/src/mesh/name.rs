//! The name of the cluster: who gives way when two differ.

use std::sync::Arc;

/// This server's cluster.
#[derive(Clone, Debug)]
pub(super) struct ClusterName {
    pub name: Arc<str>,
    /// It was generated, so it may give way; and stays so after it has.
    pub is_dynamic: bool,
    /// It is that of a cluster of several servers, or was.
    pub is_shared: bool,
}

/// What the other side's name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Same,
    /// Its name is ours from now on; who knows us by the old one must go.
    Adopted,
    Conflict,
}

impl ClusterName {
    /// The name of a server's cluster when it starts.
    pub fn new(name: &str, is_dynamic: bool) -> ClusterName {
        ClusterName { name: name.into(), is_dynamic, is_shared: false }
    }

    /// A server that has met no other yet, and whose name was generated, takes the name of the first one that it dials, though
    /// its own may be the greater: so a cluster need not change its name for each one that comes. True: it is another name.
    pub fn join(&mut self, theirs: &str) -> bool {
        if !self.is_dynamic || self.is_shared {
            return false;
        }
        self.is_shared = true;
        let is_new = *theirs != *self.name;
        if is_new {
            self.adopt(theirs);
        }
        is_new
    }

    fn adopt(&mut self, theirs: &str) {
        self.name = theirs.into();
        log::info!("Cluster name updated to {theirs}");
    }

    /// A configured name beats a generated one, and of two generated ones the greater wins.
    pub fn meet(&mut self, theirs: &str, theirs_is_dynamic: bool) -> Match {
        if *theirs == *self.name {
            Match::Same
        } else if self.is_dynamic && (!theirs_is_dynamic || *self.name < *theirs) {
            self.is_shared = true;
            self.adopt(theirs);
            Match::Adopted
        } else {
            Match::Conflict
        }
    }

    /// Will the other side adopt our name when it hears it?
    pub fn is_taken_over_by(&self, theirs: &str, theirs_is_dynamic: bool) -> bool {
        theirs_is_dynamic && (!self.is_dynamic || *theirs < *self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_way() {
        for (mine, dynamic, theirs, theirs_dynamic, expected) in [
            ("a", false, "a", true, Match::Same),
            ("a", false, "b", false, Match::Conflict),
            ("a", false, "b", true, Match::Conflict),
            ("a", true, "b", true, Match::Adopted),
            ("b", true, "a", true, Match::Conflict),
            ("b", true, "a", false, Match::Adopted),
        ] {
            let mut name = ClusterName::new(mine, dynamic);
            assert_eq!(name.meet(theirs, theirs_dynamic), expected, "{mine} {dynamic} {theirs} {theirs_dynamic}");
            let expected_name = if expected == Match::Adopted { theirs } else { mine };
            assert_eq!((&*name.name, name.is_dynamic), (expected_name, dynamic));
        }
    }

    #[test]
    fn who_comes_alone_joins_once() {
        let mut name = ClusterName::new("b", true);
        assert!(name.join("a") && &*name.name == "a");
        assert!(!name.join("c") && &*name.name == "a");
        assert!(!ClusterName::new("b", false).join("a"));
        let mut known = ClusterName::new("b", true);
        assert_eq!(known.meet("c", true), Match::Adopted);
        assert!(!known.join("a"));
    }
}
