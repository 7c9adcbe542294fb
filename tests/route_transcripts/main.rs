//! Recorded conversations of routes, replayed in both roles: a scripted server says what was said to the server under
//! test, as the one that dials or the one that is dialled, and compares what it hears with what was recorded.
//!
//! `data/route-transcripts.jsonl` holds a line for everything that went over the wire, a scenario behind the other. The
//! same replay against the servers that were recorded shows that it plays the scenarios right. What is compared, and
//! what not: see `replay`.

mod end;
mod names;
mod plays;
mod recording;
mod replay;
mod settings;

use std::ops::RangeInclusive;
use std::time::Duration;

use pinmesh_harness::Kind;
use pinmesh_harness::cases::{NotYet, run_all};

use recording::{Recording, recordings};
use settings::{Setting, settings};

/// The version of the servers under test in the recordings; of older ones there are some as partners.
const VERSION: &str = "2.15.1";

/// Scenarios that the script cannot play with any server, and what it lacks.
const UNPLAYABLE: &[(&str, &str)] = &[
    ("route-tls", "a peer that speaks TLS"),
    ("go-solicits-tls", "a peer that speaks TLS"),
    ("leaf-interest-without-lnoc", "a leaf node"),
];

/// Scenarios that our server cannot pass yet, and what each needs. One of them that passes fails the test: then it has
/// to go from this list.
const NOT_YET: NotYet<'_> = &[
    ("pool3-interest-and-any-index", "accounts"),
    ("pool-size-mismatch peer1 vs go3", "accounts"),
    ("pinned-account-A", "accounts"),
    ("reload-add-pinned-account", "accounts"),
    ("lame-duck", "a lame duck mode of its own"),
    ("message-trace proto=2", "message tracing"),
    ("message-trace proto=3", "message tracing"),
];

/// What is left out of a scenario when our server plays it: from when to when (ms), and why.
type LeftOut = (&'static str, RangeInclusive<f64>, &'static str);

const LEFT_OUT: &[LeftOut] = &[
    ("messages-peer-to-go", 1416.0..=1417.0, "LMSG comes from servers with leaf nodes to others with leaf nodes"),
    ("peer-in-lame-duck", 762.7..=763.0, "a URL that two servers have told stays as long as one of them does"),
];

/// How long a scenario waits for what should come at once, or after some seconds where servers wait.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same for a scenario that is expected to fail.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);

#[test]
fn our_server_with_one_shard() {
    replay_all(Kind::Ours(1), NOT_YET, LEFT_OUT);
}

#[test]
fn our_server_with_three_shards() {
    replay_all(Kind::Ours(3), NOT_YET, LEFT_OUT);
}

#[test]
fn the_reference() {
    replay_all(Kind::Reference, &[], &[]);
}

#[test]
fn every_scenario_is_played_or_listed() {
    let settings = settings();
    for recording in recordings() {
        let is_listed = UNPLAYABLE.iter().any(|(name, _)| *name == recording.scenario);
        let is_played = settings.iter().any(|setting| setting.has(&recording.scenario));
        assert!(is_listed != is_played, "{} has to be played or listed", recording.scenario);
    }
}

/// Replays everything that was recorded of the version that is the measure, each scenario with a server of its own, and
/// compares the failures with the list of those that are allowed and required to fail.
fn replay_all(kind: Kind, not_yet: NotYet<'_>, left_out: &[LeftOut]) {
    let mut recordings: Vec<Recording> =
        recordings().into_iter().filter(|recording| recording.version == VERSION).collect();
    for (scenario, times, _) in left_out {
        let recording = recordings.iter_mut().find(|recording| recording.scenario == *scenario);
        let steps = recording.map(|recording| &mut recording.steps).unwrap_or_else(|| panic!("no scenario {scenario}"));
        let before = steps.len();
        steps.retain(|step| !times.contains(&step.at));
        assert!(steps.len() < before, "nothing happens in {scenario} at {times:?} ms");
    }
    let settings = settings();
    let mut jobs: Vec<(&Setting, Recording)> = Vec::new();
    for setting in &settings {
        jobs.extend(setting.recordings(&recordings).into_iter().map(|recording| (setting, recording)));
    }
    run_all(
        &jobs,
        not_yet,
        |(setting, _), name| setting.has(name),
        |(setting, recording), is_expected_to_fail| {
            let patience = if is_expected_to_fail { SHORT_PATIENCE } else { PATIENCE };
            let played = replay::play(setting, recording, kind, patience);
            played.map_err(|failure| format!("{recording}, with {kind}: {failure:#}"))
        },
    );
}
