//! What shards tell each other: batches of deliveries, and small matters.

use std::sync::Arc;

use super::survey::Survey;
use crate::account::AccountId;
use crate::auth::Verification;
use crate::connection::{CloseReason, Key, Large};
use crate::interest::News;
use crate::mesh::PeerPath;

/// Who published a message. Travels with it, because echo, stalls and no-responders come back to its publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Shard of the publisher.
    pub shard: u16,
    /// The publisher's connection there.
    pub connection: Key,
    /// May it get its own message?
    pub echo: bool,
    /// The server that it came from, if it came over a route: then it goes to no other.
    pub peer: Option<u16>,
}

/// Tails up to this length are copied as one block of fixed size.
pub const WIDE: usize = 64;

/// A message on its way to subscribers.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Account that it was published in.
    pub account: AccountId,
    /// Subject.
    pub subject: &'a [u8],
    /// What follows `MSG <subject> <sid> ` in the frame: `[<reply> SP][<#hdr> SP]<#total> CRLF <body> CRLF`.
    pub tail: &'a [u8],
    /// Bytes of the reply at the beginning of the tail; 0: none.
    pub reply_len: usize,
    /// Bytes of the header block at the beginning of the body; 0: a plain `MSG`.
    pub header_len: usize,
    /// Bytes of headers and payload.
    pub body_len: usize,
    /// What lies where the tail begins, if so much does: copied at a stroke and cut where the tail ends.
    pub wide: Option<&'a [u8; WIDE]>,
    /// The tail again, where it can be shared: buffer and offset in it.
    pub large: Option<(&'a Large, usize)>,
}

impl<'a> Message<'a> {
    /// Its tail is the end of an operation, which ends at `end`. `large`: the operation is alone in a buffer that may be shared.
    #[inline]
    pub fn take_tail(&mut self, tail: &'a [u8], operation: &'a [u8], end: usize, large: Option<&'a Large>) {
        self.tail = tail;
        self.wide = operation.get(end.saturating_sub(tail.len())..).and_then(<[u8]>::first_chunk);
        self.large = large.map(|data| (data, data.len().saturating_sub(tail.len())));
    }

    /// Reply subject.
    pub fn reply(&self) -> Option<&'a [u8]> {
        if self.reply_len == 0 { None } else { self.tail.get(..self.reply_len) }
    }

    /// Payload without headers.
    pub fn payload(&self) -> &'a [u8] {
        let body = self.tail.len().saturating_sub(self.body_len + 2);
        self.tail.get(body + self.header_len..body + self.body_len).unwrap_or(&[])
    }
}

/// Appends a tail, as one block if `wide` has what lies where it begins. Fastest if `out` has room for [`WIDE`] bytes more.
#[inline]
pub fn append_tail(out: &mut Vec<u8>, tail: &[u8], wide: Option<&[u8; WIDE]>) {
    match wide {
        Some(wide) if tail.len() <= WIDE => {
            let end = out.len() + tail.len();
            out.extend_from_slice(wide);
            out.truncate(end);
        }
        _ => out.extend_from_slice(tail),
    }
}

/// One message for one shard. Ranges are in the batch's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    pub(super) account: AccountId,
    pub(super) origin: Origin,
    at: u32,
    subject_len: u32,
    tail_len: u32,
    reply_len: u32,
    header_len: u32,
    body_len: u32,
    /// Index of the large message plus one, and the tail's offset in it.
    large: u32,
    large_at: u32,
    queues_at: u32,
    /// Queue groups in which this shard has the chosen member.
    pub(super) queues: u32,
    /// For the plain subscriptions, too?
    pub(super) plain: bool,
    /// The publisher wants to know if nobody gets it.
    pub(super) answer: bool,
    /// How often it was passed on because a queue group's member was gone.
    pub(super) hops: u8,
    /// Not for subscriptions here but for this peer, whose route is here.
    pub(super) peer: Option<u16>,
    /// Not one message but a run of so many; 0: one message.
    pub(super) messages: u32,
    lengths_at: u32,
}

