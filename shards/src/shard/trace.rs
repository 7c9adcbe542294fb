//! Log lines about connections and their protocol lines, and the texts that Go's formatting would make. Off the way of a message unless tracing is on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Core;
use super::mail::Message;
use crate::connection::Key;
use crate::protocol::quote::quoted;

/// Bytes in double quotes, escaped as Go's `%q` does.
pub(super) struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quoted(self.0))
    }
}

/// A duration as Go prints it: `300ms`, `1.5s`, `2m0s`.
pub(super) struct GoDuration(pub Duration);

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
        if seconds == 0 {
            return write!(f, "{rest}ms");
        }
        if seconds >= 3600 {
            write!(f, "{}h", seconds / 3600)?;
        }
        if seconds >= 60 {
            write!(f, "{}m", seconds / 60 % 60)?;
        }
        let fraction = format!("{rest:03}");
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{}s", seconds % 60),
            fraction => write!(f, "{}.{fraction}s", seconds % 60),
        }
    }
}

impl Core {
    /// An error line about a connection.
    pub(super) fn log_error(&mut self, key: Key, text: &str) {
        if let Some(connection) = self.connection(key) {
            log::error!("{} - {text}", connection.label());
        }
    }

    /// One traced line.
    pub(super) fn trace_line(&mut self, key: Key, arrow: &str, text: &str) {
        if let Some(connection) = self.connection(key) {
            log::trace!("{} - {arrow} [{text}]", connection.label());
        }
    }

    /// A traced line whose arguments are a client's bytes.
    pub(super) fn trace_operation(&mut self, key: Key, name: &str, args: &[u8]) {
        self.trace_line(key, "<<-", &format!("{name} {}", String::from_utf8_lossy(args)));
    }

    /// The traced lines of a message's contents: headers, payload, or none.
    pub(super) fn trace_payload(&mut self, key: Key, arrow: &str, body: &[u8], header_len: usize) {
        let trace = self.config.trace;
        let mut shown = body;
        if trace.headers_only {
            let Some(headers) = body.get(..header_len).filter(|headers| !headers.is_empty()) else { return };
            shown = headers.strip_suffix(b"\r\n\r\n").unwrap_or(headers);
        }
        if shown.is_empty() {
            return;
        }
        let cut = if trace.max_len > 0 && shown.len() > trace.max_len {
            let mut cut = shown.get(..trace.max_len).unwrap_or(shown).to_vec();
            cut.extend_from_slice(b"...");
            cut
        } else {
            shown.to_vec()
        };
        if let Some(connection) = self.connection(key) {
            log::trace!("{} - {arrow} MSG_PAYLOAD: [{}]", connection.label(), quoted(&cut));
        }
    }

    /// The traced lines of a message to another server.
    #[cold]
    pub(super) fn trace_routed(&mut self, key: Key, message: &Message<'_>, queues: &[Arc<[u8]>]) {
        let name = if message.header_len > 0 { "HMSG" } else { "RMSG" };
        let line_len = message.tail.len().saturating_sub(message.body_len + 4);
        let sizes = message.tail.get(..line_len).unwrap_or(&[]);
        let lossy = String::from_utf8_lossy;
        let mut line = format!("{name} {} {}", message.account.name(), lossy(message.subject));
        let behind_reply = sizes.get(message.reply_len..).unwrap_or(&[]);
        if queues.is_empty() {
            line.push_str(&format!(" {}", lossy(sizes)));
        } else {
            match message.reply() {
                Some(reply) => line.push_str(&format!(" + {}", lossy(reply))),
                None => line.push_str(" |"),
            }
            queues.iter().for_each(|queue| line.push_str(&format!(" {}", lossy(queue))));
            line.push_str(&format!(" {}", lossy(behind_reply).trim_start()));
        }
        self.trace_line(key, "->>", &line);
        let body = message.tail.get(line_len + 2..line_len + 2 + message.body_len).unwrap_or(&[]);
        self.trace_payload(key, "->>", body, message.header_len);
    }

    /// The traced lines of a message to a subscriber.
    pub(super) fn trace_delivery(&mut self, key: Key, message: &Message<'_>, sid: &[u8], stripped: bool) {
        let name = if message.header_len > 0 && !stripped { "HMSG" } else { "MSG" };
        let line_len = message.tail.len().saturating_sub(message.body_len + 4);
        let sizes = message.tail.get(..line_len).unwrap_or(&[]);
        let lossy = String::from_utf8_lossy;
        self.trace_line(key, "->>", &format!("{name} {} {} {}", lossy(message.subject), lossy(sid), lossy(sizes)));
        let body = message.tail.get(line_len + 2..line_len + 2 + message.body_len).unwrap_or(&[]);
        if stripped {
            self.trace_payload(key, "->>", message.payload(), 0);
        } else {
            self.trace_payload(key, "->>", body, message.header_len);
        }
    }
}
