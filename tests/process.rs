//! The life of the process against the reference: start, signals, files that others watch, and the end.

mod both_names;
mod runs;

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;

use both_names::{Place, normalised};
use pinmesh_harness::{Builder, Side, Signal, eventually};
use runs::run;

/// A server of this side that will be called `nats-server`.
fn nats_server(place: &Place, side: Side) -> Builder {
    side.server().program(place.nats_server(side))
}

/// The log from start to end, with `arguments`, ended by `signal`. The port for routes is the last thing that servers open.
fn life(side: Side, arguments: &[&str], signal: Signal) -> String {
    let place = Place::new();
    let mut server = nats_server(&place, side).args(arguments).start();
    if arguments.iter().any(|&argument| matches!(argument, "--cluster" | "--cluster_listen")) {
        server.wait_for_log("Listening for route connections");
    }
    server.signal(signal);
    assert_eq!(server.wait().code(), Some(0), "{side} {arguments:?}");
    normalised(&server.log())
}

#[test]
fn logs_its_life_like_the_reference() {
    for arguments in [
        &[][..],
        &["-D"],
        &["-DV"],
        &["-T=false"],
        &["--logtime_utc"],
        &["-n", "A", "--user", "u", "--pass", "p"],
        &["--client_advertise", "example.org:4222"],
        &["--cluster", "nats://127.0.0.1:-1"],
        &["--cluster", "nats://u:p@localhost:-1", "--cluster_name", "test-cluster"],
        &["--cluster_listen", "nats://:-1", "--cluster_name", "C", "--cluster_advertise", "example.org"],
        &["--cluster_name", "C", "--no_advertise", "--connect_retries", "5"],
    ] {
        assert_eq!(
            life(Side::Ours, arguments, Signal::TERM),
            life(Side::Reference, arguments, Signal::TERM),
            "{arguments:?}"
        );
    }
    assert_eq!(life(Side::Ours, &[], Signal::INT), life(Side::Reference, &[], Signal::INT));
}

#[test]
fn says_how_many_shards_run_where() {
    let line_before_listening = |arguments: &[&str]| {
        let log = Side::Ours.server().args(arguments).start().log();
        let lines: Vec<&str> = log.lines().collect();
        let listening = lines.iter().position(|line| line.contains("Listening for client connections"));
        lines[listening.expect("the server listens") - 1].to_owned()
    };
    let line = line_before_listening(&["--shards", "3", "--pin", "off"]);
    assert!(line.ends_with("[INF] 3 shards, not pinned to cores"), "{line}");
    let cores = core_affinity::get_core_ids().expect("the cores of this process");
    let first = cores.first().expect("a core").id.to_string();
    let line = line_before_listening(&["--pin", &first]);
    assert!(line.ends_with(&format!("[INF] 1 shard on core {first}")), "{line}");
}

#[test]
fn pinned_shards_stay_on_their_core() {
    let cores = core_affinity::get_core_ids().expect("the cores of this process");
    let last = cores.last().expect("a core").id.to_string();
    let server = Side::Ours.server().args(["--pin", &last]).start();
    let allowed = |name: &str| {
        let mut threads = fs::read_dir(format!("/proc/{}/task", server.pid())).ok()?;
        threads.find_map(|thread| {
            let status = fs::read_to_string(thread.ok()?.path().join("status")).ok()?;
            let field =
                |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim().to_owned());
            field("Cpus_allowed_list:").filter(|_| field("Name:").is_some_and(|found| found == name))
        })
    };
    eventually("the shard on its core", || (allowed("shard-0")? == last).then_some(()));
    assert_eq!(allowed("log").is_some_and(|list| list == last), cores.len() == 1, "only shards are pinned");
}

#[test]
fn a_core_that_cannot_be_had_is_a_warning() {
    let server = Side::Ours.server().args(["--shards", "2", "--pin", "1023"]).start();
    let log = server.log();
    assert!(log.contains("[WRN] Cannot pin shards to core 1023: this process may use core"), "{log}");
    assert!(log.contains("[INF] 2 shards, not pinned to cores"), "{log}");
}