/// Lengths within a run: of a message's tail, and of its body.
pub type Lengths = (u32, u32);

/// A run of messages on one subject, as frames that all begin with the same head.
#[derive(Clone, Copy, Debug)]
pub struct RunOfFrames<'a> {
    /// Account that they were published in.
    pub account: AccountId,
    /// Their subject.
    pub subject: &'a [u8],
    /// Frames, one after the other.
    pub frames: &'a [u8],
    /// Bytes of each frame before its tail.
    pub head_len: usize,
    /// One entry a message.
    pub lengths: &'a [Lengths],
}

impl<'a> RunOfFrames<'a> {
    /// The messages one by one.
    pub fn messages(self) -> impl Iterator<Item = Message<'a>> {
        let mut rest = self.frames;
        self.lengths.iter().map_while(move |&(tail_len, body_len)| {
            let at_tail = rest.get(self.head_len..)?;
            let (tail, behind) = at_tail.split_at_checked(tail_len as usize)?;
            rest = behind;
            Some(Message {
                account: self.account,
                subject: self.subject,
                tail,
                wide: at_tail.first_chunk(),
                // Replies and headers are of no interest where nothing is taken off and nobody answers for the publisher.
                reply_len: 0,
                header_len: 0,
                body_len: body_len as usize,
                large: None,
            })
        })
    }

    /// Headers and payloads together.
    pub fn body_bytes(&self) -> u64 {
        self.lengths.iter().map(|&(_, body)| u64::from(body)).sum()
    }
}

/// What a batch needs to know besides the message.
#[derive(Clone, Copy, Debug)]
pub struct Addressing<'a> {
    /// See [`Delivery`].
    pub plain: bool,
    /// Names of the queue groups.
    pub queues: &'a [Arc<[u8]>],
    /// See [`Delivery`].
    pub answer: bool,
    /// See [`Delivery`].
    pub hops: u8,
    /// See [`Delivery`].
    pub peer: Option<u16>,
}

impl<'a> Addressing<'a> {
    /// For the plain subscriptions of a shard.
    pub const PLAIN: Addressing<'static> = Addressing { plain: true, queues: &[], answer: false, hops: 0, peer: None };

    /// For a peer whose route is on that shard.
    pub fn peer(peer: u16, queues: &'a [Arc<[u8]>]) -> Self {
        Addressing { plain: false, queues, answer: false, hops: 0, peer: Some(peer) }
    }
}

/// Deliveries of one turn from one shard to another; owns all that it needs, but for large messages, which it shares.
#[derive(Debug, Default)]
pub struct Deliveries {
    entries: Vec<Delivery>,
    bytes: Vec<u8>,
    lengths: Vec<Lengths>,
    large: Vec<Large>,
    large_bytes: u64,
}

