//! The bytes of control lines: blanks, sizes, and the ends of words.

/// Longest size that is understood; longer ones are mistakes even if they are all zeros.
const MAX_SIZE_DIGITS: usize = 9;

/// Offset of the first byte at or behind `from` that is no blank.
#[inline]
pub(super) fn skip_blanks(input: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(b' ' | b'\t') = input.get(at) {
        at = at.saturating_add(1);
    }
    at
}

/// Reads a size: 1 to 9 digits and nothing else.
#[inline]
pub(super) fn parse_size(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > MAX_SIZE_DIGITS {
        return None;
    }
    text.iter().try_fold(0usize, |size, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| size.wrapping_mul(10).wrapping_add(usize::from(digit)))
    })
}

/// Reads a size that CR LF follows: its value, and where its digits end.
#[inline]
pub(super) fn size_and_line_end(input: &[u8], start: usize) -> Option<(usize, usize)> {
    let (size, end, behind) = leading_size(input, start)?;
    (behind == b'\r' && input.get(end.saturating_add(1)) == Some(&b'\n')).then_some((size, end))
}

/// Reads a size that one blank follows: its value, and where its digits end.
#[inline]
pub(super) fn size_and_blank(input: &[u8], start: usize) -> Option<(usize, usize)> {
    let (size, end, behind) = leading_size(input, start)?;
    (behind == b' ').then_some((size, end))
}

/// Reads 1 to 9 digits that something else follows: their value, where they end, and what follows.
#[inline(always)]
fn leading_size(input: &[u8], start: usize) -> Option<(usize, usize, u8)> {
    let mut size = 0usize;
    for (length, byte) in input.get(start..)?.iter().enumerate().take(MAX_SIZE_DIGITS.saturating_add(1)) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return (length > 0).then_some((size, start.saturating_add(length), *byte));
        }
        size = size.wrapping_mul(10).wrapping_add(usize::from(digit));
    }
    None
}

/// Offset of the first byte at or behind `from` that is a blank or a control byte, else the input's length.
///
/// Control lines are short, so eight bytes at a time in a plain register beat a call of memchr.
#[inline]
pub(super) fn find_low(input: &[u8], from: usize) -> usize {
    const HIGH_BITS: u64 = u64::from_le_bytes([0x80; 8]);
    const ABOVE_BLANK: u64 = u64::from_le_bytes([b' ' + 1; 8]);
    let mut at = from;
    while let Some(chunk) = input.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        // A byte below 0x21 borrows into its high bit; a borrow spoils only bytes behind the first such byte.
        let low = word.wrapping_sub(ABOVE_BLANK) & !word & HIGH_BITS;
        if low != 0 {
            return at.saturating_add((low.trailing_zeros() / 8) as usize);
        }
        at = at.saturating_add(8);
    }
    while input.get(at).is_some_and(|&byte| byte > b' ') {
        at = at.saturating_add(1);
    }
    at
}
