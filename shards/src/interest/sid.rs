//! Subscription ids: any bytes, chosen by the client, mostly a few digits. Kept in 16 bytes; longer ones go to the heap.

const INLINE: usize = 14;

/// A client's name for one of its subscriptions.
#[derive(Clone)]
pub struct Sid(Repr);

#[derive(Clone)]
enum Repr {
    Inline {
        len: u8,
        bytes: [u8; INLINE],
    },
    // Boxed twice so that the rare case costs one word here.
    #[allow(clippy::box_collection, reason = "a thin pointer keeps the common case at 16 bytes")]
    Heap(Box<Vec<u8>>),
}

impl Sid {
    /// Takes a copy.
    pub fn new(sid: &[u8]) -> Self {
        let mut bytes = [0; INLINE];
        match bytes.get_mut(..sid.len()) {
            Some(place) => {
                place.copy_from_slice(sid);
                Sid(Repr::Inline { len: sid.len() as u8, bytes })
            }
            None => Sid(Repr::Heap(Box::new(sid.to_vec()))),
        }
    }

    /// The bytes as the client sent them.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or(bytes),
            Repr::Heap(bytes) => bytes,
        }
    }
}

impl std::fmt::Debug for Sid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(self.as_bytes()))
    }
}

/// A sid that other shards may expect subscribers of a subject to have: clients number their subscriptions alike, so frames written for one
/// often fit the next. Only a guess, and only short ones; empty: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SidHint {
    len: u8,
    bytes: [u8; HINT],
}

const HINT: usize = 7;

impl SidHint {
    /// A hint at this sid, if it is short enough.
    pub fn new(sid: &[u8]) -> Self {
        let mut hint = SidHint::default();
        if let Some(place) = hint.bytes.get_mut(..sid.len()) {
            place.copy_from_slice(sid);
            hint.len = sid.len() as u8;
        }
        hint
    }

    /// The sid to write frames for; any will do if there is no hint.
    pub fn as_bytes(&self) -> &[u8] {
        match self.bytes.get(..usize::from(self.len)) {
            Some([]) | None => b"1",
            Some(sid) => sid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_every_length() {
        for length in 0..40 {
            let bytes: Vec<u8> = (0..length).collect();
            assert_eq!(Sid::new(&bytes).as_bytes(), bytes);
        }
        assert_eq!(size_of::<Sid>(), 16);
    }

    #[test]
    fn hints_are_short() {
        assert_eq!(SidHint::new(b"1234567").as_bytes(), b"1234567");
        assert_eq!(SidHint::new(b"12345678").as_bytes(), SidHint::default().as_bytes());
        assert_eq!(size_of::<SidHint>(), 8);
    }
}