impl Deliveries {
    /// Appends a message.
    pub fn push(&mut self, message: &Message<'_>, origin: Origin, to: Addressing<'_>) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(message.subject);
        let (large, large_at) = match message.large {
            Some((data, offset)) => {
                self.large.push(Arc::clone(data));
                self.large_bytes += data.len() as u64;
                (self.large.len(), offset)
            }
            None => {
                self.bytes.extend_from_slice(message.tail);
                (0, 0)
            }
        };
        let queues_at = self.bytes.len();
        for name in to.queues {
            self.bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
            self.bytes.extend_from_slice(name);
        }
        // A batch is sent long before 4 GiB, and no operation is longer.
        self.entries.push(Delivery {
            account: message.account,
            origin,
            at: at as u32,
            subject_len: message.subject.len() as u32,
            tail_len: message.tail.len() as u32,
            reply_len: message.reply_len as u32,
            header_len: message.header_len as u32,
            body_len: message.body_len as u32,
            large: large as u32,
            large_at: large_at as u32,
            queues_at: queues_at as u32,
            queues: to.queues.len() as u32,
            plain: to.plain,
            answer: to.answer,
            hops: to.hops,
            peer: to.peer,
            messages: 0,
            lengths_at: 0,
        });
    }

    /// Appends a run of messages for plain subscriptions, or for a peer.
    pub fn push_run(&mut self, run: &RunOfFrames<'_>, origin: Origin, peer: Option<u16>) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(run.subject);
        self.bytes.extend_from_slice(run.frames);
        let lengths_at = self.lengths.len();
        self.lengths.extend_from_slice(run.lengths);
        self.entries.push(Delivery {
            account: run.account,
            origin,
            at: at as u32,
            subject_len: run.subject.len() as u32,
            tail_len: run.frames.len() as u32,
            reply_len: 0,
            header_len: run.head_len as u32,
            body_len: 0,
            large: 0,
            large_at: 0,
            queues_at: 0,
            queues: 0,
            plain: peer.is_none(),
            answer: false,
            hops: 0,
            peer,
            messages: run.lengths.len() as u32,
            lengths_at: lengths_at as u32,
        });
    }

    /// Bytes that it keeps alive.
    pub fn weight(&self) -> u64 {
        let lengths = self.lengths.len() * size_of::<Lengths>();
        (self.bytes.len() + lengths + self.entries.len() * size_of::<Delivery>()) as u64 + self.large_bytes
    }

    /// True without messages.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is in it, in order.
    pub fn entries(&self) -> &[Delivery] {
        &self.entries
    }

    /// The run of an entry that is one.
    pub fn run(&self, entry: &Delivery) -> Option<RunOfFrames<'_>> {
        let (at, lengths_at) = (entry.at as usize, entry.lengths_at as usize);
        let (subject, behind) = self.bytes.get(at..)?.split_at_checked(entry.subject_len as usize)?;
        Some(RunOfFrames {
            account: entry.account,
            subject,
            frames: behind.get(..entry.tail_len as usize)?,
            head_len: entry.header_len as usize,
            lengths: self.lengths.get(lengths_at..lengths_at + entry.messages as usize)?,
        })
    }

    /// The message of an entry that is no run.
    pub fn message(&self, entry: &Delivery) -> Option<Message<'_>> {
        let (at, subject_len, tail_len) = (entry.at as usize, entry.subject_len as usize, entry.tail_len as usize);
        let subject = self.bytes.get(at..at + subject_len)?;
        let large = match (entry.large as usize).checked_sub(1) {
            Some(index) => Some((self.large.get(index)?, entry.large_at as usize)),
            None => None,
        };
        let behind = match large {
            Some((data, offset)) => data.get(offset..)?,
            None => self.bytes.get(at + subject_len..)?,
        };
        let tail = behind.get(..tail_len)?;
        Some(Message {
            wide: behind.first_chunk(),
            account: entry.account,
            subject,
            tail,
            reply_len: entry.reply_len as usize,
            header_len: entry.header_len as usize,
            body_len: entry.body_len as usize,
            large,
        })
    }

    /// Names of a delivery's queue groups.
    pub fn queue_names(&self, entry: &Delivery) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.get(entry.queues_at as usize..).unwrap_or(&[]);
        (0..entry.queues).map_while(move |_| {
            let (length, behind) = rest.split_first_chunk::<4>()?;
            let (name, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = behind;
            Some(name)
        })
    }

    /// Ready for the next turn, with its buffers.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        self.lengths.clear();
        self.large.clear();
        self.large_bytes = 0;
    }

    /// Bytes of its buffers.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
            + self.lengths.capacity() * size_of::<Lengths>()
            + self.entries.capacity() * size_of::<Delivery>()
    }
}

