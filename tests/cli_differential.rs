//! The command line against the reference: both programs under the name `nats-server`, the same arguments, and the
//! same exit code, standard output and standard error.
//!
//! In the lists a blank separates arguments, `''` is an empty one, and `·` is a blank inside of one.

mod both_names;
mod runs;

use std::fs;
use std::path::Path;

use both_names::{Place, normalised};
use pinmesh_harness::Side;
use runs::{Outcome, run};

/// Ends of a run without any server. Signals always name a process: without one they would go to whatever server this
/// machine runs.
const ENDS_BY_ITSELF: &str = "
-v|--v|-version|--version|-v=true|-v=1|-v=T|-v=TRUE|-v=True|-v=t|version|VERSION|Version|version -bogus|version foo|-- version
-v foo|-v -h|-h -v|-v -t|-v -sl foo|-v -p 1 -D|-D version|-p 1 version|-a version version|-v -c nowhere.conf|-v=false -v
-h|--h|-help|--help|help|HELP|Help|-h=1|-h foo|-h -t|help foo|-- help|-D help|-h -c nowhere.conf|-h -sl foo|-help=t
foo|''|FOO -v|foo bar|true|-|- -v|-- -v|-- --|-D true|-D false|-V=true yes|-- ''|·|a·b|-v=false foo|-h=0 foo|-DV 1|ä|\"|a\tb
-bogus|--bogus|-bogus=1|--bogus=x=y|-bogus -v|-v -bogus|-DX|-VD|-Dp|-pp 1|-P1 x|-p1|-version2|-Version|-A x|-H|-dv|-d
--Port 1|--PORT|-js2|-tls_verify|-no-advertise|-ä|-a·b|-·|--·x=1|-logtime-utc|-t2
---|---v|-=|-=x|--=|--=x|----|---=|-v ---|-D -=1|--- -v
-p|--p|-port|--port|-a|--addr|-net|-n|-name|-server_name|-P|-pid|-m|-http_port|-ms|-https_port|-c|-config|-sl|-signal
-client_advertise|-ports_file_dir|-l|-log|-r|-remote_syslog|-log_size_limit|-max_traced_msg_len|-sd|-store_dir|-user|-pass
-auth|-tlscert|-tlskey|-tlscacert|-routes|-cluster|-cluster_listen|-cluster_name|-cluster_advertise|-connect_retries|-profile
-D -p|-v -p|-p 1 -p
-p x|-p=x|--p=x|--port x|-port=|-p ''|-p=|-p 1.5|-p 1e3|-p 08|-p 0x|-p 0xg|-p 0b2|-p 0o8|-p _1|-p 1_|-p 1__0|-p 0_x1|-p --
-p -|-p +|-p -D|-p 1· |-p ·1|-p 9223372036854775808|-p -9223372036854775809|-p 99999999999999999999|-p 0xffffffffffffffff
-p 99999999999999999999x|-p x99999999999999999999|-p 0x1_|-p 0b|-p 0B|-p 0O9|-p 1,2|-p ä|-p \"|-p 1 -p x|-p x -p 1
-m x|-http_port=x|-ms=x|-https_port x|-log_size_limit x|-log_size_limit=1.5|-max_traced_msg_len x|-connect_retries=|-profile x
-m 0b1_|-ms 1__1|-log_size_limit 9223372036854775808|-connect_retries -9223372036854775809
-D=maybe|-D=|--D=x|-debug=yes|-D=on|-D=2|-D=tRUE|-D=truee|-V=no|-trace=0x1|-VV=x|-DV=x|-DVV=x|-T=y|-logtime=off|-logtime_utc=-1
-t=x|-s=x|-syslog=x|-js=x|-jetstream=yes|-tls=x|-tlsverify=x|-no_advertise=x|-h=x|-help=x|-v=x|-version=x|-help_tls=x|-D=\"
-D=·true|-D=true=|-no_advertise=True=
-t|--t|-t=1|-t -D|-t -c ''|-t -p -1|-t -a x|-t=true -user x|-t -m 0
-sl foo=123|-sl=foo=123|--signal foo=1|-signal=reload=abc|-sl=reload=a=b|-sl a=b=c=d|-sl quit=1x|-sl stop=nowhere
-sl reload=2147483647|-sl=ldm=2147483646|-sl reopen=number.pid|-sl reopen=number_newline.pid|-sl ==|-sl =1
-sl foo=2147483647|-sl QUIT=2147483647|-sl reload=·1|-sl reload=2147483647 -t|-sl reload=2147483647 -c nowhere
-sl reload=99999999999|-sl reload=1.5|-sl reload=ä|-sl reload=0x10
-c nowhere.conf|-config nowhere.conf|-c=nowhere.conf|--config=nowhere.conf|-c nowhere/x.conf|-c .|-t -c nowhere.conf|-t -c .
-n a·b|-name a·b|-server_name=a·b|-n · |-n a·b -p -1|-n a -n a·b
-routes nats://127.0.0.1:1|-routes x|-routes nats://127.0.0.1:1 -cluster ''|-routes ,|--routes=x -cluster_listen=
-cluster localhost:4248|-cluster 4248|-cluster 127.0.0.1:4248|--cluster=:4248|-cluster_listen nats://h|-cluster nats://h:abc|-cluster :
-cluster nats://u@127.0.0.1:-1|-cluster nats://@127.0.0.1:1|-cluster nats://127.0.0.1:|-cluster nats://127.0.0.1:99999999999999999999
-cluster nats://a·b:1|-cluster nats://[::1|-cluster nats://[::1]|-cluster nats://[::1]:x|-cluster nats://::1:5|-cluster nats://[x]:-1
-cluster nats://u:p%2@127.0.0.1:-1|-cluster nats://u<:p@127.0.0.1:1|-cluster 1nats://127.0.0.1:-1|-cluster na_ts://127.0.0.1:-1
-cluster nats:/127.0.0.1:-1|-cluster nats://127.0.0.1:-1/path|-cluster nats://%31:4|-cluster ·nats://127.0.0.1:-1|-cluster a/b:-1
-cluster a:b/c:-1|-cluster nats://127.0.0.1:-2|-cluster nats://%zz:1|-cluster nats://a%2gb:1|-cluster nats://[::1%lo]:-1
-cluster nats://a]:1|-cluster nats://a[:1|-cluster nats://u:p@|-cluster *|-cluster nats://127.0.0.1:1·|-cluster nats://127.0.0.1:%31
-cluster ?a:b|-cluster nats:a?b:-1|-cluster nats://127.0.0.1:1\t|-cluster nats://a:b@c:d@h|-cluster nats://1.2.3.4|-cluster ·
-cluster nats://127.0.0.1:-1 -cluster_name a·b|-cluster_name a·b|-cluster x -cluster_name a·b -n a·b|-cluster_name · -cluster nats://h:1
-cluster nats://h -routes nats://h:1|-cluster nats://h:1 -cluster 4248|-cluster 4248 -routes nats://127.0.0.1:1
-l nowhere/x|-log=nowhere/x|-l .|-l nowhere/x -D -p -1
";

