//! Subjects: matching and the predicates against their definitions, and classes consistent with matching.
//!
//! The input is a pattern, a line feed, and a subject.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shards::subject::{self, Class};

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(2, |&byte| byte == b'\n');
    let (Some(pattern), Some(published)) = (lines.next(), lines.next()) else { return };
    for bytes in [pattern, published] {
        predicates(bytes);
    }
    if !subject::is_valid_subscription(pattern) {
        return;
    }
    let matched = subject::matches(pattern, published);
    let model = !split(published).contains(&&b""[..]) && model_match(&split(pattern), &split(published));
    assert_eq!(matched, model);
    if matched {
        let (one, two) = subject::prefix_lengths(published);
        match subject::classify(pattern) {
            Class::Literal => assert_eq!(pattern, published),
            Class::TwoTokens(length) => assert_eq!(pattern[..length], published[..two]),
            Class::OneToken(length) => assert_eq!(pattern[..length], published[..one]),
            Class::Broad => assert!(matches!(pattern[0], b'*' | b'>')),
        }
    }
});

fn split(subject: &[u8]) -> Vec<&[u8]> {
    subject.split(|&byte| byte == b'.').collect()
}

fn model_match(pattern: &[&[u8]], subject: &[&[u8]]) -> bool {
    match (pattern, subject) {
        ([], []) => true,
        ([b">"], [_, ..]) => true,
        ([first, pattern @ ..], [token, subject @ ..]) => {
            (first == b"*" || first == token) && model_match(pattern, subject)
        }
        _ => false,
    }
}

fn predicates(bytes: &[u8]) {
    let tokens = split(bytes);
    let blank = bytes.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    let empty = tokens.contains(&&b""[..]);
    let wildcard = tokens.contains(&&b"*"[..]) || tokens.contains(&&b">"[..]);
    let early = tokens[..tokens.len() - 1].contains(&&b">"[..]);
    assert_eq!(subject::tokens(bytes).collect::<Vec<_>>(), tokens);
    assert_eq!(subject::token_count(bytes), tokens.len());
    assert_eq!(subject::has_empty_token(bytes), empty);
    assert_eq!(subject::is_literal(bytes), !wildcard);
    assert_eq!(subject::is_publishable_literal(bytes), !wildcard && !empty);
    assert_eq!(subject::is_valid_subscription(bytes), !empty && !early && !blank);
}
