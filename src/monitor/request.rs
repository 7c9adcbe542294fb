//! The head of an HTTP/1 request: as tolerant and as strict as the reference's server.

use super::query::{Parameters, decode};

/// What one request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `HEAD` gets no body; the others are all alike, but a redirect has a page for `GET` only.
    pub method: String,
    /// Path, decoded.
    pub path: Vec<u8>,
    /// Query as it came.
    pub raw_query: Vec<u8>,
    /// HTTP/1.0?
    pub old: bool,
    /// Another request may follow on this connection.
    pub keep_alive: bool,
    /// Bytes of a body that follow; `None`: nobody knows.
    pub body: Option<u64>,
    /// `Expect` says something that is not understood.
    pub unmet_expectation: bool,
}

/// A head that is answered with an error, after which the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Behind the version.
    pub status: &'static str,
    /// The body.
    pub text: &'static str,
}

const fn refusal(status: &'static str) -> Refusal {
    Refusal { status, text: status }
}

const BAD: Refusal = refusal("400 Bad Request");
const NO_HOST: Refusal = refusal("400 Bad Request: missing required Host header");
const ODD_HOST: Refusal = refusal("400 Bad Request: malformed Host header");
const ODD_NAME: Refusal = refusal("400 Bad Request: invalid header name");
const ODD_VERSION: Refusal = refusal("505 HTTP Version Not Supported: unsupported protocol version");
const ODD_ENCODING: Refusal = Refusal { status: "501 Not Implemented", text: "Unsupported transfer encoding" };
/// The head is too long.
pub const TOO_LARGE: Refusal = refusal("431 Request Header Fields Too Large");

impl Request {
    /// Reads a head, without the empty line that ends it.
    pub fn parse(head: &[u8]) -> Result<Request, Refusal> {
        let mut lines = head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let (method, target, minor) = request_line(lines.next().unwrap_or_default())?;
        let headers = headers(lines)?;
        let values = |name: &'static str| {
            let wanted = move |(known, _): &&(String, Vec<u8>)| known.eq_ignore_ascii_case(name);
            headers.iter().filter(wanted).map(|(_, value)| value.as_slice())
        };
        let has_token = |name: &'static str, token: &str| {
            values(name)
                .flat_map(|value| value.split(|&byte| byte == b','))
                .any(|found| found.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        };
        let old = minor == 0;
        match values("Host").count() {
            0 if old => {}
            0 => return Err(NO_HOST),
            1 if values("Host").all(is_host) => {}
            1 => return Err(ODD_HOST),
            _ => return Err(BAD),
        }
        let chunked = match values("Transfer-Encoding").next() {
            None => false,
            Some(value) if value.eq_ignore_ascii_case(b"chunked") => true,
            Some(_) => return Err(ODD_ENCODING),
        };
        let mut body = Some(0);
        for length in values("Content-Length") {
            let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            let number = str::from_utf8(length).ok().filter(|_| digits).and_then(|text| text.parse::<u64>().ok());
            body = Some(number.ok_or(BAD)?);
        }
        let expects_more = values("Expect").next().is_some();
        if chunked || expects_more {
            body = None;
        }
        let unmet_expectation = expects_more && !has_token("Expect", "100-continue");
        let keep_alive = if old { has_token("Connection", "keep-alive") } else { !has_token("Connection", "close") };
        let (path, raw_query) = split_target(target)?;
        Ok(Request { method, path, raw_query, old, keep_alive, body, unmet_expectation })
    }

    /// The query's parameters.
    pub fn parameters(&self) -> Parameters {
        Parameters::parse(&self.raw_query)
    }
}

/// Method, target and minor version.
fn request_line(line: &[u8]) -> Result<(String, &[u8], u8), Refusal> {
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    let (Some(method), Some(target), Some(version)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(BAD);
    };
    if !is_token(method) {
        return Err(BAD);
    }
    let minor = match version {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'0'..=b'9'] => minor - b'0',
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(ODD_VERSION),
        _ => return Err(BAD),
    };
    Ok((String::from_utf8_lossy(method).into_owned(), target, minor))
}