/// Lists that are accepted: the pid file cannot be written, which ends them before any port is taken, and shows in
/// the log what became of the flags.
const ACCEPTED: &str = "
-D|-D=false|--debug|-debug=T|-V|--trace|-VV|-DV|-DVV|-DV=false|-D -DV=false|-DV -D=false|-DVV -DV=false|-DVV -VV=false|-D=false -D
-D -D=0|-DV -V=false|-T=false|-T|-logtime=0|-logtime_utc|--logtime_utc=1 -T|-T=false -logtime_utc -D|-T=false -T
-n A|-name B|--server_name=C|-n A -name B|-n ''|-n=|-n -|-n -n|-server_name --|-n ä|-n a=b|-n=a=b|-n A -n ''
-user u|-user u -pass p|-user=u -pass=p|-auth t|-user u -pass $2a$10$abcdefghijklmnopqrstuv|-user u -pass $2y$04$x -D|-pass ''
-user u -pass $2a$1$x|-user u -pass $2c$10$x|-user u -pass 2a$10$x|-user u -pass -D|-user -p -pass x|-user ''
-sl ''|-sl=|-signal ''|-m 0|-ms 0|-m=0x0|-http_port 00|-profile 0|-s=false|-r ''|-js=false|-jetstream=0|-tls=false
-cluster ''|-cluster_listen=|-routes ''|-cluster_advertise x|-no_advertise|-no_advertise=false|-connect_retries 5
-cluster nats://127.0.0.1:4248|-cluster nats://localhost:4248 --cluster_name test-cluster|-cluster nats://u:p@:-1 -cluster_name C|-cluster_name C
-cluster nats://h:1 -cluster_name ''|-cluster nats://h:1 -cluster_name -|-cluster_name C -cluster ''|-cluster nats://h:1 -cluster_name=a=b
-cluster nats://h:1 -routes nats://h:2,nats://h:3|-cluster nats://h:1 -routes nats://h:2,·nats://u:p@h:3|-cluster nats://h:1 -routes ''
-cluster nats://h:1 -routes localhost:1|-cluster nats://h:1 -routes nats://h|-cluster nats://h:1 -routes ,|-cluster //h:1|-cluster nats://h:0
-cluster nats://h:1 -cluster_advertise x:y:z|-cluster nats://:1 -no_advertise -connect_retries -3|-cluster tcp://h:1/path?x#y|-cluster A://h:1
-cluster nats://h:1 -routes nats://127.0.0.1:1 -cluster nats://h:2|-cluster nats://h:1 -cluster_listen nats://h:2
-cluster nats://u:p%20x@h:1|-cluster nats://[::1%25lo]:1|-cluster nats://127.0.0.1:4#:-1|-cluster nats://a:b@c:d@h:1
-sd dir|-store_dir=dir|-sd ''|-log_size_limit 0|-log_size_limit -1|-max_traced_msg_len 10|-max_traced_msg_len -5
-client_advertise x:1|-client_advertise x:y:z|-ports_file_dir nowhere|-t=false|-v=false|-h=0 -version=F|-c ''|-c '' -t=false
-p 0|-p 0x1F|-p 0b11|-p 017|-p 0o17|-p 1_000|-p +5|-p -5|-p 70000|-a nowhere.invalid|-a ''|-l ''|-help_tls=false|-- |-D --
";

