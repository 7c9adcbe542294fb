//! Signals: what each of them means, and the dump for those who ask a hung server what it does.

use std::fmt::Write as _;
use std::fs;
use std::io;

use signal_hook::consts::{SIGABRT, SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::Signals;

use crate::program::Program;

/// What a signal asks the server to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// End.
    Shutdown,
    /// Read the configuration again.
    Reload,
    /// Open the log file again.
    ReopenLog,
    /// Send the clients away, then end.
    LameDuck,
    /// Tell what the process does, and end at once.
    Dump,
}

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trapped {
    /// What it asks for.
    pub action: Action,
    /// Its name in log lines.
    pub name: &'static str,
}

/// The signals that the server answers to; from here on they end nothing by themselves.
pub fn trap() -> io::Result<Signals> {
    // The last two are taken so that they do nothing; SIGPIPE is ignored by the runtime.
    Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT, SIGABRT, SIGALRM, SIGWINCH])
}

/// What a signal number means; `None`: nothing.
pub fn meaning(signal: i32) -> Option<Trapped> {
    let (action, name) = match signal {
        SIGINT => (Action::Shutdown, "interrupt"),
        SIGTERM => (Action::Shutdown, "terminated"),
        SIGHUP => (Action::Reload, "hangup"),
        SIGUSR1 => (Action::ReopenLog, "user defined signal 1"),
        SIGUSR2 => (Action::LameDuck, "user defined signal 2"),
        SIGQUIT => (Action::Dump, "SIGQUIT: quit"),
        SIGABRT => (Action::Dump, "SIGABRT: abort"),
        _ => return None,
    };
    Some(Trapped { action, name })
}

/// What the process does right now: every thread with its state, its CPU time and where it waits.
pub fn dump(program: &Program, cause: &str) -> String {
    let mut text = format!("{cause}\n{} v{}, pid {}\n", program.name, program.version, std::process::id());
    text.push_str("thread  state  ticks user/system  waits in             name\n");
    for (id, thread) in threads().unwrap_or_default() {
        let Thread { name, state, user, system, waits_in } = thread;
        let _ = writeln!(text, "{id:>6}  {state:<5}  {:<17}  {waits_in:<19}  {name}", format!("{user}/{system}"));
    }
    text
}

struct Thread {
    name: String,
    state: String,
    user: String,
    system: String,
    waits_in: String,
}

fn threads() -> io::Result<Vec<(u32, Thread)>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir("/proc/self/task")? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let waits_in = fs::read_to_string(entry.path().join("wchan")).unwrap_or_default();
        if let Some(thread) = thread(&stat, waits_in) {
            threads.push((id, thread));
        }
    }
    threads.sort_unstable_by_key(|(id, _)| *id);
    Ok(threads)
}

/// Reads the kernel's line about a thread: the name in parentheses, the state right after, the times further on.
fn thread(stat: &str, waits_in: String) -> Option<Thread> {
    let (front, fields) = stat.rsplit_once(") ")?;
    let (_, name) = front.split_once('(')?;
    let mut fields = fields.split(' ').map(str::to_owned);
    let state = fields.next()?;
    let user = fields.nth(10)?;
    let system = fields.next()?;
    Some(Thread { name: name.to_owned(), state, user, system, waits_in })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dump_shows_this_thread() {
        std::thread::Builder::new()
            .name("odd (name) 1".to_owned())
            .spawn(|| {
                let text = dump(&Program::from_argv0(None), "SIGQUIT: quit");
                assert!(text.starts_with("SIGQUIT: quit\npinmesh v"), "{text}");
                assert!(text.lines().any(|line| line.ends_with("  odd (name) 1")), "{text}");
            })
            .unwrap()
            .join()
            .unwrap();
    }

    #[test]
    fn reads_the_kernels_fields() {
        let stat = "12 (a) b) S 1 12 12 0 -1 4194560 100 0 0 0 7 9 0 0 20 0 3 0 1";
        let thread = thread(stat, String::new()).unwrap();
        assert_eq!((thread.name.as_str(), thread.state.as_str()), ("a) b", "S"));
        assert_eq!((thread.user.as_str(), thread.system.as_str()), ("7", "9"));
    }
}