#[test]
fn signals_end_the_process_with_the_references_codes() {
    for side in Side::BOTH {
        for (signal, code) in [
            (Signal::INT, Some(0)),
            (Signal::TERM, Some(0)),
            (Signal::QUIT, Some(2)),
            (Signal::ABORT, Some(2)),
            (Signal::KILL, None),
        ] {
            let mut server = side.server().start();
            server.signal(signal);
            let status = server.wait();
            assert_eq!(status.code(), code, "{side} {signal:?}");
            if code.is_none() {
                assert_eq!(status.signal(), Some(9));
            }
        }
    }
}

#[test]
fn quit_tells_what_the_process_did() {
    let mut server = Side::Ours.server().args(["--shards", "2"]).start();
    server.signal(Signal::QUIT);
    server.wait();
    let log = server.log();
    assert!(log.contains("SIGQUIT: quit\npinmesh v"), "{log}");
    assert!(log.lines().any(|line| line.ends_with("  log")), "the writer thread is missing: {log}");
}

#[test]
fn other_signals_leave_the_server_running() {
    for side in Side::BOTH {
        let mut server = side.server().start();
        for signal in [Signal::PIPE, Signal::ALARM, Signal::WINCH, Signal::HUP, Signal::USR1] {
            server.signal(signal);
        }
        server.wait_for_log("Trapped \"user defined signal 1\" signal");
        server.wait_for_log("File log re-open ignored, not a file logger");
        server.wait_for_log(
            "[ERR] Failed to reload server configuration: \
             can only reload config when a file is provided using -c or --config",
        );
        assert_eq!(server.terminate().code(), Some(0), "{side}");
    }
}

#[test]
fn what_is_missing_says_so() {
    let mut server = Side::Ours.server().start();
    server.signal(Signal::USR2);
    server.wait_for_log("[ERR] Lame duck mode is not supported yet");
    assert!(server.ended().is_none());
}

#[test]
fn the_pid_file_holds_the_bare_number_and_stays() {
    for side in Side::BOTH {
        let mut server = side.server().args(["-P", "server.pid"]).start();
        let path = server.dir().join("server.pid");
        assert_eq!(fs::read_to_string(&path).expect("a pid file"), server.pid().to_string(), "{side}");
        assert_eq!(fs::metadata(&path).expect("a pid file").permissions().mode() & 0o777, 0o600, "{side}");
        server.terminate();
        assert!(path.exists(), "{side}");
    }
}