/// Lists whose cluster cannot be had, and what the configuration file says.
const NO_CLUSTER: &str = "
-cluster nats://127.0.0.1:99999|-cluster nats://127.0.0.1:-1 -cluster_advertise h:x|-cluster nats://192.0.2.77:6222|-cluster nats://[2001:db8::77]:6222
-cluster nats://127.0.0.1:-1 -cluster_advertise h:1:2|-cluster nats://127.0.0.1:-1 -cluster_advertise [::1|-cluster nats://localhost:65536
-cluster nats://127.0.0.1:-1 -cluster_advertise h:1·2|-c advertise.conf|-c advertise.conf -cluster_name X|-c listen.conf -cluster nats://127.0.0.1:77777
-c listen.conf|-c listen.conf -cluster_name X -D|-c listen.conf -routes nats://127.0.0.1:1
";

/// Lists whose configuration file the flags do not fit, or that is wrong only when a server starts.
const WRONG_CLUSTER: &str = "
-c name.conf -routes nats://127.0.0.1:1|-c port.conf -cluster '' -routes nats://127.0.0.1:1
-c listen.conf -cluster_name a·b|-c listen.conf -cluster nats://h|-c mode.conf|-c mode.conf -cluster ''|-c thresholds.conf|-c zeros.conf|-c many.conf
-c pinned.conf|-c repeated.conf|-c repeated_without_system.conf
";

/// Lists whose port or host shows in the fatal line.
const NO_PORT: &str = "
-p 65536|-p 0x1869F|-p 0b11000011010011111|-p 0303237|-p 0o303237|-p 9_99_99|-p +99999|-p -2|-port -0x2|-p 99999 -p 88888|--port=70000
-p 99999 -a ::1|-p 99999 -a localhost|-p 99999 -net ''|-a [::1]|-a [::1 -p 77777|-p 9223372036854775807|-p -9223372036854775808
-p 99999 -T=false|-p 99999 -D|-p 99999 -n A|-p 99999 -logtime_utc|-a 192.0.2.77 -p 1234|-a 2001:db8::77 -p 1234|-a ::1 -p -7
";

fn lists(text: &str) -> Vec<Vec<String>> {
    let argument = |word: &str| if word == "''" { String::new() } else { word.replace('·', " ") };
    let list = |list: &str| list.split(' ').filter(|word| !word.is_empty()).map(argument).collect();
    text.trim().split(['\n', '|']).map(list).collect()
}

fn prepare(place: &Place) {
    let file = |name: &str, text: &str| fs::write(place.path().join(name), text).expect("a file");
    file("number.pid", "2147483647");
    file("number_newline.pid", "2147483647\n");
    for (name, text) in [
        ("name", "name: C"),
        ("listen", "listen: \"127.0.0.1:70000\", authorization { user: u, password: p }"),
        ("port", "port: -1, name: C"),
        ("advertise", "listen: \"127.0.0.1:-1\", name: C, advertise: \"h:x\""),
        ("mode", "compression: zip"),
        ("thresholds", "compression { mode: auto, rtt_thresholds: [\"20ms\", \"10ms\"] }"),
        ("zeros", "compression { mode: S2_Auto, rtt_thresholds: [\"0s\", \"0s\"] }"),
        ("many", "compression { mode: auto, rtt_thresholds: [\"1ms\", \"2ms\", \"3ms\", \"4ms\", \"1h5ms\"] }"),
        ("pinned", "pool_size: -1, accounts: [A]"),
        ("repeated", "port: -1, accounts: [A, B, A]"),
        ("repeated_without_system", "port: -1, accounts: [A, A] }\nno_system_account: true\nmappings {"),
    ] {
        file(&format!("{name}.conf"), &format!("cluster {{ {text} }}\n"));
    }
}

/// The usage without the group that only we have.
fn without_our_flags(usage: &str) -> String {
    match (usage.find("Shard Options:\n"), usage.find("Common Options:\n")) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &usage[..from], &usage[to..]),
        _ => usage.to_owned(),
    }
}

