//! What is played of a recording, in which order: its steps, and what happens beside them.

use std::collections::BTreeSet;
use std::fmt;

use pinmesh_harness::Heard;

use crate::recording::{Action, Kind, Recording, Step};
use crate::settings::{Event, Setting};

/// The label of the client that was not recorded.
pub const UNRECORDED: &str = "(client)";

/// A step of the recording, or something that happens beside it.
pub struct Play {
    pub conn: String,
    pub kind: Kind,
    /// Milliseconds since the scenario began.
    pub at: f64,
    pub what: What,
}

pub enum What {
    Recorded(Action),
    Happens(Event),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Recorded(Action::Say(bytes)) => write!(f, "{:.80}", bytes.escape_ascii().to_string()),
            What::Recorded(Action::Expect(heard)) => write!(f, "{:.80} is expected", heard.line),
            What::Recorded(Action::SayCompressed(_)) => f.write_str("something compressed"),
            What::Recorded(other) => write!(f, "{other:?}"),
            What::Happens(event) => write!(f, "{event:?}"),
        }
    }
}

/// The steps of a recording and the events of its setting, without what is not compared.
pub fn plays(setting: &Setting, recording: &Recording) -> Vec<Play> {
    let of_system = connections_of_the_system(setting, &recording.steps);
    let is_played = |step: &&Step| {
        let is_left_out = match &step.action {
            Action::Expect(heard) => heard.is_of_the_system() || (heard.line == "PING" && !setting.is_about_pings),
            Action::Say(bytes) => bytes == b"PONG\r\n",
            _ => false,
        };
        !is_left_out && !of_system.contains(step.conn.as_str())
    };
    let recorded = recording.steps.iter().filter(is_played).map(|step| Play {
        conn: step.conn.clone(),
        kind: step.kind,
        at: step.at,
        what: What::Recorded(step.action.clone()),
    });
    let mut plays: Vec<Play> = recorded.collect();
    for &label in setting.dialled {
        welcome(&mut plays, label);
    }
    for &(at, event) in &setting.events {
        let place = plays.iter().position(|play| play.at > at).unwrap_or(plays.len());
        let what = What::Happens(event);
        plays.insert(place, Play { conn: UNRECORDED.to_owned(), kind: Kind::Client, at, what });
    }
    // Who was recorded could not see who of the two closed.
    let stop = plays.iter().position(|play| matches!(play.what, What::Happens(Event::Stop)));
    for play in plays.iter_mut().skip(stop.unwrap_or(usize::MAX)) {
        if let What::Recorded(action @ Action::HangUp) = &mut play.what {
            *action = Action::ExpectClose;
        }
    }
    // At the end the recorder left, and took the server with it.
    while plays.pop_if(|play| matches!(play.what, What::Recorded(Action::HangUp))).is_some() {}
    plays
}

/// Connections that the server dials begin with what tells what they are for: its CONNECT, the script's INFO, and the
/// server's answer to that, in whatever order they were recorded.
fn welcome(plays: &mut [Play], label: &str) {
    let conns: BTreeSet<String> =
        plays.iter().map(|play| &play.conn).filter(|conn| conn.starts_with(label)).cloned().collect();
    for conn in conns {
        let is_greeting = |play: &Play| play.conn == conn && matches!(play.what, What::Recorded(Action::Say(_)));
        let is_answer = |play: &Play| {
            play.conn == conn
                && matches!(&play.what, What::Recorded(Action::Expect(heard)) if !heard.line.starts_with("CONNECT "))
        };
        for is_wanted in [&is_answer as &dyn Fn(&Play) -> bool, &is_greeting] {
            let first = plays.iter().position(|play| play.conn == conn);
            let wanted = plays.iter().position(is_wanted);
            if let (Some(first), Some(wanted)) = (first, wanted) {
                plays[first..=wanted].rotate_right(1);
            }
        }
    }
}

/// The connections for the system account alone among those that the server dials.
fn connections_of_the_system<'a>(setting: &Setting, steps: &'a [Step]) -> BTreeSet<&'a str> {
    let is_dialled = |step: &&Step| setting.dialled.iter().any(|label| step.conn.starts_with(label));
    let tells = |step: &&Step| matches!(&step.action, Action::Expect(heard) if is_for_the_system(heard));
    steps.iter().filter(is_dialled).filter(tells).map(|step| step.conn.as_str()).collect()
}

/// Whether the server says this only where it wants a connection for the system account alone.
pub fn is_for_the_system(heard: &Heard) -> bool {
    let names_account = || heard.object().is_some_and(|info| info.contains_key("route_account"));
    heard.line.starts_with("-ERR 'Not possible to have a dedicated route")
        || (heard.line.starts_with("INFO ") && names_account())
}