/// Small matters between shards; none of them needs credit but the one that a peer may send without end.
#[derive(Debug)]
pub enum Control {
    /// A connection that the publisher feeds is behind.
    Stall {
        /// The publisher.
        publisher: Key,
        /// How long it should rest, in milliseconds.
        milliseconds: u64,
        /// `cid` of the connection that is behind.
        slow: u64,
    },
    /// A request reached nobody on the shard that should have had the responder.
    Nobody {
        /// The publisher.
        publisher: Key,
        /// Account of the request.
        account: AccountId,
        /// Subject of the request.
        subject: Box<[u8]>,
        /// Where the publisher waits for the reply.
        reply: Box<[u8]>,
    },
    /// Compare a password with a hash; for the service thread.
    Verify {
        /// The connection that waits.
        connection: Key,
        /// What to compare.
        verification: Verification,
    },
    /// The answer.
    Verified {
        /// The connection that waits.
        connection: Key,
        /// Credential as logs name it, if it fits.
        credential: Option<Box<str>>,
    },
    /// A question of the monitoring. There are as many as the program asks at once.
    Survey(Box<Survey>),
    /// Close everything and end.
    Shutdown,

    /// From the mesh: this shard's way to a remote server, from now on. Interest of this shard is announced on it.
    PeerUp {
        /// The remote's number.
        peer: u16,
        /// The way.
        path: PeerPath,
    },
    /// From the mesh: there is no way to a remote any more.
    PeerDown {
        /// The remote's number.
        peer: u16,
    },
    /// From the mesh: bytes for a route of this shard (a later INFO, say).
    RouteTell {
        /// The route.
        rid: u64,
        /// Whole lines.
        bytes: Box<[u8]>,
    },
    /// From the mesh: a route of this shard must go.
    RouteClose {
        /// The route.
        rid: u64,
        /// What the remote is told.
        error: Option<Box<str>>,
        /// Why.
        reason: CloseReason,
    },
    /// From the mesh: a route counts as dialled by this server, or as configured, though it was not.
    RouteUpgrade {
        /// The route.
        rid: u64,
        /// See [`crate::mesh::RouteStart`].
        explicit: bool,
    },
    /// From the mesh: what clients are told of the cluster. Those that want to hear of changes get a new INFO.
    ClusterChanged {
        /// Name of the cluster.
        name: Arc<str>,
        /// `connect_urls`; `None`: INFO has no such field.
        connect_urls: Option<Arc<[String]>>,
    },
    /// From the mesh: what the server at the far end of a route lets in and out, as monitoring shows it.
    RoutePermissions {
        /// The route.
        rid: u64,
        /// As in [`crate::mesh::RouteStart`].
        permissions: Option<Arc<str>>,
    },
    /// To the mesh: a route got another CONNECT.
    RouteConnect {
        /// The route.
        rid: u64,
        /// The object.
        json: Box<[u8]>,
    },
    /// To the mesh: a route got an INFO.
    RouteInfo {
        /// The route.
        rid: u64,
        /// The object.
        json: Box<[u8]>,
    },
    /// To the mesh: the PONG that was to be reported.
    RoutePong {
        /// The route.
        rid: u64,
    },
    /// To the mesh: a route is closed. Its line is logged, its interest is on its way out.
    RouteClosed {
        /// The route.
        rid: u64,
        /// Why.
        reason: CloseReason,
    },
    /// To the mesh: nothing is left of a closed route; when this is so of all of a remote's, its number is free.
    RouteForgotten {
        /// The route.
        rid: u64,
    },
}

impl Control {
    /// Bytes that it keeps alive, if it needs credit.
    pub fn weight(&self) -> u64 {
        match self {
            Control::RouteConnect { json, .. } | Control::RouteInfo { json, .. } => json.len() as u64,
            _ => 0,
        }
    }
}

