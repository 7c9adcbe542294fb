//! From a readable socket to operations: one read into the shard's chunk, or into the buffer of a large operation, and what is left over.
//!
//! Reading and acting are two calls, because the driver looks at the inbox in between: what other shards sent before these bytes were
//! sent comes before what they ask for.

use std::io;
use std::sync::Arc;

use super::{READ_BYTES, Shard};
use crate::connection::{CloseReason, Closing, Connection, Key};

/// What came of an attempt to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// Bytes are there to act on, and the socket may have more.
    More,
    /// Bytes are there to act on (at least from before), and the socket has no more for now.
    Drained,
    /// Not now: the connection is paused, or gone.
    Paused,
}

impl Shard {
    /// Reads what a connection has, once.
    pub fn fill(&mut self, key: Key, read: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>) -> Filled {
        self.filled = 0;
        let Some(connection) = self.core.connection(key) else { return Filled::Paused };
        if connection.pause.is_some() || connection.closing.is_some() {
            return Filled::Paused;
        }
        let result = match &mut connection.input.large {
            // It was complete, and then a pause came.
            Some(large) if large.is_complete() => return Filled::More,
            Some(large) => {
                let codec = connection.route.as_mut().and_then(|route| route.codec.as_deref_mut());
                let result = Connection::read(codec, large.room(), read);
                large.advance(result.as_ref().map_or(0, |(count, _)| *count));
                result
            }
            None => {
                let rest = std::mem::take(&mut connection.input.rest);
                let room = self.chunk.len() - rest.len();
                if let Some(place) = self.chunk.get_mut(..rest.len()) {
                    place.copy_from_slice(&rest);
                }
                self.filled = rest.len();
                if room < READ_BYTES {
                    // A pause left so much that it must be acted on first.
                    return Filled::More;
                }
                let free = self.chunk.get_mut(rest.len()..rest.len() + READ_BYTES).unwrap_or(&mut []);
                let result = Connection::read(connection.codec(), free, read);
                self.filled += result.as_ref().map_or(0, |(count, _)| *count);
                result
            }
        };
        match result {
            Ok((0, _)) => {
                connection.flags.end_of_input = true;
                Filled::Drained
            }
            Ok((_, full)) => {
                if connection.stalled > 0 {
                    self.core.end_stalls(key);
                }
                if full { Filled::More } else { Filled::Drained }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Filled::Drained,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Filled::More,
            Err(_) => {
                // What came before the error was acted on when it came; what is incomplete now stays so.
                self.core.close(key, Closing::Now(CloseReason::ReadError));
                self.filled = 0;
                Filled::Drained
            }
        }
    }

    /// Acts on what [`fill`](Self::fill) got.
    pub fn act(&mut self, key: Key) {
        if let Some(connection) = self.core.connection(key)
            // Mail that came since may have paused it.
            && connection.pause.is_none()
            && let Some(incoming) = connection.input.large.take()
        {
            if incoming.is_complete() {
                let large = Arc::new(incoming.into_bytes());
                self.process(key, &large, Some(&large));
            } else {
                connection.input.large = Some(incoming);
            }
        } else if self.filled > 0 {
            let mut chunk = std::mem::take(&mut self.chunk);
            let input = chunk.get(..self.filled).unwrap_or(&chunk);
            let consumed = self.process(key, input, None);
            if let Some(rest) = input.get(consumed..)
                && !rest.is_empty()
                && let Some(connection) = self.core.connection(key)
            {
                connection.input.rest = rest.to_vec();
                if connection.pause.is_none() && chunk.len() - rest.len() < READ_BYTES {
                    // A control line that is longer than usual goes on.
                    chunk.resize(connection.input.rest.len() + READ_BYTES, 0);
                }
            }
            self.chunk = chunk;
            self.filled = 0;
        }
        if let Some(connection) = self.core.connection(key)
            && connection.flags.end_of_input
            && connection.pause.is_none()
        {
            self.core.close(key, Closing::Flush(CloseReason::ClientClosed));
        }
    }

    /// Is there nothing more to read from this connection?
    pub fn at_end(&mut self, key: Key) -> bool {
        self.core.connection(key).is_none_or(|found| found.flags.end_of_input || found.closing.is_some())
    }
}
