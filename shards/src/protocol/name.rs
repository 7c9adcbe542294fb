//! Names of operations: which one does the input begin with, and if none, at which byte is that certain?

/// What the beginning of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name<O> {
    /// A whole name (with one blank behind it, where one is required) of `length` bytes.
    Whole { operation: O, length: usize },
    /// The input ends within a name.
    Partial,
    /// The byte at `offset` fits no operation.
    Unknown { state: u8, offset: usize },
}

/// A name, and the reference's number for the parser state in which each of its letters was accepted.
pub(super) struct Entry<O> {
    operation: O,
    letters: &'static [u8],
    states: &'static [u8],
    needs_blank: bool,
}

/// A name behind which one blank is required, or anything may follow.
pub(super) const fn entry<O: Copy>(
    operation: O,
    letters: &'static [u8],
    states: &'static [u8],
    needs_blank: bool,
) -> Entry<O> {
    Entry { operation, letters, states, needs_blank }
}

/// Reads the name at the beginning of `input`, which is none but one of `candidates`: those that begin with its first byte.
pub(super) fn read<O: Copy>(input: &[u8], candidates: &[Entry<O>]) -> Name<O> {
    if input.is_empty() {
        return Name::Partial;
    }
    let mut farthest = Name::Unknown { state: 0, offset: 0 };
    for candidate in candidates {
        let same = candidate.letters.iter().zip(input).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
        let Some(behind) = input.get(same) else { return Name::Partial };
        let whole = same == candidate.letters.len();
        if whole && (!candidate.needs_blank || matches!(behind, b' ' | b'\t')) {
            let length = same.saturating_add(usize::from(candidate.needs_blank));
            return Name::Whole { operation: candidate.operation, length };
        }
        let state = same.checked_sub(1).and_then(|last| candidate.states.get(last)).copied().unwrap_or_default();
        if !matches!(farthest, Name::Unknown { offset, .. } if offset >= same) {
            farthest = Name::Unknown { state, offset: same };
        }
    }
    farthest
}
