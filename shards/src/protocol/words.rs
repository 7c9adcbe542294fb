//! The words of a control line, from either end.

use super::scan::find_low;

/// Iterator over words that blanks part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Words<'a>(pub &'a [u8]);

impl Words<'_> {
    /// Are there none left?
    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.0.iter().all(is_blank)
    }
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        while let [b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
        let mut length = find_low(self.0, 0);
        while self.0.get(length).is_some_and(|byte| !is_blank(byte)) {
            length = find_low(self.0, length.saturating_add(1));
        }
        let (word, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(word).filter(|word| !word.is_empty())
    }
}

impl<'a> DoubleEndedIterator for Words<'a> {
    #[inline]
    fn next_back(&mut self) -> Option<&'a [u8]> {
        while let [rest @ .., b' ' | b'\t'] = self.0 {
            self.0 = rest;
        }
        let ended = self.0;
        while let [rest @ .., byte] = self.0
            && !is_blank(byte)
        {
            self.0 = rest;
        }
        ended.get(self.0.len()..).filter(|word| !word.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn from_the_front_and_from_the_back(text in "[ab\r \t]{0,20}") {
            let expected: Vec<&[u8]> =
                text.as_bytes().split(is_blank).filter(|word| !word.is_empty()).collect();
            let words = Words(text.as_bytes());
            prop_assert_eq!(&words.collect::<Vec<_>>(), &expected);
            let mut backwards: Vec<_> = words.rev().collect();
            backwards.reverse();
            prop_assert_eq!(&backwards, &expected);
        }

        #[test]
        fn from_both_ends_at_once(text in "[ab\r \t]{0,20}", fronts in proptest::collection::vec(any::<bool>(), 12)) {
            let mut expected: std::collections::VecDeque<&[u8]> =
                text.as_bytes().split(is_blank).filter(|word| !word.is_empty()).collect();
            let mut words = Words(text.as_bytes());
            for front in fronts {
                let (found, wanted) = if front {
                    (words.next(), expected.pop_front())
                } else {
                    (words.next_back(), expected.pop_back())
                };
                prop_assert_eq!(found, wanted);
            }
        }
    }
}
