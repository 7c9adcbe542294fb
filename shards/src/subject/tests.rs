//! The measured vectors of the reference, and a naive model as oracle.

use proptest::prelude::*;

use super::*;

#[test]
fn validity() {
    let valid: &[&[u8]] = &[
        b"foo",
        b"*",
        b">",
        b"foo.*.>",
        b"*.>",
        b"foo*",
        b"*foo",
        b"f*o",
        b"foo.>x",
        b">foo",
        b"foo.**",
        b"**",
        b">>",
        b"$x",
        b"-",
        b"f\xc3\xa9",
        b"f\xff",
        b"foo\x00",
        b"foo\x0b",
        b"a\xc2\xa0b",
    ];
    let invalid: &[&[u8]] = &[
        b"",
        b"foo.",
        b".foo",
        b"foo..bar",
        b".",
        b"..",
        b"foo.>.bar",
        b">.foo",
        b"*.",
        b"foo.bar.",
        b"foo.>.",
        b"a\rb",
    ];
    for subject in valid {
        assert!(is_valid_subscription(subject), "{}", subject.escape_ascii());
    }
    for subject in invalid {
        assert!(!is_valid_subscription(subject), "{}", subject.escape_ascii());
    }
}

/// Pattern; subjects that match; subjects that do not.
const VECTORS: &[(&str, &str, &str)] = &[
    ("foo", "foo", "FOO foo.bar foo. * >"),
    ("*", "foo FOO * > foo* ** fé", "foo.bar foo. .foo ."),
    ("foo.*", "foo.bar foo.x foo.* foo.> foo.b*r foo.** foo.>x", "foo foo. foo.bar.baz foo..bar foo.>.bar"),
    ("*.bar", "foo.bar bar.bar *.bar", "foo.>.bar .bar"),
    ("*.*", "foo.bar foo.* foo.> bar.bar", "foo foo. foo..bar foo.bar.baz"),
    (">", "foo foo.bar foo.bar.baz * > foo.> é", "foo. .foo foo..bar ."),
    ("foo.>", "foo.bar foo.bar.baz foo.* foo.> foo.>.bar", "foo foo. foo..bar foo.bar. foo.bar..baz"),
    ("foo.*.baz", "foo.bar.baz foo.*.baz", "foo.baz"),
    ("foo.*.>", "foo.bar.baz foo.>.bar foo.*.baz", "foo.bar"),
    ("*.>", "foo.bar foo.bar.baz *.bar", "foo *"),
    ("foo*", "foo*", "foo foox"),
    ("fo*o", "fo*o", "foo fooo"),
    ("foo.b*r", "foo.b*r", "foo.bar"),
    ("foo.>x", "foo.>x", "foo.ax"),
    ("foo.**", "foo.**", "foo.bar foo.a.b"),
    ("**", "**", "foo foo.bar"),
    ("FOO", "FOO", "foo"),
];

#[test]
fn measured_matches() {
    for (pattern, yes, no) in VECTORS {
        for subject in yes.split(' ') {
            assert!(matches(pattern.as_bytes(), subject.as_bytes()), "{pattern} {subject}");
        }
        for subject in no.split(' ') {
            assert!(!matches(pattern.as_bytes(), subject.as_bytes()), "{pattern} {subject}");
        }
    }
    assert!(matches(b"*", b"\xff"));
    assert!(!matches(b"*", b"") && !matches(b">", b"") && !matches(b"foo", b""));
}

#[test]
fn classes() {
    for (pattern, class) in [
        ("a", Class::Literal),
        ("a.b*.>x", Class::Literal),
        ("*", Class::Broad),
        (">", Class::Broad),
        ("*.b.c", Class::Broad),
        ("orders.>", Class::OneToken(6)),
        ("orders.*.x", Class::OneToken(6)),
        ("orders.eu.>", Class::TwoTokens(9)),
        ("_INBOX.abc.*", Class::TwoTokens(10)),
        ("a.b.c.d.>", Class::TwoTokens(3)),
    ] {
        assert_eq!(classify(pattern.as_bytes()), class, "{pattern}");
    }
}

