//! `--signal <command>[=<pid, pid file or pattern>]`: finds a running server and tells it what to do.

use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::go_text;

/// Why no signal was sent, or not to everybody.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// More than one `=`; the rest is shown.
    #[error("invalid signal parameters: [{0}]")]
    Parameters(String),
    /// Not a command.
    #[error("unknown signal {}", go_text::quote(.0))]
    Command(String),
    /// Not the number of a process.
    #[error("invalid pid: {0}")]
    Pid(String),
    /// Nobody there.
    #[error("no {0} processes running")]
    NoProcess(String),
    /// More than one there, and no word which.
    #[error("multiple {name} processes running:\n{}", lines(.pids))]
    Several {
        /// The program's name.
        name: String,
        /// The processes.
        pids: Vec<i64>,
    },
    /// The kernel refused, once per process.
    #[error("{}", .0.concat())]
    Kill(Vec<String>),
    /// The list of processes cannot be read.
    #[error("unable to resolve pid, try providing one")]
    Search,
}

fn lines(pids: &[i64]) -> String {
    pids.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Obeys the value of `--signal`. `program` is the name of the processes that are meant when no pid is given.
pub fn send(parameter: &str, program: &str) -> Result<(), SignalError> {
    let mut parts = parameter.split('=');
    let command = parts.next().unwrap_or_default();
    let target = parts.next().map(read_if_file).unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    if !rest.is_empty() {
        return Err(SignalError::Parameters(rest.join(" ")));
    }

    let pids = targets(&target, program)?;
    let signal = signal_of(command)?;
    let failures: Vec<String> = pids
        .into_iter()
        .filter_map(|pid| {
            // No process has a number that is too large for the kernel.
            let process = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH);
            let error = process.and_then(|process| kill_process(process, signal)).err()?;
            Some(format!("\nsignal {} {pid}: {}", go_text::quote(command), go_text::os_error(&error.into())))
        })
        .collect();
    if failures.is_empty() { Ok(()) } else { Err(SignalError::Kill(failures)) }
}

/// A pid file's content stands for its name.
fn read_if_file(target: &str) -> String {
    fs::read_to_string(target).unwrap_or_else(|_| target.to_owned())
}

/// The processes meant by a number, a pattern like `12*`, or nothing.
fn targets(target: &str, program: &str) -> Result<Vec<i64>, SignalError> {
    let prefix = match target.strip_suffix('*') {
        Some(prefix) => Some(prefix),
        None if target.is_empty() => None,
        // Zero and negative numbers would mean groups of processes.
        None => {
            return match target.parse::<i64>() {
                Ok(pid) if pid > 0 => Ok(vec![pid]),
                _ => Err(SignalError::Pid(target.to_owned())),
            };
        }
    };
    let running = processes(program).map_err(|_| SignalError::Search)?;
    match (running.as_slice(), prefix) {
        ([], _) => Err(SignalError::NoProcess(program.to_owned())),
        ([_, _, ..], None) => Err(SignalError::Several { name: program.to_owned(), pids: running }),
        (_, prefix) => {
            let prefix = prefix.unwrap_or_default();
            Ok(running.into_iter().filter(|pid| pid.to_string().starts_with(prefix)).collect())
        }
    }
}

/// Other processes of this name, in the order of their numbers.
fn processes(program: &str) -> io::Result<Vec<i64>> {
    /// The kernel keeps this much of a process's name.
    const KEPT: usize = 15;
    let kept = program.as_bytes().get(..KEPT).unwrap_or(program.as_bytes());
    let own = i64::from(std::process::id());
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i64>().ok()) else { continue };
        // A process may end while we look.
        let Ok(name) = fs::read(entry.path().join("comm")) else { continue };
        if pid != own && name.strip_suffix(b"\n").unwrap_or(&name) == kept {
            pids.push(pid);
        }
    }
    pids.sort_unstable();
    Ok(pids)
}

fn signal_of(command: &str) -> Result<Signal, SignalError> {
    match command {
        "stop" => Ok(Signal::KILL),
        "quit" => Ok(Signal::INT),
        "term" => Ok(Signal::TERM),
        "reopen" => Ok(Signal::USR1),
        "reload" => Ok(Signal::HUP),
        "ldm" => Ok(Signal::USR2),
        _ => Err(SignalError::Command(command.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(parameter: &str) -> String {
        send(parameter, "no-such-program").map_or_else(|error| error.to_string(), |()| "sent".to_owned())
    }

    #[test]
    fn words_errors_like_the_reference() {
        assert_eq!(failure("reload=1=2=3"), "invalid signal parameters: [2 3]");
        assert_eq!(failure("reload=abc"), "invalid pid: abc");
        assert_eq!(failure("foo"), "no no-such-program processes running");
        assert_eq!(failure("foo=123"), "unknown signal \"foo\"");
        assert_eq!(failure("reload=2147483647"), "\nsignal \"reload\" 2147483647: no such process");
    }

    #[test]
    fn never_means_a_group() {
        for parameter in ["stop=0", "stop=-1", "stop=-123"] {
            assert!(failure(parameter).starts_with("invalid pid: "), "{parameter}");
        }
    }

    #[test]
    fn a_pid_file_must_hold_the_bare_number() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "2147483647\n").unwrap();
        assert_eq!(failure(&format!("reload={}", file.path().display())), "invalid pid: 2147483647\n");
    }
}