/// What leaves a shard's core at the end of a turn.
#[derive(Debug)]
pub enum Mail {
    /// Messages.
    Deliveries(Deliveries),
    /// Interest of the sending shard changed: whoever has routes tells those peers, or the one that has just joined.
    Interest {
        /// What changed.
        news: News,
        /// Who is to be told; `None`: all.
        peer: Option<u16>,
    },
    /// A small matter.
    Control(Control),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    struct Case {
        subject: Vec<u8>,
        reply: Vec<u8>,
        headers: Vec<u8>,
        payload: Vec<u8>,
        queues: Vec<Vec<u8>>,
        large: bool,
        flags: (bool, bool, bool),
        number: u32,
    }

    fn case() -> impl Strategy<Value = Case> {
        let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
        let queues = prop::collection::vec(bytes(5), 0..4);
        (bytes(20), bytes(9), bytes(9), bytes(200), queues, any::<bool>(), any::<(bool, bool, bool)>(), any::<u32>())
            .prop_map(|(subject, reply, headers, payload, queues, large, flags, number)| Case {
                subject,
                reply,
                headers,
                payload,
                queues,
                large,
                flags,
                number,
            })
    }

    impl Case {
        fn tail(&self) -> Vec<u8> {
            let mut tail = self.reply.clone();
            tail.extend_from_slice(b" 1\r\n");
            tail.extend([&self.headers[..], &self.payload, b"\r\n"].concat());
            tail
        }

        fn origin(&self) -> Origin {
            let connection = Key { index: self.number, generation: !self.number };
            Origin { shard: self.number as u16, connection, echo: self.flags.2, peer: None }
        }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(cases in prop::collection::vec(case(), 0..20)) {
            let mut batch = Deliveries::default();
            // The second time in used buffers.
            for _ in 0..2 {
                batch.clear();
                prop_assert!(batch.is_empty() && batch.weight() == 0);
                for case in &cases {
                    let tail = case.tail();
                    let (plain, answer, _) = case.flags;
                    let queues: Vec<Arc<[u8]>> = case.queues.iter().map(|name| name[..].into()).collect();
                    let data = Arc::new([b"before", &tail[..]].concat());
                    let message = Message {
                        account: AccountId(case.number),
                        subject: &case.subject,
                        tail: &tail,
                        reply_len: case.reply.len(),
                        header_len: case.headers.len(),
                        body_len: case.headers.len() + case.payload.len(),
                        wide: None,
                        large: case.large.then_some((&data, 6)),
                    };
                    batch.push(&message, case.origin(), Addressing { plain, queues: &queues, answer, hops: 3, peer: None });
                }
                prop_assert_eq!(batch.entries().len(), cases.len());
                for (entry, case) in batch.entries().iter().zip(&cases) {
                    let message = batch.message(entry).expect("whole");
                    prop_assert_eq!((message.subject, message.tail), (&case.subject[..], &case.tail()[..]));
                    prop_assert_eq!(message.reply().unwrap_or_default(), &case.reply[..]);
                    prop_assert_eq!(message.payload(), &case.payload[..]);
                    prop_assert_eq!(message.account, AccountId(case.number));
                    prop_assert_eq!(entry.origin, case.origin());
                    prop_assert_eq!((entry.plain, entry.answer, entry.hops), (case.flags.0, case.flags.1, 3));
                    let queues: Vec<&[u8]> = batch.queue_names(entry).collect();
                    prop_assert_eq!(queues, case.queues.iter().map(|name| &name[..]).collect::<Vec<_>>());
                    prop_assert_eq!(message.large.is_some(), case.large);
                    if let Some((data, offset)) = message.large {
                        prop_assert_eq!(&data[offset..], message.tail);
                    }
                    if let Some(wide) = message.wide {
                        let alike = message.tail.len().min(WIDE);
                        prop_assert_eq!(&wide[..alike], &message.tail[..alike]);
                    }
                }
                let kept: usize = cases.iter().map(|case| case.subject.len() + case.tail().len()).sum();
                prop_assert!(batch.weight() >= kept as u64);
            }
        }
    }
}
