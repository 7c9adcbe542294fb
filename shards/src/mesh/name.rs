//! The name of the cluster: who gives way when two differ.

use std::sync::Arc;

/// This server's cluster.
#[derive(Clone, Debug)]
pub(super) struct ClusterName {
    pub name: Arc<str>,
    /// It was generated, so it may give way; and stays so after it has.
    pub is_dynamic: bool,
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
    /// A configured name beats a generated one, and of two generated ones the greater wins.
    pub fn meet(&mut self, theirs: &str, theirs_is_dynamic: bool) -> Match {
        if *theirs == *self.name {
            Match::Same
        } else if self.is_dynamic && (!theirs_is_dynamic || *self.name < *theirs) {
            self.name = theirs.into();
            log::info!("Cluster name updated to {theirs}");
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
            let mut name = ClusterName { name: mine.into(), is_dynamic: dynamic };
            assert_eq!(name.meet(theirs, theirs_dynamic), expected, "{mine} {dynamic} {theirs} {theirs_dynamic}");
            let expected_name = if expected == Match::Adopted { theirs } else { mine };
            assert_eq!((&*name.name, name.is_dynamic), (expected_name, dynamic));
        }
    }
}