#[test]
fn the_ports_file_has_the_programs_name_and_goes_at_the_end() {
    let place = Place::new();
    for side in Side::BOTH {
        let mut server = nats_server(&place, side).args(["--ports_file_dir", "."]).start();
        let path = server.dir().join(format!("nats-server_{}.ports", server.pid()));
        let text = eventually("the ports file", || fs::read_to_string(&path).ok().filter(|text| text.ends_with('}')));
        assert_eq!(text, format!(r#"{{"nats":["nats://127.0.0.1:{}"]}}"#, server.port()), "{side}");
        server.terminate();
        assert!(!path.exists(), "{side}");
    }
}

#[test]
fn the_ports_file_lists_every_address_of_a_wildcard() {
    let cluster = |url: &'static str| ["-p", "-1", "-m", "-1", "-cluster", url];
    for arguments in
        [&["-p", "-1"][..], &cluster("nats://:-1"), &cluster("nats://localhost:-1"), &cluster("nats://[::1]:-1")]
    {
        let [ours, theirs] = Side::BOTH.map(|side| {
            let server = side.server().without_listen_flags().args(arguments).args(["--ports_file_dir", "."]).start();
            let text = eventually("the ports file", || {
                let mut files = fs::read_dir(server.dir()).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
                let file = files.find(|path| path.extension() == Some("ports".as_ref()))?;
                fs::read_to_string(file).ok().filter(|text| text.ends_with('}'))
            });
            let words = text
                .split([',', '{', '}', '[', ']'])
                .map(|word| word.trim_end_matches(|c: char| c == '"' || c.is_ascii_digit()));
            let mut words: Vec<String> = words.map(str::to_owned).collect();
            words.sort_unstable();
            words
        });
        assert_eq!(ours, theirs, "{arguments:?}");
    }
}

#[test]
fn every_address_means_ipv6_too() {
    for side in Side::BOTH {
        let server = side.server().without_listen_flags().args(["-p", "-1"]).start();
        for host in ["127.0.0.1", "::1"] {
            TcpStream::connect((host, server.port())).unwrap_or_else(|error| panic!("{side}, {host}: {error}"));
        }
    }
}

#[test]
fn a_ports_file_that_cannot_be_written_is_an_error_line() {
    let logs = Side::BOTH.map(|side| {
        let place = Place::new();
        let mut server = nats_server(&place, side).args(["--ports_file_dir", "nowhere"]).start();
        server.wait_for_log("Error writing ports file");
        server.terminate();
        normalised(&server.log()).replace(&server.pid().to_string(), "PID")
    });
    assert_eq!(logs[0], logs[1]);
}

#[test]
fn a_port_in_use_is_fatal() {
    let place = Place::new();
    let running = Side::Reference.server().start();
    let port = running.port().to_string();
    let logs = Side::BOTH.map(|side| {
        let finished = nats_server(&place, side).without_listen_flags().args(["-a", "127.0.0.1", "-p", &port]).run();
        assert_eq!(finished.status.code(), Some(1));
        assert_eq!(finished.stdout, "");
        normalised(&finished.stderr)
    });
    assert_eq!(logs[0], logs[1]);
    assert!(logs[0].contains("[FTL] Error listening on port"), "{}", logs[0]);
}

#[test]
fn a_port_for_routes_in_use_is_fatal() {
    let place = Place::new();
    let running = Side::Reference.server().start();
    let cluster = format!("nats://127.0.0.1:{}", running.port());
    let lines = Side::BOTH.map(|side| {
        let finished = nats_server(&place, side).args(["-cluster", &cluster, "-cluster_name", "C"]).run();
        assert_eq!(finished.status.code(), Some(1));
        normalised(&finished.stderr).lines().last().map(str::to_owned)
    });
    assert_eq!(lines[0], lines[1]);
    assert!(lines[0].as_ref().is_some_and(|line| line.contains("Error listening on router port")), "{lines:?}");
}

#[test]
fn a_second_server_of_ours_does_not_share_the_port() {
    let running = Side::Ours.server().start();
    let port = running.port().to_string();
    let finished = Side::Ours.server().without_listen_flags().args(["-a", "127.0.0.1", "-p", &port]).run();
    assert_eq!(finished.status.code(), Some(1));
    assert!(finished.stderr.contains("bind: address already in use"), "{}", finished.stderr);
}

#[test]
fn a_restart_gets_the_same_port_at_once() {
    let mut server = Side::Ours.server().start();
    let port = server.port();
    server.restart();
    assert_eq!(server.port(), port);
}

/// Runs `program --signal parameter`; exit code and standard error.
fn signal(place: &Place, program: &std::path::Path, parameter: &str) -> (Option<i32>, String) {
    let outcome = run(place.path(), program, &["--signal".to_owned(), parameter.to_owned()]);
    assert_eq!(outcome.stdout, "");
    (outcome.exit_code, outcome.stderr)
}

#[test]
fn the_signal_flag_reaches_a_pid_and_a_pid_file() {
    let place = Place::new();
    for sender in Side::BOTH {
        for receiver in Side::BOTH {
            let sent = |parameter: String| {
                assert_eq!(signal(&place, &place.nats_server(sender), &parameter), (Some(0), String::new()));
            };
            let mut server = receiver.server().args(["-P", "server.pid"]).start();
            let pid_file = server.dir().join("server.pid");
            sent(format!("reopen={}", server.pid()));
            server.wait_for_log("Trapped \"user defined signal 1\" signal");
            sent(format!("reload={}", pid_file.display()));
            server.wait_for_log("Trapped \"hangup\" signal");
            sent(format!("quit={}", pid_file.display()));
            assert_eq!(server.wait().code(), Some(0));

            for (command, code, number) in [("term", Some(0), None), ("stop", None, Some(9))] {
                let mut server = receiver.server().start();
                sent(format!("{command}={}", server.pid()));
                let status = server.wait();
                assert_eq!((status.code(), status.signal()), (code, number), "{command}");
            }
        }
    }
}

#[test]
fn the_signal_flag_finds_processes_of_its_own_name() {
    let place = Place::new();
    // A name that no other server on this machine has, and that is longer than what the kernel keeps of it.
    let name = format!("mesh{}-a-long-name", std::process::id());
    let program = place.link(&name);
    assert_eq!(signal(&place, &program, "quit"), (Some(1), format!("pinmesh: no {name} processes running\n")));

    let start = || Side::Ours.server().program(&program).start();
    let mut first = start();
    assert_eq!(signal(&place, &program, "reopen"), (Some(0), String::new()));
    first.wait_for_log("Trapped \"user defined signal 1\" signal");

    let mut second = start();
    let mut pids = [first.pid(), second.pid()];
    pids.sort_unstable();
    let text = format!("pinmesh: multiple {name} processes running:\n{}\n{}\n", pids[0], pids[1]);
    assert_eq!(signal(&place, &program, "quit"), (Some(1), text));
    assert_eq!(signal(&place, &program, &format!("quit={}*", second.pid())), (Some(0), String::new()));
    assert_eq!(second.wait().code(), Some(0));
    assert!(first.ended().is_none());
    assert_eq!(signal(&place, &program, "term=*"), (Some(0), String::new()));
    assert_eq!(first.wait().code(), Some(0));
}

/// Our server under a limit of open files, set by a script in `place`.
fn with_open_files(place: &Place, soft: u32, hard: u32) -> Builder {
    let script = place.path().join("limited");
    let program = Side::Ours.program();
    let text = format!("#!/bin/sh\nulimit -Sn {soft}; ulimit -Hn {hard}\nexec '{}' \"$@\"\n", program.display());
    fs::write(&script, text).expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a script");
    Side::Ours.server().program(&script)
}

#[test]
fn too_few_open_files_are_a_clear_error() {
    let finished = with_open_files(&Place::new(), 32, 32).shards(64).run();
    assert_eq!(finished.status.code(), Some(1));
    let last = finished.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("[FTL] Unable to start shard ") && last.contains("too many open files. Raise"), "{last}");
}

#[test]
fn takes_all_open_files_it_may_have() {
    let server = with_open_files(&Place::new(), 256, 512).shards(1).start();
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).expect("the limits of the server");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("the limit of open files");
    assert_eq!(line.split_whitespace().filter(|word| *word == "512").count(), 2, "{line}");
    let log = server.log();
    assert!(log.contains("[WRN] The limit of 512 open files is too low for 65536 connections: raise it to"), "{log}");
}

