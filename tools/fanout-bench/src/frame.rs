//! The frames of a run: what a publisher sends and, byte for byte, what every subscriber must get.
//!
//! All frames of one run have the same length: subjects and sids are numbers of fixed width. That makes
//! publishing a matter of patching a few bytes of a prebuilt frame, and checking one comparison of memory.

/// Bytes of a payload that say who published it and as which message.
pub const STAMP_LEN: usize = 8;

/// Digits of a subject that no message used before.
const UNSEEN_DIGITS: usize = 10;

/// Which subjects the publishers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subjects {
    /// This many subjects, one after the other.
    Cycle(u64),
    /// A new subject for every message.
    Unseen,
}

/// How subscribers ask for the subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// One subscription a subject, with a sid of its own.
    Literal,
    /// One wildcard subscription for all of them.
    Wildcard,
}

/// Who published a message, and as its how-manyth (from 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the publisher, from 0.
    pub publisher: u16,
    /// Number of the message among those of its publisher.
    pub sequence: u64,
}

impl Stamp {
    fn to_bytes(self) -> [u8; STAMP_LEN] {
        ((self.sequence << 16) | u64::from(self.publisher)).to_le_bytes()
    }

    fn from_bytes(bytes: [u8; STAMP_LEN]) -> Self {
        let both = u64::from_le_bytes(bytes);
        Stamp { publisher: (both & 0xffff) as u16, sequence: both >> 16 }
    }
}

/// What the messages of a run look like.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Subjects in use.
    pub subjects: Subjects,
    /// How they are subscribed to.
    pub interest: Interest,
    /// Number of publishers.
    pub publishers: u16,
    /// Bytes of a payload, at least [`STAMP_LEN`].
    pub payload: usize,
}

impl Plan {
    fn prefix(&self) -> &'static str {
        match self.subjects {
            Subjects::Cycle(_) => "bench.",
            Subjects::Unseen => "orders.",
        }
    }

    fn digits(&self) -> usize {
        match self.subjects {
            Subjects::Cycle(count) => count.saturating_sub(1).to_string().len(),
            Subjects::Unseen => UNSEEN_DIGITS,
        }
    }

    /// Number of the subject that carries a message.
    fn subject_number(&self, stamp: Stamp) -> u64 {
        match self.subjects {
            Subjects::Cycle(count) => (stamp.sequence + u64::from(stamp.publisher)) % count.max(1),
            Subjects::Unseen => stamp.sequence * u64::from(self.publishers) + u64::from(stamp.publisher),
        }
    }

    /// The `SUB` lines of one subscriber, as a member of `group` if there is one.
    pub fn subscribe(&self, group: Option<&str>) -> Vec<u8> {
        let (prefix, digits) = (self.prefix(), self.digits());
        let group = group.map(|name| format!("{name} ")).unwrap_or_default();
        match (self.interest, self.subjects) {
            (Interest::Literal, Subjects::Cycle(count)) => (0..count)
                .flat_map(|n| format!("SUB {prefix}{n:0digits$} {group}{n:0digits$}\r\n").into_bytes())
                .collect(),
            _ => format!("SUB {prefix}* {group}1\r\n").into_bytes(),
        }
    }

    /// The frame a publisher sends to a server.
    pub fn published(&self) -> Frame {
        Frame::new(self, "PUB", None)
    }

    /// The frame a subscriber gets from it.
    pub fn delivered(&self) -> Frame {
        let sid = match (self.interest, self.subjects) {
            (Interest::Literal, Subjects::Cycle(_)) => Sid::AsSubject,
            _ => Sid::One,
        };
        Frame::new(self, "MSG", Some(sid))
    }
}

#[derive(Clone, Copy)]
enum Sid {
    AsSubject,
    One,
}

/// A prebuilt frame and the places in it that change from message to message.
#[derive(Clone, Debug)]
pub struct Frame {
    bytes: Vec<u8>,
    plan: Plan,
    digits: usize,
    subject_at: usize,
    sid_at: Option<usize>,
    stamp_at: usize,
}

