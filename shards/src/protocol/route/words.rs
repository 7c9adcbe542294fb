//! The words of a control line, from either end.

/// Iterator over words that blanks part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Words<'a>(pub &'a [u8]);

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|byte| !is_blank(byte))?;
        let begun = self.0.get(start..).unwrap_or_default();
        let length = begun.iter().position(is_blank).unwrap_or(begun.len());
        let (word, rest) = begun.split_at_checked(length)?;
        self.0 = rest;
        Some(word)
    }
}

impl<'a> DoubleEndedIterator for Words<'a> {
    fn next_back(&mut self) -> Option<&'a [u8]> {
        let last = self.0.iter().rposition(|byte| !is_blank(byte))?;
        let ended = self.0.get(..=last).unwrap_or_default();
        let start = ended.iter().rposition(is_blank).map_or(0, |blank| blank.saturating_add(1));
        let (rest, word) = ended.split_at_checked(start)?;
        self.0 = rest;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn from_the_front_and_from_the_back(text in "[ab \t]{0,20}") {
            let expected: Vec<&[u8]> =
                text.as_bytes().split(is_blank).filter(|word| !word.is_empty()).collect();
            let words = Words(text.as_bytes());
            prop_assert_eq!(&words.collect::<Vec<_>>(), &expected);
            let mut backwards: Vec<_> = words.rev().collect();
            backwards.reverse();
            prop_assert_eq!(&backwards, &expected);
        }

        #[test]
        fn from_both_ends_at_once(text in "[ab \t]{0,20}", fronts in proptest::collection::vec(any::<bool>(), 12)) {
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
