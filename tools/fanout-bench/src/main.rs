//! Load generator and comparison tool for NATS servers.

mod check;
mod churn;
mod cli;
mod client;
mod cpu;
mod fanout;
mod flow;
mod frame;
mod idle;
mod progress;
mod relay;
mod report;
mod request;
mod rounds;
mod sample;
mod server_process;
mod subs;
mod suite;
mod wire;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::ArgMatches;
use serde_json::{Value, json};

use crate::cli::{Common, count, get};
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
    if !matches!(mode, "fanout" | "unseen") && common.sides.iter().any(Side::is_floor) {
        bail!("--floor: the relay only passes messages on; it has no part in `{mode}`");
    }
    let report = match mode {
        "request" => request(matches, &common)?,
        "churn" => churn(matches, &common)?,
        "idle" => {
            let connections = count(matches, "connections")?;
            let title = format!("idle: {connections} connections");
            let series = idle::run(&title, &common.sides, common.timing.rounds, connections)?;
            Report { title, series }
        }
        "subs" => {
            let (subscriptions, connections) = (count(matches, "subscriptions")?, count(matches, "connections")?);
            let title = format!("subs: {subscriptions} subscriptions on {connections} connections");
            let series = subs::run(&title, &common.sides, common.timing.rounds, subscriptions, connections)?;
            Report { title, series }
        }
        _ => flow(mode, matches, &common)?,
    };
    print!("{}", report.table());
    write_json(&common, report.json())
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

/// The modes that differ only in who publishes what to whom.
fn flow(mode: &str, matches: &ArgMatches, common: &Common) -> Result<Report> {
    let payload = stamped_payload(matches)?;
    let publishers: u16 = get(matches, "publishers")?;
    let subjects = match mode {
        "unseen" => Subjects::Unseen,
        _ => Subjects::Cycle(count(matches, "subjects")? as u64),
    };
    let wildcard = mode == "unseen" || (mode == "fanout" && matches.get_flag("wildcard"));
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
    if publishers != 1 && common.sides.iter().any(Side::is_floor) {
        bail!("--floor: the relay has one publisher only");
    }
    let receivers = match is_queue {
        true => format!("{} queue groups of {}", layout.groups, layout.members),
        false => format!("{} subscribers", layout.subscribers),
    };
    let subjects = match subjects {
        Subjects::Cycle(count) => format!("{count} subjects"),
        Subjects::Unseen => "a new subject for every message".to_string(),
    };
    let title = format!("{mode}: {publishers} publishers → {receivers}, {subjects}, {payload} B");
    let series = fanout::run(&title, &common.sides, &common.timing, &layout)?;
    Ok(Report { title, series })
}

fn request(matches: &ArgMatches, common: &Common) -> Result<Report> {
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
        format!("request: {requesters} requesters with {in_flight} in flight, {responders} responders, {payload} B");
    let series = request::run(&title, &common.sides, &common.timing, &layout)?;
    Ok(Report { title, series })
}

fn churn(matches: &ArgMatches, common: &Common) -> Result<Report> {
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
    let series = churn::run(&title, &common.sides, &common.timing, &layout, churn)?;
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
    let outcome = suite.run();
    print!("{}", outcome.summary());
    write_json(common, outcome.json())?;
    if !outcome.failures.is_empty() {
        bail!("{} cases could not be run", outcome.failures.len());
    }
    Ok(())
}
