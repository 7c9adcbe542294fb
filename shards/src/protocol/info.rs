//! `INFO`: what the server says of itself, in the reference's order of fields and with its omissions.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::json;

/// Version of the client protocol that the server speaks.
const PROTOCOL: u8 = 1;

/// The contents of one INFO to a client. What is false, empty or `None` is left out unless it says otherwise.
#[derive(Clone, Debug, Default)]
pub struct Info<'a> {
    /// Public key of the server; always there.
    pub server_id: &'a str,
    /// Configured name, else the id; always there.
    pub server_name: &'a str,
    /// Version without a leading `v`; always there.
    pub version: &'a str,
    /// Short commit hash.
    pub git_commit: &'a str,
    /// Compiler's version; always there because clients were promised it.
    pub go: &'a str,
    /// Host as listened on or advertised; always there.
    pub host: &'a str,
    /// Port as listened on or advertised; always there.
    pub port: u16,
    /// Does the server support headers? Always there.
    pub headers: bool,
    /// Credentials are needed.
    pub auth_required: bool,
    /// TLS must follow.
    pub tls_required: bool,
    /// TLS with a client certificate must follow.
    pub tls_verify: bool,
    /// TLS may follow.
    pub tls_available: bool,
    /// Limit in bytes, -1 for `None`; always there.
    pub max_payload: Option<usize>,
    /// Number of the connection; always there.
    pub client_id: u64,
    /// The client's address without the port.
    pub client_ip: &'a str,
    /// What an nkey signs.
    pub nonce: Option<&'a str>,
    /// Name of the cluster.
    pub cluster: Option<&'a str>,
    /// `host:port` of this server and of its peers.
    pub connect_urls: &'a [String],
    /// The server is about to leave.
    pub ldm: bool,
    /// This is the INFO after the first PING.
    pub connect_info: bool,
    /// Account that the connection is bound to.
    pub remote_account: Option<&'a str>,
    /// That account is the system account.
    pub acc_is_sys: bool,
}

impl Info<'_> {
    /// Appends `INFO <json> ` and the line's end; the blank before it is the reference's.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"INFO ");
        json::append(out, self);
        out.extend_from_slice(b" \r\n");
    }
}

impl Serialize for Info<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields(serializer.serialize_map(None)?);
        fields.always("server_id", self.server_id)?;
        fields.always("server_name", self.server_name)?;
        fields.always("version", self.version)?;
        fields.always("proto", &PROTOCOL)?;
        fields.text("git_commit", Some(self.git_commit))?;
        fields.always("go", self.go)?;
        fields.always("host", self.host)?;
        fields.always("port", &self.port)?;
        fields.always("headers", &self.headers)?;
        fields.flag("auth_required", self.auth_required)?;
        fields.flag("tls_required", self.tls_required)?;
        fields.flag("tls_verify", self.tls_verify)?;
        fields.flag("tls_available", self.tls_available)?;
        match self.max_payload {
            Some(bytes) => fields.always("max_payload", &bytes)?,
            None => fields.always("max_payload", &-1)?,
        }
        fields.always("client_id", &self.client_id)?;
        fields.text("client_ip", Some(self.client_ip))?;
        fields.text("nonce", self.nonce)?;
        fields.text("cluster", self.cluster)?;
        if !self.connect_urls.is_empty() {
            fields.always("connect_urls", self.connect_urls)?;
        }
        fields.flag("ldm", self.ldm)?;
        fields.flag("connect_info", self.connect_info)?;
        fields.text("remote_account", self.remote_account)?;
        fields.flag("acc_is_sys", self.acc_is_sys)?;
        fields.0.end()
    }
}

/// The three ways in which a field is there or not.
struct Fields<M>(M);

impl<M: SerializeMap> Fields<M> {
    fn always<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), M::Error> {
        self.0.serialize_entry(name, value)
    }

    fn flag(&mut self, name: &str, value: bool) -> Result<(), M::Error> {
        if value { self.always(name, &true) } else { Ok(()) }
    }

    fn text(&mut self, name: &str, value: Option<&str>) -> Result<(), M::Error> {
        match value {
            Some(value) if !value.is_empty() => self.always(name, value),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(info: &Info<'_>) -> String {
        let mut out = Vec::new();
        info.write(&mut out);
        String::from_utf8(out).expect("INFO is text")
    }

    fn plain() -> Info<'static> {
        Info {
            server_id: "NAB",
            server_name: "n1",
            version: "2.15.1",
            go: "rust",
            host: "0.0.0.0",
            port: 4222,
            headers: true,
            max_payload: Some(1_048_576),
            client_id: 5,
            client_ip: "127.0.0.1",
            ..Info::default()
        }
    }

    #[test]
    fn a_plain_server() {
        assert_eq!(
            written(&plain()),
            "INFO {\"server_id\":\"NAB\",\"server_name\":\"n1\",\"version\":\"2.15.1\",\"proto\":1,\"go\":\"rust\",\
             \"host\":\"0.0.0.0\",\"port\":4222,\"headers\":true,\"max_payload\":1048576,\"client_id\":5,\
             \"client_ip\":\"127.0.0.1\"} \r\n"
        );
    }

    #[test]
    fn everything_there_is() {
        let urls = ["10.0.0.1:4222".to_owned(), "[::1]:4223".to_owned()];
        let info = Info {
            git_commit: "abcdef0",
            headers: false,
            auth_required: true,
            tls_required: true,
            tls_verify: true,
            tls_available: true,
            max_payload: None,
            nonce: Some("n"),
            cluster: Some("c"),
            connect_urls: &urls,
            ldm: true,
            connect_info: true,
            remote_account: Some("$G"),
            acc_is_sys: true,
            ..plain()
        };
        assert_eq!(
            written(&info),
            "INFO {\"server_id\":\"NAB\",\"server_name\":\"n1\",\"version\":\"2.15.1\",\"proto\":1,\
             \"git_commit\":\"abcdef0\",\"go\":\"rust\",\"host\":\"0.0.0.0\",\"port\":4222,\"headers\":false,\
             \"auth_required\":true,\"tls_required\":true,\"tls_verify\":true,\"tls_available\":true,\
             \"max_payload\":-1,\"client_id\":5,\"client_ip\":\"127.0.0.1\",\"nonce\":\"n\",\"cluster\":\"c\",\
             \"connect_urls\":[\"10.0.0.1:4222\",\"[::1]:4223\"],\"ldm\":true,\"connect_info\":true,\
             \"remote_account\":\"$G\",\"acc_is_sys\":true} \r\n"
        );
    }
}
