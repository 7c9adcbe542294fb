//! `permissions` of a cluster: which interest servers tell each other.
//!
//! Interest is compared as it stands: a subscription to `foo.*` is held against the patterns as if `*` were a name. So an allowance of
//! `foo.>` covers it and one of `foo.bar` does not, and a denial of `foo.bar` leaves it alone. Messages on a denied subject that would go to
//! another server because of such a wildcard stay here instead; messages that arrive are never held against anything.
//!
//! One thing is stricter than in the reference: there an allowance of `foo.*` covers interest in `foo.>`, and with it subjects that nobody
//! has allowed.

use super::SubjectPermission;
use crate::config::{RoutePermissions, SubjectRules};
use crate::subject::{matches, tokens};

impl RoutePermissions {
    /// Are other servers told of this interest of ours?
    pub fn announces(&self, interest: &[u8]) -> bool {
        self.import.admits(interest)
    }

    /// Is this interest of another server remembered?
    pub fn accepts(&self, interest: &[u8]) -> bool {
        self.export.admits(interest)
    }

    /// May messages on this subject go to other servers that want them?
    pub fn forwards(&self, subject: &[u8]) -> bool {
        !self.export.denies(subject)
    }
}

impl SubjectRules {
    fn admits(&self, interest: &[u8]) -> bool {
        let allowed = self.allow.as_deref().unwrap_or_default();
        (allowed.is_empty() || allowed.iter().any(|pattern| covers(pattern.as_bytes(), interest)))
            && !self.denies(interest)
    }

    fn denies(&self, subject: &[u8]) -> bool {
        self.deny.iter().any(|pattern| matches(pattern.as_bytes(), subject))
    }

    /// As INFO has them, if there are any.
    pub fn for_info(&self) -> Option<SubjectPermission> {
        let (allow, deny) = (self.allow.clone().unwrap_or_default(), self.deny.clone());
        (!allow.is_empty() || !deny.is_empty()).then_some(SubjectPermission { allow, deny })
    }
}

/// Does the pattern match whatever this interest matches?
fn covers(pattern: &[u8], interest: &[u8]) -> bool {
    // Only where the interest's `>` meets a `*` is it no name like others.
    let mut pairs = tokens(pattern).zip(tokens(interest));
    matches(pattern, interest) && !pairs.any(|pair| pair == (b"*", b">"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTEREST: [&str; 13] = [
        "foo",
        "foo.bar",
        "foo.baz",
        "foo.*",
        "foo.bar.x",
        "foo.*.x",
        "*",
        "*.bar",
        "bar",
        "*.*",
        "foo.bar.>",
        "foo.>",
        ">",
    ];

    fn rules(allow: &[&str], deny: &[&str]) -> SubjectRules {
        let list = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>();
        SubjectRules { allow: Some(list(allow)).filter(|list| !list.is_empty()), deny: list(deny) }
    }

    /// What the reference announced and accepted with these rules, but for `foo.>` with an allowance of `foo.*`.
    #[test]
    fn interest_that_passes() {
        for (allow, deny, passes) in [
            (&["foo.*"][..], &[][..], "foo.bar foo.baz foo.*"),
            (&[], &["foo.bar"], "foo foo.baz foo.* foo.bar.x foo.*.x * *.bar bar *.* foo.bar.> foo.> >"),
            (&["foo.>", "bar"], &["foo.bar", "foo.*.x"], "foo.baz foo.* bar foo.bar.> foo.>"),
            (&["foo.>"], &["foo.bar.>", "foo.*"], "foo.*.x"),
            (&["foo.>"], &[], "foo.bar foo.baz foo.* foo.bar.x foo.*.x foo.bar.> foo.>"),
            (&["foo.bar"], &[], "foo.bar"),
            (&[">"], &["*"], "foo.bar foo.baz foo.* foo.bar.x foo.*.x *.bar *.* foo.bar.> foo.>"),
        ] {
            let rules = rules(allow, deny);
            let passing = INTEREST.into_iter().filter(|interest| rules.admits(interest.as_bytes()));
            assert_eq!(passing.collect::<Vec<_>>().join(" "), passes, "{rules:?}");
        }
        assert!(INTEREST.iter().all(|interest| SubjectRules::default().admits(interest.as_bytes())));
        let nothing_listed = SubjectRules { allow: Some(Vec::new()), deny: Vec::new() };
        assert!(INTEREST.iter().all(|interest| nothing_listed.admits(interest.as_bytes())));
    }

    #[test]
    fn each_direction_has_its_rules() {
        let permissions =
            RoutePermissions { import: rules(&["in.>"], &[]), export: rules(&["out.>"], &["out.secret"]) };
        for (interest, announces, accepts) in
            [("in.a", true, false), ("out.a", false, true), ("out.*", false, true), ("out.secret", false, false)]
        {
            assert_eq!(permissions.announces(interest.as_bytes()), announces, "{interest}");
            assert_eq!(permissions.accepts(interest.as_bytes()), accepts, "{interest}");
        }
        for (subject, forwards) in [("out.a", true), ("out.secret", false), ("in.a", true)] {
            assert_eq!(permissions.forwards(subject.as_bytes()), forwards, "{subject}");
        }
    }

    #[test]
    fn rules_in_info() {
        let json = |rules: &SubjectRules| serde_json::to_string(&rules.for_info()).expect("strings become JSON");
        assert_eq!(json(&rules(&[], &[])), "null");
        assert_eq!(json(&rules(&["a", "b.>"], &["c"])), r#"{"allow":["a","b.>"],"deny":["c"]}"#);
        assert_eq!(json(&rules(&[], &["c"])), r#"{"deny":["c"]}"#);
    }
}
