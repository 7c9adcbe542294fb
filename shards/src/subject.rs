//! Subjects: dot-separated tokens, what is valid, and which pattern matches which subject.
//!
//! A subject is bytes, not text. `*` and `>` are wildcards only as whole tokens of a *subscription*; in a published
//! subject they are ordinary tokens. Everything here is a pure function of byte slices, and none of it allocates.

#[cfg(test)]
mod tests;

/// Where a pattern's interest is kept: by its whole subject, by its literal leading tokens, or with the few broad ones.
///
/// The numbers are byte lengths of the prefix, dots between the tokens included and the dot behind it not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// No wildcard at all.
    Literal,
    /// A wildcard somewhere behind two literal tokens; the length of `a.b`.
    TwoTokens(usize),
    /// A wildcard as second token; the length of `a`.
    OneToken(usize),
    /// The first token is a wildcard.
    Broad,
}

/// May a client subscribe to this? No token is empty, `>` stands only at the end, and there is no white space.
pub fn is_valid_subscription(subject: &[u8]) -> bool {
    if subject.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
        return false;
    }
    let mut tokens = tokens(subject);
    while let Some(token) = tokens.next() {
        match token {
            [] => return false,
            b">" => return tokens.next().is_none(),
            _ => {}
        }
    }
    true
}

/// Has no token that is exactly `*` or `>`.
pub fn is_literal(subject: &[u8]) -> bool {
    !tokens(subject).any(is_wildcard)
}

/// What a pedantic publisher may publish to: no empty token and no wildcard token.
pub fn is_publishable_literal(subject: &[u8]) -> bool {
    !tokens(subject).any(|token| token.is_empty() || is_wildcard(token))
}

/// Has an empty token, so that nothing ever matches it.
pub fn has_empty_token(subject: &[u8]) -> bool {
    tokens(subject).any(<[u8]>::is_empty)
}

/// Does a subscription to `pattern` get what is published to `subject`?
///
/// The pattern must be a valid subscription. The subject may be anything: its wildcards are literals, and with an
/// empty token in it there is no match.
pub fn matches(pattern: &[u8], subject: &[u8]) -> bool {
    let mut published = tokens(subject);
    for wanted in tokens(pattern) {
        match (wanted, published.next()) {
            (_, None | Some([])) => return false,
            (b">", Some(_)) => return !published.any(<[u8]>::is_empty),
            (b"*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    published.next().is_none()
}

/// The tokens of a subject; the empty subject has one, which is empty.
pub fn tokens(subject: &[u8]) -> Tokens<'_> {
    Tokens { rest: Some(subject) }
}

/// How many tokens a subject has, at least one.
pub fn token_count(subject: &[u8]) -> usize {
    memchr::memchr_iter(b'.', subject).count().saturating_add(1)
}

/// Sorts a pattern by how much of its beginning is literal.
pub fn classify(pattern: &[u8]) -> Class {
    let (one, two) = prefix_lengths(pattern);
    match tokens(pattern).position(is_wildcard) {
        None => Class::Literal,
        Some(0) => Class::Broad,
        Some(1) => Class::OneToken(one),
        Some(_) => Class::TwoTokens(two),
    }
}

/// Byte lengths of the first token and of the first two, each the whole length if the subject has no more.
pub fn prefix_lengths(subject: &[u8]) -> (usize, usize) {
    let mut dots = memchr::memchr_iter(b'.', subject);
    let first = dots.next().unwrap_or(subject.len());
    let second = dots.next().unwrap_or(subject.len());
    (first, second)
}

fn is_wildcard(token: &[u8]) -> bool {
    matches!(token, b"*" | b">")
}

/// Iterator over the tokens of a subject; see [`tokens`].
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    /// `None` once the last token is out: the empty slice still holds one (empty) token.
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let split = memchr::memchr(b'.', rest).and_then(|dot| rest.split_at_checked(dot));
        let (token, behind) = split.unwrap_or((rest, &[]));
        self.rest = behind.split_first().map(|(_dot, behind)| behind);
        Some(token)
    }
}
