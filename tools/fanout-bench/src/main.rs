//! Load generator and comparison tool for NATS servers.

mod across;
mod check;
mod churn;
mod cli;
mod cli_cluster;
mod client;
mod cluster;
mod cluster_suite;
mod cpu;
mod fanout;
mod flow;
mod frame;
mod idle;
mod interest;
mod monitoring;
mod probe;
mod progress;
mod pulse;
mod relay;
mod report;
mod request;
mod rounds;
mod sample;
mod server_process;
mod subs;
mod suite;
mod verdict;
mod wire;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::ArgMatches;
use serde_json::{Value, json};

use crate::cli::{Common, count, get};
use crate::cluster_suite::ClusterSuite;
use crate::fanout::Timing;
use crate::flow::Layout;
use crate::frame::{Interest, Plan, STAMP_LEN, Subjects};
use crate::report::Report;
use crate::rounds::Side;
use crate::suite::Suite;

fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    match run(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fanout-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(matches: &ArgMatches) -> Result<()> {
    let (mode, matches) = matches.subcommand().context("no mode given")?;
    if mode == "relay" {
        return relay::run(count(matches, "subscribers")?, get(matches, "buffer")?);
    }
    let common = Common::read(matches)?;
    progress::set_patience(common.patience);
    common.load_cores.pin_current_thread()?;
    if mode == "suite" {
        return suite(matches, &common);
    }
    let report = match mode {
        "across" | "across-request" | "interest" => on_clusters(mode, matches, &common)?,
        _ => on_servers(mode, matches, &common)?,
    };
    print!("{}", report.table());
    write_json(&common, report.json())
}

/// The modes that measure one server at a time.
fn on_servers(mode: &str, matches: &ArgMatches, common: &Common) -> Result<Report> {
    let sides = cli::sides(matches)?;
    if !matches!(mode, "fanout" | "unseen") && sides.iter().any(Side::is_floor) {
        bail!("--floor: the relay only passes messages on; it has no part in `{mode}`");
    }
    match mode {
        "request" => {
            let (title, layout) = request_layout(mode, matches)?;
            let series = request::run(&title, &sides, &common.timing, &layout)?;
            Ok(Report { title, series })
        }
        "churn" => churn(matches, common, &sides),
        "idle" => {
            let connections = count(matches, "connections")?;
            let title = format!("idle: {connections} connections");
            let series = idle::run(&title, &sides, common.timing.rounds, connections)?;
            Ok(Report { title, series })
        }
        "subs" => {
            let (subscriptions, connections) = (count(matches, "subscriptions")?, count(matches, "connections")?);
            let title = format!("subs: {subscriptions} subscriptions on {connections} connections");
            let series = subs::run(&title, &sides, common.timing.rounds, subscriptions, connections)?;
            Ok(Report { title, series })
        }
        _ => {
            let (title, layout) = flow_layout(mode, matches, common)?;
            if layout.plan.publishers != 1 && sides.iter().any(Side::is_floor) {
                bail!("--floor: the relay has one publisher only");
            }
            let series = fanout::run(&title, &sides, &common.timing, &layout)?;
            Ok(Report { title, series })
        }
    }
}

/// The modes that measure several servers together.
fn on_clusters(mode: &str, matches: &ArgMatches, common: &Common) -> Result<Report> {
    let sides = cli_cluster::sides(matches)?;
    match mode {
        "across-request" => {
            let (title, layout) = request_layout(mode, matches)?;
            let series = across::run_requests(&title, &sides, &common.timing, &layout)?;
            Ok(Report { title, series })
        }
        "interest" => {
            let (interests, connections) = (count(matches, "subscriptions")?, count(matches, "connections")?);
            let title = format!("interest: {interests} subscriptions on {connections} connections, announced");
            let layout = interest::Layout { interests, connections };
            let series = interest::run(&title, &sides, common.timing.rounds, layout)?;
            Ok(Report { title, series })
        }
        _ => {
            let (title, layout) = flow_layout(mode, matches, common)?;
            let sides: Vec<_> = sides.into_iter().map(|side| (side, layout.clone())).collect();
            let series = across::run(&title, &sides, &common.timing)?;
            Ok(Report { title, series })
        }
    }
}

fn write_json(common: &Common, results: Value) -> Result<()> {
    let Some(path) = &common.json else { return Ok(()) };
    let Timing { warmup, measured, rounds } = common.timing;
    let value = json!({
        "settings": {
            "rounds": rounds, "warmup_s": warmup.as_secs_f64(), "duration_s": measured.as_secs_f64(),
            "window_bytes": common.window, "batch_bytes": common.batch,
        },
        "results": results,
    });
    fs::write(path, serde_json::to_string_pretty(&value)?).with_context(|| format!("cannot write {}", path.display()))
}

fn stamped_payload(matches: &ArgMatches) -> Result<usize> {
    let payload = get(matches, "payload")?;
    if payload < STAMP_LEN {
        bail!("--payload {payload}: at least {STAMP_LEN} bytes are needed to tell the messages apart");
    }
    Ok(payload)
}

/// Of the modes that differ only in who publishes what to whom.
fn flow_layout(mode: &str, matches: &ArgMatches, common: &Common) -> Result<(String, Layout)> {
    let payload = stamped_payload(matches)?;
    let publishers: u16 = get(matches, "publishers")?;
    let subjects = match mode {
        "unseen" => Subjects::Unseen,
        _ => Subjects::Cycle(count(matches, "subjects")? as u64),
    };
    let wildcard = mode == "unseen" || (mode != "queue" && matches.get_flag("wildcard"));
    let interest = if wildcard { Interest::Wildcard } else { Interest::Literal };
    let is_queue = mode == "queue";
    let layout = Layout {
        plan: Plan { subjects, interest, publishers, payload },
        subscribers: if is_queue { 0 } else { count(matches, "subscribers")? },
        groups: if is_queue { count(matches, "groups")? } else { 0 },
        members: if is_queue { count(matches, "members")? } else { 0 },
        window: common.window,
        batch: common.batch,
    };
    let receivers = match is_queue {
        true => format!("{} queue groups of {}", layout.groups, layout.members),
        false => format!("{} subscribers", layout.subscribers),
    };
    let subjects = match subjects {
        Subjects::Cycle(count) => format!("{count} subjects"),
        Subjects::Unseen => "a new subject for every message".to_string(),
    };
    Ok((format!("{mode}: {publishers} publishers → {receivers}, {subjects}, {payload} B"), layout))
}

fn request_layout(mode: &str, matches: &ArgMatches) -> Result<(String, request::Layout)> {
    let inbox = if matches.get_flag("inbox-each") { request::Inbox::Each } else { request::Inbox::Shared };
    let layout = request::Layout {
        requesters: count(matches, "requesters")?,
        responders: count(matches, "responders")?,
        in_flight: count(matches, "in-flight")?,
        payload: stamped_payload(matches)?,
        inbox,
        spin: matches.get_flag("spin"),
    };
    let request::Layout { requesters, responders, in_flight, payload, .. } = layout;
    let title =
        format!("{mode}: {requesters} requesters with {in_flight} in flight, {responders} responders, {payload} B");
    Ok((title, layout))
}

fn churn(matches: &ArgMatches, common: &Common, sides: &[Side]) -> Result<Report> {
    let payload = stamped_payload(matches)?;
    let rate = Some(get::<u32>(matches, "rate")?).filter(|rate| *rate > 0);
    let churn = churn::Churn { connections: count(matches, "connections")?, rate };
    let layout = Layout {
        plan: Plan { subjects: Subjects::Cycle(1), interest: Interest::Literal, publishers: 1, payload },
        subscribers: count(matches, "subscribers")?,
        groups: 0,
        members: 0,
        window: common.window,
        batch: common.batch,
    };
    let pace = rate.map_or("as fast as possible".to_string(), |rate| format!("at {rate} pairs a second"));
    let title =
        format!("churn: {} connections {pace} beside 1 → {}, {payload} B", churn.connections, layout.subscribers);
    let series = churn::run(&title, sides, &common.timing, &layout, churn)?;
    Ok(Report { title, series })
}

fn suite(matches: &ArgMatches, common: &Common) -> Result<()> {
    if !matches.contains_id("server") || !matches.contains_id("versus") {
        bail!("suite: give --server PATH and --versus PATH");
    }
    let quick = matches.get_flag("quick");
    let short = |duration| if quick { duration / 4 } else { duration };
    let timing = Timing {
        warmup: short(common.timing.warmup),
        measured: short(common.timing.measured),
        rounds: if quick { 2 } else { common.timing.rounds },
    };
    let common = &Common { timing, ..common.clone() };
    let outcome = if matches.get_flag("cluster") {
        let suite = ClusterSuite {
            servers: cli::started_twice(matches, "server", "server-args", &[])?,
            four_shards: cli::started_twice(matches, "server", "server-args", &["--shards", "4"])?,
            versus: cli::started_twice(matches, "versus", "versus-args", &[])?,
            timing,
            window: common.window,
            batch: common.batch,
            interests: if quick { 100_000 } else { 1_000_000 },
        };
        suite.run()
    } else {
        let suite = Suite {
            server: cli::started(matches, "server", "server-args", &[])?,
            shards: [
                cli::started(matches, "server", "server-args", &["--shards", "1"])?,
                cli::started(matches, "server", "server-args", &["--shards", "2"])?,
            ],
            versus: cli::started(matches, "versus", "versus-args", &[])?,
            floor: cli::floor(matches)?,
            timing,
            window: common.window,
            batch: common.batch,
            connections: if quick { 1_000 } else { 10_000 },
            subscriptions: if quick { 100_000 } else { 1_000_000 },
        };
        suite.run()
    };
    print!("{}", outcome.summary());
    write_json(common, outcome.json())?;
    if !outcome.failures.is_empty() {
        bail!("{} cases could not be run", outcome.failures.len());
    }
    Ok(())
}