/// Names and values. A line that begins with a blank goes on with the value before.
fn headers<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Result<Vec<(String, Vec<u8>)>, Refusal> {
    let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        if let [b' ' | b'\t', ..] = line {
            let (_, value) = headers.last_mut().ok_or(BAD)?;
            value.push(b' ');
            value.extend_from_slice(line.trim_ascii());
            continue;
        }
        let at = line.iter().position(|&byte| byte == b':').ok_or(BAD)?;
        let (name, value) = line.split_at_checked(at).ok_or(BAD)?;
        if !is_token(name) {
            return Err(ODD_NAME);
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if value.iter().any(|&byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
            return Err(BAD);
        }
        headers.push((String::from_utf8_lossy(name).into_owned(), value.to_vec()));
    }
    Ok(headers)
}

/// Path and query of `/path?query`, `http://host/path?query` or `*`.
fn split_target(target: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
    if target.is_empty() || target.iter().any(|&byte| byte < b' ' || byte == 0x7f) {
        return Err(BAD);
    }
    let at = target.iter().position(|&byte| byte == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at_checked(at).ok_or(BAD)?;
    let path = match path {
        b"*" => path,
        [b'/', ..] => path,
        _ => {
            let behind = path.strip_prefix(b"http://").or_else(|| path.strip_prefix(b"https://")).ok_or(BAD)?;
            let slash = behind.iter().position(|&byte| byte == b'/');
            slash.and_then(|at| behind.get(at..)).unwrap_or(b"/")
        }
    };
    Ok((decode(path, false).ok_or(BAD)?, query.get(1..).unwrap_or_default().to_vec()))
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_host(text: &[u8]) -> bool {
    text.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"!$%&()*+,-.:;=[']_~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &str) -> Result<Request, &'static str> {
        Request::parse(head.as_bytes()).map_err(|refusal| refusal.status)
    }

    #[test]
    fn ordinary_heads() {
        let request = status("GET /a%20b?x=1&y=%32 HTTP/1.1\r\nHost: h\r\nconnection: Foo, Close").unwrap();
        assert_eq!((request.path.as_slice(), request.keep_alive, request.body), (&b"/a b"[..], false, Some(0)));
        assert_eq!(request.parameters().text("y").as_deref(), Some("2"));
        assert!(status("GET / HTTP/1.1\nHost: a").unwrap().keep_alive);
        let old = status("POST http://h HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3").unwrap();
        assert_eq!((old.old, old.keep_alive, old.body, old.path.as_slice()), (true, true, Some(3), &b"/"[..]));
    }

    #[test]
    fn odd_heads_are_refused_in_the_references_words() {
        for (head, expected) in [
            ("garbage", "400 Bad Request"),
            ("GET /healthz", "400 Bad Request"),
            ("GET healthz HTTP/1.1\r\nHost: x", "400 Bad Request"),
            ("GET /%zz HTTP/1.1\r\nHost: x", "400 Bad Request"),
            ("GET / HTTP/1.1\r\nHost: x\r\nHost: y", "400 Bad Request"),
            ("GET / HTTP/1.1\r\nHost x", "400 Bad Request"),
            ("GET / HTTP/1.1\r\n folded: x", "400 Bad Request"),
            ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1", "400 Bad Request"),
            ("GET / HTTP/1.1", "400 Bad Request: missing required Host header"),
            ("GET / HTTP/1.1\r\nHost: a b", "400 Bad Request: malformed Host header"),
            ("GET / HTTP/1.1\r\nHost: a\r\n Y: b", "400 Bad Request: malformed Host header"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX : b", "400 Bad Request: invalid header name"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: \x01", "400 Bad Request"),
            ("GET / HTTP/2.0\r\nHost: a", "505 HTTP Version Not Supported: unsupported protocol version"),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip", "501 Not Implemented"),
        ] {
            assert_eq!(status(head), Err(expected), "{head:?}");
        }
    }
}