fn compare(lists: &[Vec<String>], further: &[&str], normalise: impl Fn(Outcome) -> Outcome) {
    let place = Place::new();
    prepare(&place);
    let mut different = Vec::new();
    for list in lists {
        let arguments: Vec<String> =
            list.iter().cloned().chain(further.iter().map(|word| (*word).to_owned())).collect();
        let [ours, reference] = [Side::Ours, Side::Reference]
            .map(|side| normalise(run(place.path(), &place.nats_server(side), &arguments)));
        if ours != reference || ours.exit_code.is_none() {
            different.push(format!("{arguments:?}\n  ours:      {ours:?}\n  reference: {reference:?}"));
        }
    }
    assert!(different.is_empty(), "{} of {} differ:\n{}", different.len(), lists.len(), different.join("\n"));
}

#[test]
fn answers_like_the_reference() {
    let lists = lists(ENDS_BY_ITSELF);
    assert!(lists.len() >= 150);
    compare(&lists, &[], |mut outcome| {
        outcome.stdout = without_our_flags(&outcome.stdout);
        // The log cannot be opened: a line with date and time, but without process id.
        if let Some((_, error)) = outcome.stderr.split_once(" error opening file: ") {
            outcome.stderr = format!("error opening file: {error}");
        }
        outcome
    });
}

#[test]
fn accepts_what_the_reference_accepts() {
    // Flags come before the positional `--` of a list, so ours go in front.
    let lists: Vec<Vec<String>> = lists(ACCEPTED)
        .into_iter()
        .map(|list| ["-P", "nowhere/pid"].map(str::to_owned).into_iter().chain(list).collect())
        .collect();
    compare(&lists, &[], |mut outcome| {
        outcome.stderr = normalised(&outcome.stderr);
        assert!(outcome.stderr.contains("Could not write pidfile"), "{outcome:?}");
        outcome
    });
}

#[test]
fn refuses_addresses_like_the_reference() {
    compare(&lists(NO_PORT), &[], |mut outcome| {
        outcome.stderr = normalised(&outcome.stderr);
        assert!(outcome.stderr.contains("Error listening on port"), "{outcome:?}");
        outcome
    });
}

#[test]
fn refuses_clusters_like_the_reference() {
    compare(&lists(WRONG_CLUSTER), &["-p", "-1", "-a", "127.0.0.1"], |outcome| {
        assert!(outcome.stderr.starts_with("nats-server: "), "{outcome:?}");
        outcome
    });
}

#[test]
fn refuses_addresses_for_routes_like_the_reference() {
    // The reference says that it is ready before it opens this port; we say that only when it is true.
    compare(&lists(NO_CLUSTER), &["-p", "-1", "-a", "127.0.0.1"], |mut outcome| {
        let log = normalised(&outcome.stderr);
        outcome.stderr = log.lines().filter(|line| line.contains("[FTL]")).collect();
        assert!(!outcome.stderr.is_empty(), "{log}");
        outcome
    });
}

fn run_ours(place: &Place, program: &Path, list: &str) -> Outcome {
    let arguments: Vec<String> = list.split_whitespace().map(str::to_owned).collect();
    run(place.path(), program, &arguments)
}

