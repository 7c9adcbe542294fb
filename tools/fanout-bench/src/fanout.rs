//! Modes `fanout`, `unseen` and `queue`: publishers at full speed, subscribers or queue groups behind them.

use std::time::Duration;

use anyhow::Result;

use crate::flow::{Ends, Flow, Layout};
use crate::rounds::{Side, take_turns};
use crate::sample::{Sample, Series, cost_of};

/// How long a run lasts.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Before anything is measured.
    pub warmup: Duration,
    /// The measured part.
    pub measured: Duration,
    /// Runs of each side.
    pub rounds: usize,
}

/// Measures one layout on every side.
pub fn run(title: &str, sides: &[Side], timing: &Timing, layout: &Layout) -> Result<Vec<Series>> {
    take_turns(title, sides, timing.rounds, layout.subscribers, |server, peer| {
        let mut flow = Flow::open(&Ends::one(server.address), peer, layout)?;
        flow.publish_for(timing.warmup)?;
        let before = flow.delivered();
        let (cost, ()) = cost_of(server, || flow.publish_for(timing.measured))?;
        let mut sample = Sample::default();
        cost.push_to(&mut sample, flow.delivered() - before);
        sample.push_memory(server)?;
        Ok(sample)
    })
}
