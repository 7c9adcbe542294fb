//! The replay of one recording: says what the script said, and waits for what the server said.
//!
//! Before the script does something, the server must have said all that was recorded up to there, in whatever order: much
//! of it comes on several connections or is announced in the order of a hash table. What comes earlier than it was
//! recorded waits for its turn; at the end nothing may be left. Of interest that changes more than once between two
//! things that the script does only the outcome counts, because a server may tell a burst at once. Left out is what each
//! server says in its own way (its version, private fields, nonces), pings, interest and messages of the system account,
//! and where the server dials, connections for that account alone. Nobody sleeps: the script goes on as soon as the
//! server has said its part and has taken in what was said to it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use std::{fs, mem, thread};

use anyhow::{Context, Result, ensure};
use pinmesh_harness::{Heard, Kind as Program, Member, Seat, Signal, poll_until};

use crate::end::{CLOSED, End};
use crate::names::Names;
use crate::plays::{Play, UNRECORDED, What, is_for_the_system, plays};
use crate::recording::{Action, Frames, Kind, Recording};
use crate::settings::{Event, Setting};

/// Between two looks at what has come.
const PAUSE: Duration = Duration::from_millis(1);

/// Plays a recording; the error tells the step and what came instead.
pub fn play(setting: &Setting, recording: &Recording, kind: Program, patience: Duration) -> Result<()> {
    let plays = plays(setting, recording);
    let mut stage = Stage::set(setting, &plays, kind, patience)?;
    for (number, play) in plays.iter().enumerate() {
        let next = plays[number + 1..].iter().find(|next| next.conn == play.conn).map(|next| &next.what);
        let done = stage.take(play, next);
        done.with_context(|| format!("at {} ms, {}: {}", play.at, play.conn, play.what))?;
    }
    stage.before("").context("at the end")?;
    stage.nothing_left()
}

