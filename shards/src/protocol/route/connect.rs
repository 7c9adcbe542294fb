//! `CONNECT` between servers: who dialled, and what proves it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::protocol::connect::{ConnectError, Credentials, mismatch};
use crate::protocol::json;

/// The contents of a CONNECT. Most have no effect; those that no route sends tell what has come to the wrong port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteConnect {
    /// `+OK` for every line that is accepted.
    pub verbose: bool,
    /// User name and password, if they were sent; of what else there may be, what a log says of whoever is refused.
    pub credentials: Credentials,
    /// The connection is TLS.
    pub tls_required: bool,
    /// May be sent headers.
    pub headers: bool,
    /// The server's id.
    pub name: String,
    /// Name of its cluster.
    pub cluster: String,
    /// That name was generated.
    pub cluster_dynamic: bool,
    /// Only clients have this: the language of their library.
    pub lang: String,
    /// Only clients have this.
    pub account: String,
    /// Only clients have this.
    pub new_account: bool,
    /// Only gateways have this: their name.
    pub gateway: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Read {
    verbose: bool,
    user: Option<Box<str>>,
    pass: Option<Box<str>>,
    auth_token: Option<Box<str>>,
    nkey: Option<Box<str>>,
    tls_required: bool,
    headers: bool,
    name: String,
    cluster: String,
    cluster_dynamic: bool,
    lang: String,
    account: String,
    new_account: bool,
    gateway: String,
}

/// The fields that a route sends, in the reference's order.
#[derive(Serialize)]
struct Written<'a> {
    echo: bool,
    verbose: bool,
    pedantic: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<&'a str>,
    tls_required: bool,
    headers: bool,
    name: &'a str,
    cluster: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cluster_dynamic: bool,
}

impl RouteConnect {
    /// Reads the object as tolerantly as the reference: names match in any case, unknown ones are ignored, `null` is nothing.
    pub fn parse(json: &[u8]) -> Result<RouteConnect, ConnectError> {
        let json = String::from_utf8_lossy(json);
        let checked = |known| -> Result<Value, ConnectError> {
            let fields = mismatch::fields(known, &json).map_err(ConnectError::syntax)?;
            fields.map(Value::Object).map_err(ConnectError::Mismatch)
        };
        checked(&mismatch::CLIENT_OPTIONS)?;
        let fields = checked(&mismatch::ROUTE_OPTIONS)?;
        let read: Read = serde_json::from_value(fields).map_err(ConnectError::syntax)?;
        let some = |text: Option<Box<str>>| text.filter(|text| !text.is_empty());
        Ok(RouteConnect {
            verbose: read.verbose,
            credentials: Credentials {
                user: some(read.user),
                pass: some(read.pass),
                auth_token: some(read.auth_token),
                nkey: some(read.nkey),
                ..Credentials::default()
            },
            tls_required: read.tls_required,
            headers: read.headers,
            name: read.name,
            cluster: read.cluster,
            cluster_dynamic: read.cluster_dynamic,
            lang: read.lang,
            account: read.account,
            new_account: read.new_account,
            gateway: read.gateway,
        })
    }

    /// Appends the whole line, with what a route says.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"CONNECT ");
        let written = Written {
            echo: true,
            verbose: self.verbose,
            pedantic: false,
            user: self.credentials.user.as_deref(),
            pass: self.credentials.pass.as_deref(),
            tls_required: self.tls_required,
            headers: self.headers,
            name: &self.name,
            cluster: &self.cluster,
            cluster_dynamic: self.cluster_dynamic,
        };
        json::append(out, &written);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> RouteConnect {
        RouteConnect::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    #[test]
    fn what_is_written_is_read() {
        let credentials = Credentials { user: Some("u".into()), pass: Some("p".into()), ..Credentials::default() };
        let connect = RouteConnect {
            credentials,
            headers: true,
            name: "NA".into(),
            cluster: "a>".into(),
            cluster_dynamic: true,
            ..RouteConnect::default()
        };
        let mut out = Vec::new();
        connect.write(&mut out);
        let line = String::from_utf8(out).expect("CONNECT is text");
        assert_eq!(
            line,
            "CONNECT {\"echo\":true,\"verbose\":false,\"pedantic\":false,\"user\":\"u\",\"pass\":\"p\",\"tls_required\":false,\
             \"headers\":true,\"name\":\"NA\",\"cluster\":\"a\\u003e\",\"cluster_dynamic\":true}\r\n"
        );
        assert_eq!(parsed(&line["CONNECT ".len()..]), connect);
        assert!(!format!("{connect:?}").contains("\"p\""), "a password is shown");
    }

    #[test]
    fn what_comes_to_the_wrong_port() {
        let connect = parsed(r#"{"LANG":"go","account":"A","new_account":true,"gateway":"G","version":"1","user":""}"#);
        assert_eq!((connect.lang.as_str(), connect.account.as_str()), ("go", "A"));
        assert_eq!((connect.gateway.as_str(), connect.new_account), ("G", true));
        assert_eq!(connect.credentials, Credentials::default());
        assert_eq!(parsed("null"), RouteConnect::default());
    }

    #[test]
    fn refusals() {
        for (json, complaint) in [
            ("{", "unexpected end of JSON input"),
            (
                r#"{"version":1}"#,
                "json: cannot unmarshal number into Go struct field ClientOpts.version of type string",
            ),
            (
                r#"{"cluster":1}"#,
                "json: cannot unmarshal number into Go struct field connectInfo.cluster of type string",
            ),
            ("[]", "json: cannot unmarshal array into Go value of type server.ClientOpts"),
        ] {
            assert_eq!(RouteConnect::parse(json.as_bytes()).expect_err(json).to_string(), complaint);
        }
    }
}
