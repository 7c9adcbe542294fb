//! The log file against the reference: appending, rotating, reopening, and staying out of the way.

mod both_names;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use both_names::{Place, normalised};
use pinmesh_harness::{DEADLINE, Server, Side, Signal, eventually, poll_until};

/// Starts a server of this side, called `nats-server`, that logs to a file in a place that outlives it.
fn start(place: &Place, side: Side, arguments: &[&str]) -> Server {
    let file = log_file(place, side);
    side.server().program(place.nats_server(side)).arg("-l").arg(&file).args(arguments).log_file(file).start()
}

fn log_file(place: &Place, side: Side) -> PathBuf {
    place.path().join(format!("{side}.log"))
}

#[test]
fn a_log_file_takes_everything_and_is_appended_to() {
    let logs = Side::BOTH.map(|side| {
        let place = Place::new();
        let file = log_file(&place, side);
        let mut server = start(&place, side, &[]);
        server.terminate();
        server.restart();
        server.terminate();
        let stderr = fs::read_to_string(server.dir().join("server.log")).expect("standard error");
        assert_eq!(stderr, "", "{side}");
        assert_eq!(fs::metadata(&file).expect("the log").permissions().mode() & 0o777, 0o640, "{side}");
        normalised(&fs::read_to_string(file).expect("the log"))
    });
    assert_eq!(logs[0], logs[1]);
    assert_eq!(logs[0].matches("Server is ready").count(), 2);
    assert_eq!(logs[0].matches("Server Exiting..").count(), 2);
}

#[test]
fn reopens_a_file_that_was_moved_away() {
    let logs = Side::BOTH.map(|side| {
        let place = Place::new();
        let mut server = start(&place, side, &[]);
        let (file, moved) = (log_file(&place, side), place.path().join("moved.log"));
        fs::rename(&file, &moved).expect("the log can be moved");
        server.signal(Signal::USR1);
        server.wait_for_log("File log re-opened");
        server.terminate();
        [moved, file].map(|path| normalised(&fs::read_to_string(path).expect("a log")))
    });
    assert_eq!(logs[0], logs[1]);
    let [old, new] = &logs[0];
    assert!(old.ends_with("[INF] Trapped \"user defined signal 1\" signal\n"), "{old}");
    assert!(new.starts_with("[PID] 0000/00/00 00:00:00.000000 [INF] File log re-opened\n"), "{new}");
}

/// The messages of all log files together, oldest first, without the lines about rotation.
fn messages(place: &Place) -> (usize, Vec<String>) {
    let entries = fs::read_dir(place.path()).expect("the directory");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.to_string_lossy().contains(".log"));
    // The live file has the shortest name and the youngest lines.
    files.sort_by_key(|path| (path.extension() == Some("log".as_ref()), path.clone()));
    let text: String = files.iter().map(|path| fs::read_to_string(path).expect("a log")).collect();
    let lines = normalised(&text.replace('\r', ""));
    let is_rotation =
        |line: &&str| line.contains("Rotated log") || line.contains("Purged log") || line.contains("Rotating log");
    (files.len(), lines.lines().filter(|line| !is_rotation(line)).map(str::to_owned).collect())
}

/// Makes a server log many lines, one signal after the other.
fn log_a_lot(place: &Place, server: &Server) {
    for sent in 1..=40 {
        server.signal(Signal::HUP);
        eventually("the line of the signal", || {
            let trapped = messages(place).1.iter().filter(|line| line.contains("Trapped \"hangup\"")).count();
            (trapped >= sent).then_some(())
        });
    }
}

#[test]
fn rotates_without_losing_a_line() {
    let results = Side::BOTH.map(|side| {
        let place = Place::new();
        let mut server = start(&place, side, &["--log_size_limit", "2000"]);
        log_a_lot(&place, &server);
        server.terminate();
        messages(&place)
    });
    let [(our_files, ours), (their_files, theirs)] = results;
    assert_eq!(ours, theirs);
    assert!(our_files > 2 && their_files > 2, "{our_files} and {their_files} files");
}

#[test]
fn keeps_as_many_files_as_asked_for() {
    for side in Side::BOTH {
        let place = Place::new();
        let file = log_file(&place, side);
        let config = format!("log_file: '{}'\nlog_size_limit: 2000\nlog_max_num: 3\n", file.display());
        let mut server = side.server().program(place.nats_server(side)).config(config).log_file(&file).start();
        for _ in 0..40 {
            let before = fs::read_to_string(&file).unwrap_or_default();
            server.signal(Signal::HUP);
            eventually("a new line", || (fs::read_to_string(&file).ok()? != before).then_some(()));
        }
        server.terminate();
        assert_eq!(messages(&place).0, 3, "{side}");
    }
}