impl Frame {
    fn new(plan: &Plan, verb: &str, sid: Option<Sid>) -> Self {
        let digits = plan.digits();
        let mut bytes = format!("{verb} {}", plan.prefix()).into_bytes();
        let subject_at = bytes.len();
        bytes.resize(subject_at + digits, b'0');
        bytes.push(b' ');
        let sid_at = match sid {
            Some(Sid::AsSubject) => {
                let at = bytes.len();
                bytes.resize(at + digits, b'0');
                bytes.push(b' ');
                Some(at)
            }
            Some(Sid::One) => {
                bytes.extend_from_slice(b"1 ");
                None
            }
            None => None,
        };
        bytes.extend_from_slice(format!("{}\r\n", plan.payload).as_bytes());
        let stamp_at = bytes.len();
        bytes.extend((0..plan.payload.max(STAMP_LEN)).map(|n| b'a' + (n % 26) as u8));
        bytes.extend_from_slice(b"\r\n");
        Frame { bytes, plan: *plan, digits, subject_at, sid_at, stamp_at }
    }

    /// Bytes of one frame.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// This frame `count` times, to be stamped in place.
    pub fn repeat(&self, count: usize) -> Vec<u8> {
        self.bytes.repeat(count)
    }

    /// Makes `frame`, a copy of this one, the frame of the message `stamp`.
    pub fn stamp(&self, frame: &mut [u8], stamp: Stamp) {
        if self.plan.subjects != Subjects::Cycle(1) {
            let number = self.plan.subject_number(stamp);
            write_digits(&mut frame[self.subject_at..self.subject_at + self.digits], number);
            if let Some(at) = self.sid_at {
                write_digits(&mut frame[at..at + self.digits], number);
            }
        }
        frame[self.stamp_at..self.stamp_at + STAMP_LEN].copy_from_slice(&stamp.to_bytes());
    }

    /// The stamp that a received frame carries where this one has its own.
    pub fn read_stamp(&self, received: &[u8]) -> Option<Stamp> {
        let bytes = received.get(self.stamp_at..self.stamp_at + STAMP_LEN)?;
        Some(Stamp::from_bytes(bytes.try_into().ok()?))
    }
}

fn write_digits(into: &mut [u8], mut number: u64) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(subjects: Subjects, interest: Interest) -> Plan {
        Plan { subjects, interest, publishers: 2, payload: 16 }
    }

    fn frame_of(frame: &Frame, publisher: u16, sequence: u64) -> String {
        let mut bytes = frame.repeat(1);
        frame.stamp(&mut bytes, Stamp { publisher, sequence });
        let split = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        assert_eq!(bytes.len() - split, 18);
        String::from_utf8(bytes[..split].to_vec()).unwrap()
    }

    #[test]
    fn one_subject() {
        let plan = plan(Subjects::Cycle(1), Interest::Literal);
        assert_eq!(frame_of(&plan.published(), 1, 7), "PUB bench.0 16\r\n");
        assert_eq!(frame_of(&plan.delivered(), 1, 7), "MSG bench.0 0 16\r\n");
        assert_eq!(plan.subscribe(None), b"SUB bench.0 0\r\n");
    }

    #[test]
    fn publishers_go_round_the_subjects() {
        let plan = plan(Subjects::Cycle(12), Interest::Literal);
        assert_eq!(frame_of(&plan.published(), 0, 11), "PUB bench.11 16\r\n");
        assert_eq!(frame_of(&plan.delivered(), 1, 11), "MSG bench.00 00 16\r\n");
        let lines = String::from_utf8(plan.subscribe(Some("g"))).unwrap();
        assert_eq!(lines.lines().count(), 12);
        assert!(lines.ends_with("SUB bench.11 g 11\r\n"));
    }

    #[test]
    fn unseen_subjects_differ_between_publishers() {
        let plan = plan(Subjects::Unseen, Interest::Wildcard);
        assert_eq!(frame_of(&plan.published(), 0, 3), "PUB orders.0000000006 16\r\n");
        assert_eq!(frame_of(&plan.delivered(), 1, 3), "MSG orders.0000000007 1 16\r\n");
        assert_eq!(plan.subscribe(None), b"SUB orders.* 1\r\n");
    }

    #[test]
    fn a_stamp_survives_the_frame() {
        let frame = plan(Subjects::Cycle(1), Interest::Literal).delivered();
        let mut bytes = frame.repeat(1);
        let stamp = Stamp { publisher: 513, sequence: 1 << 40 };
        frame.stamp(&mut bytes, stamp);
        assert_eq!(frame.read_stamp(&bytes), Some(stamp));
        assert_eq!(frame.read_stamp(&bytes[..20]), None);
    }
}
