//! One thing that a server says, on a route or to a client: cut out of a stream, and made comparable.

use serde_json::{Map, Value};

/// What each server says in its own way, or only one of them says, in INFO and CONNECT.
const OWN_AFFAIRS: [&str; 12] = [
    "version",
    "go",
    "git_commit",
    "proto",
    "nonce",
    "lnoc",
    "lnocu",
    "ln",
    "x_pinmesh_route",
    "xkey",
    "api_lvl",
    "client_id",
];

/// One thing that a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The line without its end.
    pub line: String,
    /// What follows the line of a message.
    pub body: Vec<u8>,
}

impl Heard {
    /// Takes the first complete thing off what was read.
    pub fn take_from(unread: &mut Vec<u8>) -> Option<Heard> {
        let line_end = unread.iter().position(|&byte| byte == b'\n')?;
        let line = String::from_utf8_lossy(&unread[..line_end]).trim_end().to_owned();
        let has_body = ["RMSG ", "HMSG ", "MSG ", "LMSG "].iter().any(|verb| line.starts_with(verb));
        let size = match line.rsplit(' ').next() {
            Some(size) if has_body => size.parse::<usize>().map_or(0, |size| size + 2),
            _ => 0,
        };
        let end = line_end + 1 + size;
        if unread.len() < end {
            return None;
        }
        let body = unread[line_end + 1..end].strip_suffix(b"\r\n").unwrap_or_default().to_vec();
        unread.drain(..end);
        Some(Heard { line, body })
    }

    /// The object of an INFO or a CONNECT.
    pub fn object(&self) -> Option<Map<String, Value>> {
        let (_, json) = self.line.split_once(' ')?;
        serde_json::from_str(json).ok()
    }

    /// Interest or a message of the system account, of which the reference has much and others need not have any.
    pub fn is_of_the_system(&self) -> bool {
        let mut words = self.line.split(' ');
        let is_ours = matches!(words.next(), Some("RS+" | "RS-" | "RMSG" | "HMSG"));
        is_ours && words.next().is_some_and(|word| word.starts_with("$SYS"))
    }

    /// The same with its body in one line of text: of JSON only what all servers must say alike, and nothing in an order
    /// that is left to chance.
    pub fn plain(&self) -> String {
        let verb = self.line.split(' ').next().unwrap_or_default();
        match (verb, self.object()) {
            ("INFO" | "CONNECT", Some(object)) => format!("{verb} {}", Value::Object(plain_object(object))),
            ("RMSG" | "HMSG", _) => format!("{} {}", with_sorted_groups(&self.line), self.body.escape_ascii()),
            ("MSG" | "LMSG", _) => format!("{} {}", self.line, self.body.escape_ascii()),
            _ => self.line.clone(),
        }
    }
}

/// The line of a routed message, whose queue groups have no order.
fn with_sorted_groups(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    let first = match words.get(3) {
        Some(&"|") => 4,
        Some(&"+") => 5,
        _ => return line.to_owned(),
    };
    let sizes = if line.starts_with("HMSG ") { 2 } else { 1 };
    let last = words.len().saturating_sub(sizes);
    if let Some(groups) = words.get_mut(first..last) {
        groups.sort_unstable();
    }
    words.join(" ")
}

fn plain_object(mut object: Map<String, Value>) -> Map<String, Value> {
    object.retain(|field, _| !OWN_AFFAIRS.contains(&field.as_str()));
    if let Some(urls) = object.get_mut("connect_urls").and_then(Value::as_array_mut) {
        urls.sort_by_key(Value::to_string);
    }
    if let Some(request) = object.get_mut("route_acc_add_reqid") {
        *request = Value::from("<random>");
    }
    // A number alone is not found where ports are looked for.
    if let Some(port) = object.get_mut("port") {
        *port = Value::String(format!(":{port}"));
    }
    object
}
