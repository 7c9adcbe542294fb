//! What a server tells about its routes over HTTP.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::progress::patience;

/// The route connections of a server at one moment.
#[derive(Clone, Debug)]
pub struct Routes(Vec<Route>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    number: u64,
    remote: String,
    messages_out: u64,
    interest: u64,
}

impl Routes {
    /// Asks the server whose monitoring port this is.
    pub fn of(address: SocketAddr) -> Result<Self> {
        Routes::read(&get(address, "/routez")?)
            .with_context(|| format!("/routez of {address} lacks rid, remote_id, out_msgs or subscriptions"))
    }

    /// Connections of dedicated accounts (the system account's, that is) are left out: they carry no client's messages.
    fn read(routez: &Value) -> Option<Self> {
        let route = |route: &Value| {
            Some(Route {
                number: route.get("rid")?.as_u64()?,
                remote: route.get("remote_id")?.as_str()?.to_string(),
                messages_out: route.get("out_msgs")?.as_u64()?,
                interest: route.get("subscriptions")?.as_u64()?,
            })
        };
        let all = routez.get("routes")?.as_array()?;
        Some(Routes(all.iter().filter(|one| one.get("account").is_none()).map(route).collect::<Option<_>>()?))
    }

    /// How many other servers there are.
    pub fn remotes(&self) -> usize {
        self.0.iter().map(|route| route.remote.as_str()).collect::<BTreeSet<_>>().len()
    }

    /// Messages sent to all other servers together.
    pub fn messages_out(&self) -> u64 {
        self.0.iter().map(|route| route.messages_out).sum()
    }

    /// Routes that have sent messages since then.
    pub fn carriers_since(&self, before: &Routes) -> usize {
        let idle = |route: &Route| {
            before.0.iter().any(|old| old.number == route.number && old.messages_out == route.messages_out)
        };
        self.0.iter().filter(|route| !idle(route)).count()
    }

    /// Interest held of all other servers together.
    pub fn interest(&self) -> u64 {
        self.0.iter().map(|route| route.interest).sum()
    }
}

/// One request of HTTP 1.0, which ends with the connection.
fn get(address: SocketAddr, path: &str) -> Result<Value> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(patience()))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(|| format!("while {address} answered {path}"))?;
    let Some((head, body)) = answer.split_once("\r\n\r\n").filter(|(head, _)| head.contains(" 200 ")) else {
        bail!("{address} answered {path} with {:?}", answer.lines().next().unwrap_or_default());
    };
    serde_json::from_str(body).with_context(|| format!("{address} answered {path} with {head}\n{body}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn route(remote: &str, messages: u64, account: Option<&str>) -> Value {
        let mut route = json!({ "rid": 1, "remote_id": remote, "out_msgs": messages, "subscriptions": 2 });
        if let Some(account) = account {
            route["account"] = account.into();
        }
        route
    }

    #[test]
    fn counts_servers_messages_and_interest_but_not_the_system_account() {
        let routez = json!({ "routes": [route("B", 3, None), route("B", 4, None), route("B", 9, Some("$SYS")), route("C", 5, None)] });
        let routes = Routes::read(&routez).unwrap();
        assert_eq!((routes.remotes(), routes.messages_out(), routes.interest()), (2, 12, 6));
    }

    #[test]
    fn routes_that_sent_nothing_are_no_carriers() {
        let routes = |counts: [u64; 3]| {
            let route = |(rid, count)| json!({ "rid": rid, "remote_id": "B", "out_msgs": count, "subscriptions": 0 });
            let all: Vec<Value> = counts.into_iter().enumerate().map(route).collect();
            Routes::read(&json!({ "routes": all })).unwrap()
        };
        assert_eq!(routes([5, 7, 0]).carriers_since(&routes([5, 6, 0])), 1);
        assert_eq!(routes([6, 7, 1]).carriers_since(&routes([5, 6, 0])), 3);
    }

    #[test]
    fn refuses_what_lacks_a_number() {
        assert!(Routes::read(&json!({ "routes": [{ "remote_id": "B" }] })).is_none());
        assert!(Routes::read(&json!({})).is_none());
        assert_eq!(Routes::read(&json!({ "routes": [] })).unwrap().remotes(), 0);
    }
}
