//! `-t -c FILE` of both servers over a long list of files: the same exit code and the same words.
//!
//! The files are in `tests/config/cases.txt`, each under a line `--- name`. The reference walks maps in random order, so
//! lines are compared as sets, and where it stops at the first of several errors it is asked again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pinmesh_harness::Side;

/// What the environment holds for files that refer to it.
const ENVIRONMENT: [(&str, &str); 8] = [
    ("CONF_TEST_PORT", "4225"),
    ("CONF_TEST_NAME", "name"),
    ("CONF_TEST_TAGS", "[a, \"b\" ]"),
    ("CONF_TEST_AUTH", "{user: a, password: b}"),
    ("CONF_TEST_INDIRECT", "$CONF_TEST_PORT"),
    ("CONF_TEST_CYCLE", "$CONF_TEST_CYCLE"),
    ("CONF_TEST_BROKEN", "["),
    ("CONF_TEST_EMPTY", ""),
];

/// Where we differ on purpose. A case on this list that does not differ any more fails the test.
const DELIBERATE: [(&str, &str); 13] = [
    ("server tags number in list", "the reference prints the name of an internal type"),
    ("jetstream domain number", "the reference points at the block, we at the key"),
    ("jetstream enabled text", "the reference points at the block, we at the key"),
    ("resolver no dir", "the reference goes on and reports a second error about the empty name"),
    ("cluster routes port above the highest", "the reference tries for ever to connect to a port that cannot be"),
    ("environment list", "lists from the environment do not work for tags in the reference"),
    ("map key before the end of the map", "the reference gives the map to the wrong key"),
    ("number with a tail of units", "the reference drops the key without a word"),
    ("quote that opens at the end", "the reference takes the file without the cut-off value"),
    ("quote that opens at the end of an array", "the reference takes the file without the cut-off value"),
    ("block up to the very end", "the reference keeps the closing parenthesis"),
    ("byte order mark", "unprintable characters in names are quoted in another form"),
    ("nesting without end", "we stop at 200 levels"),
];

/// How often the reference is asked before its answer counts as different.
const ATTEMPTS: usize = 150;

struct Case {
    name: String,
    file: PathBuf,
}

/// Exit code and the set of lines.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    code: Option<i32>,
    lines: BTreeSet<String>,
}

fn answer(side: Side, file: &Path) -> Answer {
    let output = Command::new(side.program())
        .args(["-t", "-c"])
        .arg(file)
        .envs(ENVIRONMENT)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{side}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let text = ["nats-server: ", "pinmesh: "].iter().find_map(|name| text.strip_prefix(name)).unwrap_or(&text);
    // After an error about a type, some of the reference's blocks add one about their own program.
    let own_trouble = |line: &&str| line.contains("runtime error: invalid memory address");
    Answer {
        code: output.status.code(),
        lines: text.lines().filter(|line| !own_trouble(line)).map(str::to_owned).collect(),
    }
}

/// Writes every case into its own file, next to the files that cases include.
fn cases(directory: &Path) -> Vec<Case> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    for entry in fs::read_dir(&source).expect("tests/config is part of the repository").flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "conf") {
            fs::copy(entry.path(), directory.join(entry.file_name())).expect("the directory is ours");
        }
    }
    let list = fs::read_to_string(source.join("cases.txt")).expect("cases.txt is part of the repository");
    let mut texts: Vec<(String, String)> = list
        .split("--- ")
        .skip(1)
        .filter_map(|case| case.split_once('\n'))
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect();
    // What a text file with one case after the other cannot hold.
    let generated = [
        ("no newline at the end", "port: 4222".to_owned()),
        ("carriage returns", "port: 4222\r\nhost: a\r\n".to_owned()),
        ("NUL in a value", "server_name: a\0b\n".to_owned()),
        ("NUL alone", "\0".to_owned()),
        ("block up to the very end", "server_name: (\na\n)".to_owned()),
        ("key up to the very end", "port".to_owned()),
        ("unclosed map at the very end", "authorization {user: a".to_owned()),
        ("unclosed array at the very end", "server_tags: [a".to_owned()),
        ("unclosed JSON at the very end", "{\"port\": 1".to_owned()),
        ("quote that opens at the end", "port: 4222\n\"".to_owned()),
        ("quote that opens at the end of an array", "port: 4222\nserver_tags: [\"".to_owned()),
        ("include with an unclosed quote", "include \"abc".to_owned()),
        ("nesting without end", format!("server_tags: {}\n", "[ ".repeat(5000))),
        ("text in another script", "server_name: \"\u{30ca}\u{30c3}\u{30c4}\"\n".to_owned()),
        ("markup in the digest", "server_name: \"<a&b>\u{2028}\"\n".to_owned()),
        ("byte order mark", "\u{feff}port: 4222\n".to_owned()),
    ];
    texts.extend(generated.map(|(name, text)| (name.to_owned(), text)));
    let mut names = BTreeSet::new();
    texts
        .into_iter()
        .enumerate()
        .map(|(number, (name, text))| {
            assert!(names.insert(name.clone()), "two cases are called {name:?}");
            let file = directory.join(format!("case-{number}.conf"));
            fs::write(&file, text).expect("the directory is ours");
            Case { name, file }
        })
        .collect()
}

/// The difference, if there is one.
fn compare(case: &Case, attempts: usize) -> Option<String> {
    let ours = answer(Side::Ours, &case.file);
    let mut reference = answer(Side::Reference, &case.file);
    for _ in 1..attempts {
        if ours == reference {
            return None;
        }
        reference = answer(Side::Reference, &case.file);
    }
    let text = fs::read_to_string(&case.file).unwrap_or_default();
    let text: String = text.chars().take(300).collect();
    (ours != reference)
        .then(|| format!("{}\n  file: {text:?}\n  reference: {reference:?}\n  ours: {ours:?}", case.name))
}

#[test]
fn both_servers_say_the_same_about_a_file() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let cases = cases(directory.path());
    let next = AtomicUsize::new(0);
    let deliberate: BTreeMap<&str, &str> = DELIBERATE.into_iter().collect();
    let mut problems: Vec<String> = thread::scope(|scope| {
        let worker = || {
            let mut problems = Vec::new();
            while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                let reason = deliberate.get(case.name.as_str());
                match (compare(case, if reason.is_some() { 1 } else { ATTEMPTS }), reason) {
                    (None, None) | (Some(_), Some(_)) => {}
                    (Some(difference), None) => problems.push(difference),
                    (None, Some(_)) => {
                        problems.push(format!("{}: listed as a difference, but there is none", case.name))
                    }
                }
            }
            problems
        };
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no worker panics")).collect()
    });
    for name in deliberate.keys().filter(|name| !cases.iter().any(|case| case.name == **name)) {
        problems.push(format!("{name}: listed as a difference, but there is no such case"));
    }
    assert!(problems.is_empty(), "{} of {} cases:\n{}", problems.len(), cases.len(), problems.join("\n"));
}