/// Everything that is there while a recording is played.
struct Stage<'a> {
    setting: &'a Setting,
    patience: Duration,
    member: Member,
    has_stopped: bool,
    names: Names,
    /// Where the server dials, by the beginning of the labels.
    listeners: Vec<(&'static str, TcpListener)>,
    /// What is said first on connections that the server dials.
    greetings: BTreeMap<String, Vec<u8>>,
    ends: BTreeMap<String, End>,
    /// Connections that the server dialled, and of which nobody knows yet what they are for.
    candidates: Vec<(&'static str, End)>,
    /// Connections of no concern that have to stay open.
    others: Vec<End>,
    /// What was recorded and not looked for yet, by connection.
    expected: BTreeMap<String, Vec<Heard>>,
    /// What came and is not expected yet, by connection.
    heard: BTreeMap<String, Vec<Heard>>,
    /// Connections that the server is expected to close.
    closing: Vec<String>,
    /// Where something was said last that the server may not have taken in yet.
    unfenced: Option<String>,
    /// The last INFO that was said on a connection, as it was recorded.
    introductions: BTreeMap<String, String>,
}

impl<'a> Stage<'a> {
    fn set(setting: &'a Setting, plays: &[Play], kind: Program, patience: Duration) -> Result<Stage<'a>> {
        let seat = Seat::take();
        let mut names = Names::new();
        for play in plays {
            if let What::Recorded(Action::Expect(heard)) = &play.what {
                names.learn(heard, play.kind, seat);
            }
        }
        let mut listeners = Vec::new();
        let mut greetings = BTreeMap::new();
        for &label in setting.dialled {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            for play in plays.iter().filter(|play| play.conn.starts_with(label)) {
                if let What::Recorded(Action::Say(bytes)) = &play.what {
                    greetings.entry(play.conn.clone()).or_insert_with(|| bytes.clone());
                }
            }
            let greeting = greetings.iter().find(|(conn, _)| conn.starts_with(label)).map(|(_, greeting)| greeting);
            if let Some(heard) = greeting.and_then(|greeting| Heard::take_from(&mut greeting.clone())) {
                names.dialled(&heard, listener.local_addr()?.port());
            }
            listeners.push((label, listener));
        }
        let routes = setting.explicit.map(|explicit| {
            let (_, listener) = listeners.iter().find(|(label, _)| *label == explicit.label).context("no listener")?;
            let port = listener.local_addr()?.port();
            Ok::<_, anyhow::Error>(format!("routes: [\"nats://{}127.0.0.1:{port}\"]", explicit.user))
        });
        let cluster = format!("name: C\n  {}\n  {}", setting.cluster, routes.transpose()?.unwrap_or_default());
        let member = start(setting, kind, seat, &cluster)?;
        names.is_called(&member.id()?);
        Ok(Stage {
            setting,
            patience,
            member,
            has_stopped: false,
            names,
            listeners,
            greetings,
            ends: BTreeMap::new(),
            candidates: Vec::new(),
            others: Vec::new(),
            expected: BTreeMap::new(),
            heard: BTreeMap::new(),
            closing: Vec::new(),
            unfenced: None,
            introductions: BTreeMap::new(),
        })
    }

    /// Does or expects one thing. `next` comes next on the same connection.
    fn take(&mut self, play: &Play, next: Option<&What>) -> Result<()> {
        let action = match &play.what {
            What::Recorded(action) => action,
            What::Happens(event) => return self.happen(*event),
        };
        match action {
            Action::Expect(heard) => self.expect(play, heard),
            Action::ExpectClose => {
                self.expect(play, &Heard { line: CLOSED.to_owned(), body: Vec::new() })?;
                self.closing.push(play.conn.clone());
                Ok(())
            }
            Action::ExpectCompressed => Ok(()),
            Action::Say(bytes) => {
                self.before(&play.conn)?;
                if self.open(play)? {
                    // It is the greeting.
                    return Ok(());
                }
                let live = self.names.live_bytes(bytes);
                let end = self.end(&play.conn)?;
                end.say(&live);
                if matches!(next, Some(What::Recorded(Action::ExpectCompressed))) {
                    end.compress();
                }
                self.remember(&play.conn, bytes);
                Ok(())
            }
            Action::SayCompressed(frames) => {
                self.before(&play.conn)?;
                self.say_compressed(&play.conn, frames)
            }
            Action::HangUp => {
                self.before("")?;
                let end = self.ends.remove(&play.conn).context("no such connection")?;
                self.unfenced.take_if(|conn| *conn == play.conn);
                self.part(&play.conn, end)
            }
        }
    }

    fn happen(&mut self, event: Event) -> Result<()> {
        self.before(UNRECORDED)?;
        match event {
            Event::Client(text) => {
                if !self.ends.contains_key(UNRECORDED) {
                    let mut end = self.dial(Kind::Client)?;
                    end.say(b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nPING\r\n");
                    end.has_ponged = true;
                    self.ends.insert(UNRECORDED.to_owned(), end);
                }
                self.end(UNRECORDED)?.say(text.as_bytes());
                self.fence("")
            }
            Event::Stop => {
                self.has_stopped = true;
                self.member.server.signal(Signal::TERM);
                Ok(())
            }
            Event::LameDuck => {
                self.member.server.signal(Signal::USR2);
                Ok(())
            }
            Event::Reload(cluster) => {
                let path = self.member.server.config_path();
                let config = fs::read_to_string(&path)?.replace("name: C\n", &format!("name: C\n  {cluster}\n"));
                fs::write(path, config)?;
                self.member.server.signal(Signal::HUP);
                Ok(())
            }
        }
    }

    fn expect(&mut self, play: &Play, heard: &Heard) -> Result<()> {
        if !self.ends.contains_key(&play.conn) || self.closing.contains(&play.conn) {
            self.before(&play.conn)?;
            self.open(play)?;
        }
        let heard = self.names.live_heard(heard);
        self.expected.entry(self.place(&play.conn)).or_default().push(heard);
        Ok(())
    }

    fn remember(&mut self, conn: &str, bytes: &[u8]) {
        if bytes.starts_with(b"INFO ") {
            self.introductions.insert(conn.to_owned(), String::from_utf8_lossy(bytes).into_owned());
        }
        self.unfenced = Some(conn.to_owned());
    }

    /// What must be before the script does something on a connection: the server has said its part, and has taken in what
    /// was said on another.
    fn before(&mut self, conn: &str) -> Result<()> {
        self.settle()?;
        self.fence(conn)
    }

    /// Makes sure that the server has taken in what was said last, unless it was said on this connection.
    fn fence(&mut self, conn: &str) -> Result<()> {
        let Some(last) = self.unfenced.take_if(|last| last != conn) else { return Ok(()) };
        let Some(end) = self.ends.get_mut(&last).filter(|end| end.has_ponged) else { return Ok(()) };
        end.say(b"PING\r\n");
        let place = self.place(&last);
        let limit = Instant::now() + self.patience;
        loop {
            self.listen()?;
            let heard = self.heard.entry(place.clone()).or_default();
            if let Some(pong) = heard.iter().position(|heard| heard.line == "PONG") {
                heard.remove(pong);
                return Ok(());
            }
            // What comes in place of the PONG is looked at next.
            if heard.iter().any(|heard| heard.line == CLOSED) {
                return Ok(());
            }
            ensure!(Instant::now() < limit, "no PONG on {last}, but {heard:?}");
            thread::sleep(PAUSE);
        }
    }

    /// Waits until the server has said all that was recorded so far.
    fn settle(&mut self) -> Result<()> {
        let limit = Instant::now() + self.patience;
        loop {
            self.listen()?;
            let missing = self.missing();
            if missing.is_empty() {
                break;
            }
            ensure!(
                Instant::now() < limit,
                "recorded, but did not come: {}\ncame: {}",
                list(&missing),
                list(&self.heard)
            );
            thread::sleep(PAUSE);
        }
        for (place, expected) in mem::take(&mut self.expected) {
            let heard = self.heard.entry(place).or_default();
            for expected in expected {
                let Some(place) = heard.iter().position(|heard| heard.plain() == expected.plain()) else { continue };
                heard.remove(place);
                // The way to the last word does not matter.
                if let Some(key) = interest(&expected) {
                    let mut index = 0..;
                    heard.retain(|heard| index.next() >= Some(place) || interest(heard).as_ref() != Some(&key));
                }
            }
        }
        for conn in mem::take(&mut self.closing) {
            let end = self.ends.remove(&conn).context("a connection that is closed")?;
            self.unfenced.take_if(|last| *last == conn);
            self.part(&conn, end)?;
        }
        Ok(())
    }

    /// What the server has not said yet of what was recorded. Of interest only the last word on each subject.
    fn missing(&self) -> BTreeMap<String, Vec<Heard>> {
        let mut all_missing = BTreeMap::new();
        for (place, expected) in &self.expected {
            let mut heard: Vec<String> = self.heard.get(place).into_iter().flatten().map(Heard::plain).collect();
            let is_missing = |(number, line): &(usize, &Heard)| {
                let is_outdated = || expected.iter().skip(number + 1).any(|later| interest(later) == interest(line));
                if interest(line).is_some() && is_outdated() {
                    return false;
                }
                let plain = line.plain();
                heard.iter().position(|heard| *heard == plain).map(|place| heard.swap_remove(place)).is_none()
            };
            let missing: Vec<Heard> =
                expected.iter().enumerate().filter(is_missing).map(|(_, line)| line.clone()).collect();
            if !missing.is_empty() {
                all_missing.insert(place.clone(), missing);
            }
        }
        all_missing
    }

    /// That the server said nothing but what was recorded.
    fn nothing_left(&mut self) -> Result<()> {
        self.listen()?;
        self.heard.retain(|_, heard| !heard.is_empty());
        ensure!(self.heard.is_empty(), "came, but was not recorded: {}", list(&self.heard));
        Ok(())
    }

    /// Hears what has come on all connections.
    fn listen(&mut self) -> Result<()> {
        for (_, end) in &mut self.candidates {
            end.listen()?;
        }
        for end in &mut self.others {
            end.listen()?;
        }
        let conns: Vec<String> = self.ends.keys().cloned().collect();
        for conn in conns {
            let end = self.end(&conn)?;
            end.listen()?;
            let heard = mem::take(&mut end.heard);
            if conn != UNRECORDED {
                let place = self.place(&conn);
                let heard = heard.into_iter().filter(|heard| !heard.is_of_the_system());
                self.heard.entry(place).or_default().extend(heard);
            }
        }
        Ok(())
    }

    /// Where what is said on a connection is kept.
    fn place(&self, conn: &str) -> String {
        if self.setting.any_route { "any".to_owned() } else { conn.to_owned() }
    }

    fn end(&mut self, conn: &str) -> Result<&mut End> {
        self.ends.get_mut(conn).with_context(|| format!("{conn} is not there"))
    }

    /// Dials or accepts a connection that is not there yet. Says whether it was the server who dialled, just now.
    fn open(&mut self, play: &Play) -> Result<bool> {
        if self.ends.contains_key(&play.conn) {
            return Ok(false);
        }
        let is_dialled = self.greetings.contains_key(&play.conn);
        let end = if is_dialled { self.accept(&play.conn)? } else { self.dial(play.kind)? };
        self.ends.insert(play.conn.clone(), end);
        if let Some(greeting) = self.greetings.get(&play.conn).cloned() {
            self.remember(&play.conn, &greeting);
        }
        Ok(is_dialled)
    }

    fn dial(&self, kind: Kind) -> Result<End> {
        let port = match kind {
            Kind::Route => self.member.seat.route,
            Kind::Client => self.member.seat.client,
        };
        End::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port))?, !self.setting.is_about_pings)
    }

    /// Accepts until a connection comes that is not for the system account alone.
    fn accept(&mut self, conn: &str) -> Result<End> {
        let greeting = self.names.live_bytes(self.greetings.get(conn).context("no greeting")?);
        let limit = Instant::now() + self.patience;
        loop {
            self.listen()?;
            let listener = self.listeners.iter().find(|(label, _)| conn.starts_with(label));
            let (label, listener) = listener.context("no listener")?;
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false)?;
                    let mut end = End::new(stream, !self.setting.is_about_pings)?;
                    end.say(&greeting);
                    self.candidates.push((label, end));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
                Err(error) => return Err(error).context("accepting"),
            }
            // The first thing is CONNECT; the second one tells what the connection is for.
            let has_told = |(of, end): &(&str, End)| of == label && end.heard.len() > 1;
            if let Some(place) = self.candidates.iter().position(has_told) {
                let (_, end) = self.candidates.remove(place);
                if !end.heard.iter().any(is_for_the_system) {
                    return Ok(end);
                }
                self.others.push(end);
            }
            ensure!(Instant::now() < limit, "the server does not dial");
        }
    }

    /// Closes a connection, and waits until the server has no such route any more: the next one may be of the same peer.
    fn part(&self, conn: &str, end: End) -> Result<()> {
        let port = end.port()?;
        drop(end);
        if self.has_stopped || self.greetings.contains_key(conn) {
            return Ok(());
        }
        let is_gone = || {
            let routez = self.member.json("/routez").ok()?;
            let routes = routez["routes"].as_array().cloned().unwrap_or_default();
            routes.iter().all(|route| route["port"] != port).then_some(())
        };
        poll_until(self.patience, is_gone).with_context(|| format!("{conn} is closed, but the server still has it"))
    }

    fn say_compressed(&mut self, conn: &str, frames: &Frames) -> Result<()> {
        let plain = frames.plain(self.introductions.get(conn).map(String::as_str))?;
        let live = self.names.live(&plain);
        let end = self.end(conn)?;
        end.compress();
        match plain.as_str() {
            // The end answers PINGs itself.
            "PONG\r\n" => return Ok(()),
            _ if frames.is_whole() => end.say_as_it_is(&frames.bytes),
            _ => end.say(live.as_bytes()),
        }
        self.remember(conn, plain.as_bytes());
        Ok(())
    }
}

/// What a word of interest is about: the account, the subject and the group.
fn interest(heard: &Heard) -> Option<String> {
    let words: Vec<&str> = heard.line.split(' ').collect();
    match words.as_slice() {
        ["RS+", key @ .., _weight] if key.len() > 1 => Some(key.join(" ")),
        ["RS+" | "RS-", key @ ..] => Some(key.join(" ")),
        _ => None,
    }
}

fn list(heard: &BTreeMap<String, Vec<Heard>>) -> String {
    let lines = heard.iter().flat_map(|(place, heard)| heard.iter().map(move |heard| (place, heard)));
    lines.map(|(place, heard)| format!("\n  {place}: {}", heard.plain())).collect()
}

fn start(setting: &Setting, kind: Program, seat: Seat, cluster: &str) -> Result<Member> {
    let other = format!("server_name: {}\n{}", setting.server_name, setting.other);
    let server = kind.server().without_listen_flags().config(seat.config(cluster, &other)).try_start()?;
    server.wait_for_log("Listening for route connections on ");
    Ok(Member { kind, seat, server })
}
