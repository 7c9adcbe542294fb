//! Names of operations: which one does the input begin with, and if none, at which byte is that certain?

/// The operations of one language, which begin with their names.
pub(super) trait Named: Copy + 'static {
    /// The reference's name for the parser of this language.
    const PARSER: &'static str;

    /// The names that begin with this letter, given in upper case.
    fn beginning_with(letter: u8) -> &'static [Entry<Self>];
}

/// What the beginning of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name<O> {
    /// A whole name (with one blank behind it, where one is required) of `length` bytes.
    Whole { operation: O, length: usize, behind: Behind },
    /// The input ends within a name.
    Partial,
    /// The byte at `offset` fits no operation.
    Unknown { state: u8, offset: usize },
}

/// What may follow a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// A blank at least, and arguments.
    Blank,
    /// Arguments, with or without blanks in front.
    Arguments,
    /// Anything up to the LF, and it means nothing.
    Ignored,
    /// Nothing: the name is the reference's alone, and known so that what is not understood begins where it does there.
    Nothing,
}

/// A name in upper case, and the reference's number for the parser state in which each of its letters was accepted.
pub(super) struct Entry<O> {
    operation: O,
    letters: &'static [u8],
    states: &'static [u8],
    behind: Behind,
}

/// An operation's name.
pub(super) const fn entry<O: Copy>(
    operation: O,
    letters: &'static [u8],
    states: &'static [u8],
    behind: Behind,
) -> Entry<O> {
    Entry { operation, letters, states, behind }
}

impl<O> Entry<O> {
    /// The length of the name with the blank that it needs, if `input` begins with it and anything follows.
    #[inline]
    fn length_in(&self, input: &[u8]) -> Option<usize> {
        let (name, behind) = input.split_at_checked(self.letters.len())?;
        let next = behind.first()?;
        if !name.iter().zip(self.letters).all(|(byte, letter)| byte.to_ascii_uppercase() == *letter) {
            return None;
        }
        match self.behind {
            Behind::Arguments | Behind::Ignored => Some(name.len()),
            Behind::Nothing => None,
            Behind::Blank => matches!(next, b' ' | b'\t').then_some(name.len().saturating_add(1)),
        }
    }
}

/// Reads the name at the beginning of `input`.
#[inline]
pub(super) fn read<O: Named>(input: &[u8]) -> Name<O> {
    let candidates = input.first().map_or(&[][..], |first| O::beginning_with(first.to_ascii_uppercase()));
    for candidate in candidates {
        if let Some(length) = candidate.length_in(input) {
            return Name::Whole { operation: candidate.operation, length, behind: candidate.behind };
        }
    }
    part_or_unknown(input, candidates)
}

#[cold]
fn part_or_unknown<O>(input: &[u8], candidates: &[Entry<O>]) -> Name<O> {
    let mut accepted = 0;
    let mut state = 0;
    for candidate in candidates {
        let same = candidate.letters.iter().zip(input).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
        if same == input.len() {
            return Name::Partial;
        }
        if same > accepted {
            accepted = same;
            state = candidate.states.get(same.saturating_sub(1)).copied().unwrap_or_default();
        }
    }
    if input.is_empty() { Name::Partial } else { Name::Unknown { state, offset: accepted } }
}
