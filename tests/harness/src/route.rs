//! A scripted server at the other end of a route: it says byte for byte what a test wants said, in either role, and
//! tells what it heard.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use crate::cluster::CLUSTER_NAME;
use crate::heard::Heard;
use crate::poll::{DEADLINE, poll_until};

/// What a scripted server says of itself. Every one has an id and a name of its own.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// The fields of its CONNECT.
    pub connect: Map<String, Value>,
    /// The fields of its INFO.
    pub info: Map<String, Value>,
}

impl Default for Introduction {
    fn default() -> Introduction {
        Introduction::new()
    }
}

impl Introduction {
    /// The simplest server there is: it has no pool of routes and does not compress. Nobody can dial it.
    pub fn new() -> Introduction {
        static NUMBERS: AtomicU32 = AtomicU32::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let (id, name) = (format!("N{number:A>55}"), format!("scripted-{number:03}"));
        let connect = json!({
            "echo": true, "verbose": false, "pedantic": false, "tls_required": false, "headers": true, "name": id,
            "cluster": CLUSTER_NAME,
        });
        let info = json!({
            "server_id": id, "server_name": name, "version": "2.9.10", "proto": 2, "go": "none", "host": "127.0.0.1",
            "port": 1, "headers": true, "max_payload": 1_048_576, "cluster": CLUSTER_NAME,
        });
        let object = |value: Value| value.as_object().cloned().unwrap_or_default();
        Introduction { connect: object(connect), info: object(info) }
    }

    /// The same with another field in CONNECT; `null` takes it out.
    pub fn connect(mut self, field: &str, value: Value) -> Introduction {
        set(&mut self.connect, field, value);
        self
    }

    /// The same with another field in INFO; `null` takes it out.
    pub fn info(mut self, field: &str, value: Value) -> Introduction {
        set(&mut self.info, field, value);
        self
    }

    /// Its id.
    pub fn id(&self) -> &str {
        self.info.get("server_id").and_then(Value::as_str).unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.info.get("server_name").and_then(Value::as_str).unwrap_or_default()
    }

    /// The line with its CONNECT.
    pub fn connect_line(&self) -> String {
        format!("CONNECT {}\r\n", Value::Object(self.connect.clone()))
    }

    /// The line with its INFO.
    pub fn info_line(&self) -> String {
        format!("INFO {}\r\n", Value::Object(self.info.clone()))
    }
}

fn set(fields: &mut Map<String, Value>, field: &str, value: Value) {
    if value.is_null() {
        fields.remove(field);
    } else {
        fields.insert(field.to_owned(), value);
    }
}

/// The scripted end of one route.
#[derive(Debug)]
pub struct ScriptedRoute {
    stream: TcpStream,
    unread: Vec<u8>,
    closed: bool,
    answers_pings: bool,
}