#[test]
fn a_file_with_missing_parts_starts_only_when_allowed() {
    // What one client's harness always writes.
    let config = "port: -1\nhttp: \"127.0.0.1:-1\"\nwebsocket { port: -1, no_tls: true }\n\
                  leafnodes { listen: \"127.0.0.1:-1\" }\nserver_tags: [\"a\"]\nports_file_dir: \".\"\n";
    let refused = Side::Ours.server().config(config).run();
    assert_eq!(refused.status.code(), Some(1));
    for part in ["websocket", "leafnodes"] {
        assert!(refused.stderr.contains(&format!("\"{part}\" needs ")), "{part}: {}", refused.stderr);
    }

    let server = Side::Ours.server().without_listen_flags().config(config).arg("--allow-unsupported").start();
    for part in ["websocket", "leafnodes"] {
        let warned = |line: &str| line.contains("[WRN] ") && line.contains(&format!("\"{part}\" needs "));
        assert!(server.log().lines().any(warned), "{part}: {}", server.log());
    }
}

#[test]
fn flags_beat_the_configuration() {
    let place = Place::new();
    let config = "debug: true\nlogtime: false\nserver_name: A\nmax_payload: 9MB\n\
                  max_pending: 20MB\nauthorization { user: u, password: p }\n";
    for arguments in [&[][..], &["-D=false"], &["-T", "-n", "B"], &["--pass", "$2a$10$abcdefghijklmnopqrstuv", "-V"]] {
        let logs = Side::BOTH.map(|side| {
            let mut server = nats_server(&place, side).config(config).args(arguments).start();
            server.terminate();
            normalised(&server.log()).replace(&server.dir().display().to_string(), "DIR")
        });
        assert_eq!(logs[0], logs[1], "{arguments:?}");
    }
}