#[test]
fn puts_a_file_aside_that_is_too_large_already() {
    for side in Side::BOTH {
        let place = Place::new();
        let file = log_file(&place, side);
        fs::write(&file, "x".repeat(3000)).expect("a large log");
        let mut server = start(&place, side, &["--log_size_limit", "2000"]);
        server.terminate();
        let (files, _) = messages(&place);
        assert_eq!(files, 2, "{side}");
        let log = fs::read_to_string(file).expect("the log");
        assert!(log.contains("Rotated log, backup saved as \"") && !log.contains("xxx"), "{side}: {log}");
    }
}

/// What a client of an ordinary life sends.
const WELL_BEHAVED: &str = concat!(
    r#"CONNECT {"verbose":false,"lang":"x","version":"1.2","name":"n","user":"u","pass":"p","headers":true}"#,
    "\r\nSUB a.* 1\r\nSUB b q 2\r\nPUB a.b 5\r\nh\"llo\r\n",
    "HPUB b 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\nPUB c 0\r\n\r\nUNSUB 1 1\r\nUNSUB 2\r\nPING\r\n",
);

/// Sends lines as one client, waits for the answer, goes, and returns what the log says about it.
fn logged(side: Side, arguments: &[&str], lines: &str, answer: &str) -> Vec<String> {
    let place = Place::new();
    let mut server = side.server().program(place.nats_server(side)).args(arguments).start();
    let mut stream = TcpStream::connect(server.address()).expect("the server listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time limit");
    stream.write_all(lines.as_bytes()).expect("the server takes it");
    let mut answers = BufReader::new(stream).lines().map_while(Result::ok);
    assert!(answers.any(|line| line.starts_with(answer)), "closed without {answer}");
    drop(answers);
    if arguments.iter().any(|argument| argument.starts_with("-D")) {
        server.wait_for_log("Client connection closed: ");
    }
    server.terminate();
    let lines = connection_lines(&server.log());
    assert!(!lines.is_empty(), "no line about the client: {}", server.log());
    lines
}

/// The lines about connections, without the client's port and its number: how many internal clients come before it
/// differs from start to start of the reference.
fn connection_lines(log: &str) -> Vec<String> {
    let lines = normalised(log);
    lines
        .lines()
        .filter_map(|line| {
            let (front, rest) = line.split_once("127.0.0.1:")?;
            let (_, message) = rest.split_once(" - cid:")?;
            Some(format!("{front}{}", message.trim_start_matches(|c: char| c.is_ascii_digit())))
        })
        .collect()
}

#[test]
fn logs_connections_like_the_reference() {
    for arguments in [&["-DV"][..], &["-D"], &["-V"], &["-DV", "--max_traced_msg_len", "3"]] {
        let [ours, theirs] = Side::BOTH.map(|side| logged(side, arguments, WELL_BEHAVED, "PONG"));
        assert_eq!(ours, theirs, "{arguments:?}");
    }
}

#[test]
fn logs_errors_of_clients_like_the_reference() {
    for lines in ["CONNECT {\"pedantic\":true}\r\nPUB a..b 1\r\nx\r\nSUB a. 1\r\nPUB a x\r\n", "PUB a 2000000\r\n"] {
        let [ours, theirs] = Side::BOTH.map(|side| logged(side, &["-D"], lines, "-ERR"));
        assert_eq!(ours, theirs, "{lines:?}");
    }
}

#[test]
fn a_log_that_nobody_reads_stalls_nobody() {
    let place = Place::new();
    let mut child = Command::new(Side::Ours.program())
        .args(["-a", "127.0.0.1", "-p", "-1", "-DV", "--ports_file_dir", "."])
        .current_dir(place.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let ports = place.path().join(format!("pinmesh_{}.ports", child.id()));
    let text = eventually("the ports file", || fs::read_to_string(&ports).ok());
    let port: u16 =
        text.trim_end_matches("\"]}").rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");

    // Much more than the pipe holds, and more lines than may wait.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time limit");
    stream.write_all(b"CONNECT {\"verbose\":false}\r\n").expect("the server takes it");
    for _ in 0..100 {
        stream.write_all("PUB a 1\r\nx\r\n".repeat(1000).as_bytes()).expect("the server takes it");
    }
    stream.write_all(b"PING\r\n").expect("the server takes it");
    let answered = BufReader::new(stream).lines().map_while(Result::ok).any(|line| line == "PONG");

    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).expect("a signal");
    let ended = poll_until(DEADLINE, || child.try_wait().ok().flatten());
    let _ = child.kill();
    let _ = child.wait();
    assert!(answered, "no PONG");
    assert_eq!(ended.and_then(|status| status.code()), Some(0));
}