impl ScriptedRoute {
    /// Dials a server's port for routes.
    pub fn dial(port: u16) -> Result<ScriptedRoute> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("the port for routes")?;
        ScriptedRoute::over(stream)
    }

    /// Dials, says CONNECT and INFO, and waits until they are understood. What was heard meanwhile is forgotten.
    pub fn join(port: u16, introduction: &Introduction) -> Result<ScriptedRoute> {
        let mut route = ScriptedRoute::dial(port)?;
        route.send(introduction.connect_line())?;
        route.send(introduction.info_line())?;
        route.until_pong()?;
        Ok(route)
    }

    fn over(stream: TcpStream) -> Result<ScriptedRoute> {
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Ok(ScriptedRoute { stream, unread: Vec::new(), closed: false, answers_pings: true })
    }

    /// This end of the connection, as the server's log names it.
    pub fn local_address(&self) -> Result<SocketAddr> {
        Ok(self.stream.local_addr()?)
    }

    /// From now on PINGs are heard, not answered.
    pub fn answer_no_pings(&mut self) {
        self.answers_pings = false;
    }

    /// Sends bytes at once.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.stream.write_all(bytes.as_ref()).context("the server does not read")
    }

    /// The next thing that the server says; `None` when it has closed. PINGs are answered and passed over.
    pub fn hear(&mut self) -> Result<Option<Heard>> {
        let end = Instant::now() + DEADLINE;
        loop {
            match Heard::take_from(&mut self.unread) {
                Some(heard) if heard.line == "PING" && self.answers_pings => {
                    ensure!(Instant::now() < end, "the server says nothing but PING");
                    // Who has closed needs no answer.
                    let _ = self.send("PONG\r\n");
                }
                Some(heard) => return Ok(Some(heard)),
                None if self.closed => return Ok(None),
                None => self.read()?,
            }
        }
    }

    /// Sends PING and returns what is heard before the PONG. That the server closes is an error.
    pub fn until_pong(&mut self) -> Result<Vec<Heard>> {
        self.send("PING\r\n")?;
        let mut all = Vec::new();
        loop {
            match self.hear()? {
                Some(heard) if heard.line == "PONG" => return Ok(all),
                Some(heard) => all.push(heard),
                None => bail!("closed after {all:?}"),
            }
        }
    }

    /// Everything that is heard until the server closes.
    pub fn until_closed(&mut self) -> Result<Vec<Heard>> {
        let mut all = Vec::new();
        while let Some(heard) = self.hear().with_context(|| format!("not closed after {all:?}"))? {
            all.push(heard);
        }
        Ok(all)
    }

    /// Says that nothing more will be sent, and waits until the server closes. Returns what is heard meanwhile.
    pub fn leave(&mut self) -> Result<Vec<Heard>> {
        self.stream.shutdown(Shutdown::Write)?;
        self.until_closed()
    }

    /// Waits for the line that begins like this; returns it with all that was heard before it.
    pub fn until(&mut self, beginning: &str) -> Result<(Heard, Vec<Heard>)> {
        let mut before = Vec::new();
        loop {
            match self.hear().with_context(|| format!("{beginning:?} did not come, but {before:?}"))? {
                Some(heard) if heard.line.starts_with(beginning) => return Ok((heard, before)),
                Some(heard) => before.push(heard),
                None => bail!("closed in place of {beginning:?}, after {before:?}"),
            }
        }
    }

    fn read(&mut self) -> Result<()> {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.closed = true,
            Ok(length) => self.unread.extend_from_slice(&bytes[..length]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => self.closed = true,
            Err(error) => return Err(error).context("the server says nothing more"),
        }
        Ok(())
    }
}

/// A scripted server that is dialled.
#[derive(Debug)]
pub struct RouteListener {
    listener: TcpListener,
    /// Routes for the system account, which not every server wants: they only have to stay open.
    system: Vec<ScriptedRoute>,
}

impl RouteListener {
    /// Listens on a free port.
    pub fn open() -> Result<RouteListener> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        Ok(RouteListener { listener, system: Vec::new() })
    }

    /// Its port.
    pub fn port(&self) -> Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// The next connection, of whatever kind.
    pub fn accept(&self) -> Result<ScriptedRoute> {
        let accepted = poll_until(DEADLINE, || match self.listener.accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            other => Some(other),
        });
        let (stream, _) = accepted.context("the server does not dial")??;
        stream.set_nonblocking(false)?;
        ScriptedRoute::over(stream)
    }

    /// Accepts until a connection comes that is not for the system account alone, answers it with this INFO, and
    /// returns it with the CONNECT and the INFO that came.
    pub fn meet(&mut self, introduction: &Introduction) -> Result<(ScriptedRoute, Heard, Heard)> {
        let end = Instant::now() + DEADLINE;
        let mut others = BTreeSet::new();
        while Instant::now() < end {
            let mut route = self.accept()?;
            route.send(introduction.info_line())?;
            let connect = route.hear()?.context("closed in place of CONNECT")?;
            ensure!(connect.line.starts_with("CONNECT "), "{connect:?} in place of CONNECT");
            let Some(answer) = route.hear()? else { bail!("closed in place of INFO") };
            let is_for_the_system = answer.object().is_some_and(|info| info.contains_key("route_account"));
            if answer.line.starts_with("INFO ") && !is_for_the_system {
                return Ok((route, connect, answer));
            }
            if is_for_the_system {
                self.system.push(route);
            }
            others.insert(answer.line);
        }
        bail!("no connection for other accounts than the system's, but {others:?}")
    }
}