#[test]
fn names_the_parts_that_are_missing() {
    let place = Place::new();
    for (list, part) in [
        ("-ms 8222", "-ms, --https_port needs TLS, which"),
        ("-s", "-s, --syslog needs logging to syslog, which"),
        ("-r udp://localhost:514", "-r, --remote_syslog needs logging to syslog, which"),
        ("-js", "-js, --jetstream needs JetStream, which"),
        ("-js -sd dir", "-js, --jetstream needs JetStream, which"),
        ("--tls", "--tls needs TLS, which"),
        ("--tlscert x --allow-unsupported", "--tlscert needs TLS, which"),
        ("--tlsverify", "--tlsverify needs TLS, which"),
        ("--profile 1", "--profile needs a profiling port, which"),
    ] {
        let outcome = run_ours(&place, &place.nats_server(Side::Ours), list);
        assert_eq!(outcome.exit_code, Some(1), "{list}");
        assert!(outcome.stderr.starts_with(&format!("nats-server: {part}")), "{list}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("does not support yet"), "{list}: {}", outcome.stderr);
    }
}

#[test]
fn starts_without_missing_parts_when_allowed() {
    let place = Place::new();
    let list = "-ms 8222 -js -s --allow-unsupported -P nowhere/pid";
    let outcome = run_ours(&place, &place.nats_server(Side::Ours), list);
    let warnings = outcome.stderr.lines().filter(|line| line.contains("[WRN] -") && line.ends_with(": ignored"));
    assert_eq!(warnings.count(), 3, "{}", outcome.stderr);
}

#[test]
fn routes_with_tls_are_refused_or_warned_of() {
    let place = Place::new();
    let run = |list: &str, cluster: &str| {
        let text = format!("cluster {{\n {cluster}\n tls {{ timeout: 2 }}\n}}\n");
        fs::write(place.path().join("tls.conf"), text).expect("a file");
        run_ours(&place, &place.nats_server(Side::Ours), &format!("{list} -c tls.conf -P nowhere/pid"))
    };
    let refusal = "tls.conf:3:2: \"tls\" needs TLS between servers, which this server does not support yet\n";
    for (list, cluster) in [("", "port: -1"), ("--cluster nats://127.0.0.1:-1", "name: C")] {
        let outcome = run(list, cluster);
        assert_eq!(outcome.exit_code, Some(1));
        assert!(outcome.stderr.contains(refusal), "{}", outcome.stderr);
    }
    let allowed = run("--allow-unsupported", "port: -1");
    assert!(allowed.stderr.contains("\"tls\" needs TLS between servers"), "{}", allowed.stderr);
    for (list, cluster) in [("", "name: C"), ("--cluster=", "port: -1")] {
        let log = run(list, cluster).stderr;
        assert!(log.contains("Could not write pidfile") && !log.contains("\"tls\""), "no cluster: {log}");
    }
}

#[test]
fn has_a_name_of_its_own() {
    let place = Place::new();
    let program = Side::Ours.program();
    let outcome = run_ours(&place, &program, "-v");
    assert_eq!(outcome.stdout, format!("pinmesh: v{}\n", env!("CARGO_PKG_VERSION")));
    let outcome = run_ours(&place, &program, "-h");
    assert!(outcome.stdout.starts_with("\nUsage: pinmesh [options]\n"), "{}", outcome.stdout);
    assert!(!outcome.stdout.contains("nats-server"), "{}", outcome.stdout);
    assert_eq!(run_ours(&place, &program, "foo").stderr, "pinmesh: unrecognized command: \"foo\"\n");
    let log = run_ours(&place, &program, "-P nowhere/pid").stderr;
    assert!(log.contains("[INF] Starting pinmesh\n"), "{log}");
}

#[test]
fn our_own_flags_are_checked_like_the_others() {
    let place = Place::new();
    for (list, error) in [
        ("--shards 0", "invalid value \"0\" for flag -shards: must be a number from 1 to 256"),
        ("--shards 257", "invalid value \"257\" for flag -shards: must be a number from 1 to 256"),
        ("--shards two", "invalid value \"two\" for flag -shards: parse error"),
        ("--pin 3-1", "invalid value \"3-1\" for flag -pin: must be auto, off, or a list of cores like 0,2,4-7"),
        ("--spin 20", "invalid value \"20\" for flag -spin: must be a duration like 20us, or 0 for never"),
        ("--allow-unsupported=x", "invalid boolean value \"x\" for -allow-unsupported: parse error"),
    ] {
        let outcome = run_ours(&place, &Side::Ours.program(), list);
        assert_eq!(outcome.stderr, format!("{error}\n"));
        assert_eq!(outcome.exit_code, Some(0));
        assert!(outcome.stdout.contains("Shard Options:"));
    }
}