#[test]
fn prefixes() {
    assert_eq!(prefix_lengths(b"abc"), (3, 3));
    assert_eq!(prefix_lengths(b"ab.cde"), (2, 6));
    assert_eq!(prefix_lengths(b"ab.cde.f.g"), (2, 6));
    assert_eq!(prefix_lengths(b".."), (0, 1));
    assert_eq!(prefix_lengths(b""), (0, 0));
}

#[test]
fn counts_and_tokens() {
    for (subject, count) in [(&b""[..], 1), (b"a", 1), (b"a.b", 2), (b"..", 3), (b"a.", 2)] {
        assert_eq!(token_count(subject), count);
        assert_eq!(tokens(subject).collect::<Vec<_>>(), subject.split(|&byte| byte == b'.').collect::<Vec<_>>());
    }
}

#[test]
fn what_a_pedantic_publisher_may_use() {
    for subject in [&b"foo"[..], b"fo*o", b"a.>b.c"] {
        assert!(is_publishable_literal(subject));
    }
    for subject in [&b""[..], b"foo.", b"a..b", b"foo.*", b">", b"a.>.b"] {
        assert!(!is_publishable_literal(subject));
    }
}

/// The definition of matching as recursion over split tokens.
fn naive_match(pattern: &[&[u8]], subject: &[&[u8]]) -> bool {
    match (pattern, subject) {
        ([], []) => true,
        ([b">"], [_, ..]) => true,
        ([first, pattern @ ..], [token, subject @ ..]) => {
            (first == b"*" || first == token) && naive_match(pattern, subject)
        }
        _ => false,
    }
}

fn split(subject: &[u8]) -> Vec<&[u8]> {
    subject.split(|&byte| byte == b'.').collect()
}

/// Few and short tokens, so that patterns and subjects meet often.
fn any_subject() -> impl Strategy<Value = Vec<u8>> {
    let token = proptest::sample::select(&["a", "b", "a", "*", ">", "", "a*", "ab"][..]);
    proptest::collection::vec(token, 1..5).prop_map(|tokens| tokens.join(".").into_bytes())
}

proptest! {
    #[test]
    fn agrees_with_the_naive_model(pattern in any_subject(), subject in any_subject()) {
        if !is_valid_subscription(&pattern) {
            return Ok(());
        }
        let expected = !split(&subject).contains(&&b""[..]) && naive_match(&split(&pattern), &split(&subject));
        prop_assert_eq!(matches(&pattern, &subject), expected);
    }

    #[test]
    fn predicates_agree_with_split(subject in any_subject()) {
        let parts = split(&subject);
        let empty = parts.contains(&&b""[..]);
        let wildcard = parts.contains(&&b"*"[..]) || parts.contains(&&b">"[..]);
        let early_full_wildcard = parts[..parts.len() - 1].contains(&&b">"[..]);
        prop_assert_eq!(has_empty_token(&subject), empty);
        prop_assert_eq!(is_literal(&subject), !wildcard);
        prop_assert_eq!(is_publishable_literal(&subject), !wildcard && !empty);
        prop_assert_eq!(is_valid_subscription(&subject), !empty && !early_full_wildcard);
        prop_assert_eq!(token_count(&subject), parts.len());
    }

    /// The directory looks under the class's key only: a matching subject must share it.
    #[test]
    fn a_matching_subject_is_found_under_the_patterns_class(pattern in any_subject(), subject in any_subject()) {
        if !is_valid_subscription(&pattern) || !matches(&pattern, &subject) {
            return Ok(());
        }
        let (one, two) = prefix_lengths(&subject);
        match classify(&pattern) {
            Class::Literal => prop_assert_eq!(&pattern, &subject),
            Class::TwoTokens(length) => prop_assert_eq!(&pattern[..length], &subject[..two]),
            Class::OneToken(length) => prop_assert_eq!(&pattern[..length], &subject[..one]),
            Class::Broad => prop_assert!(matches!(pattern[0], b'*' | b'>')),
        }
    }
}
