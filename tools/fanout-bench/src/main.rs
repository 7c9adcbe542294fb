//! Load generator and comparison tool for NATS servers.

mod check;
mod cli;
mod client;
mod cpu;
mod fanout;
mod flow;
mod frame;
mod relay;
mod report;
mod rounds;
mod sample;
mod server_process;
mod wire;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::ArgMatches;

use crate::cli::{Common, count, get};
use crate::flow::Layout;
use crate::frame::{Interest, Plan, STAMP_LEN, Subjects};
use crate::report::Report;

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
    common.load_cores.pin_current_thread()?;
    let report = match mode {
        "fanout" | "unseen" | "queue" => flow(mode, matches, &common)?,
        _ => bail!("no such mode: {mode}"),
    };
    print!("{}", report.table());
    if let Some(path) = &common.json {
        let text = serde_json::to_string_pretty(&report.json())?;
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The modes that differ only in who publishes what to whom.
fn flow(mode: &str, matches: &ArgMatches, common: &Common) -> Result<Report> {
    let payload: usize = get(matches, "payload")?;
    if payload < STAMP_LEN {
        bail!("--payload {payload}: at least {STAMP_LEN} bytes are needed to tell the messages apart");
    }
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
    if common.sides.iter().any(rounds::Side::is_floor) && (is_queue || publishers != 1) {
        bail!("--floor: the relay knows one publisher and plain subscribers only");
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
