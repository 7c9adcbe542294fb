//! What applications may count on when their clients are on different servers of a cluster, as scenarios that any
//! cluster plays: one line-up of servers after the other runs the same bodies.

mod interest;
mod messages;
mod order;
mod queues;
mod requests;

use anyhow::{Context, Result};

use crate::{Client, Cluster, Frame, Received};

/// What one scenario asks of a cluster.
pub struct Scenario {
    name: &'static str,
    body: fn(&Cluster) -> Result<()>,
    /// Whether it belongs to the short suite.
    short: bool,
    /// Whether it holds only where all servers have pools of routes of the same size: otherwise a `nats-server` sends
    /// interest and messages on different connections.
    equal_pools: bool,
}

const fn scenario(name: &'static str, body: fn(&Cluster) -> Result<()>) -> Scenario {
    Scenario { name, body, short: true, equal_pools: false }
}

impl Scenario {
    const fn long(self) -> Scenario {
        Scenario { short: false, ..self }
    }

    const fn with_equal_pools(self) -> Scenario {
        Scenario { equal_pools: true, ..self }
    }
}

const SCENARIOS: &[Scenario] = &[
    scenario("every subscription gets what it matches, once", messages::plain_and_wildcards),
    scenario("payloads of any size and content", messages::payloads),
    scenario("headers, also for clients without", messages::headers),
    scenario("acknowledgement replies carry the subject to deliver on", messages::acknowledgement_replies),
    scenario("no echo", messages::no_echo).long(),
    scenario("a message crosses a route once", messages::crosses_once).long(),
    scenario("members of a group share evenly", queues::shared_evenly),
    scenario("groups beside plain subscriptions", queues::beside_plain),
    scenario("the members that are left do the work", queues::members_leave).long(),
    scenario("members leave while there is work", queues::members_leave_under_load).long(),
    scenario("requests are answered or refused", requests::answered_or_refused),
    scenario("requests from new inboxes", requests::new_inboxes).with_equal_pools(),
    scenario("interest ends with its client", interest::ends_with_the_client).long(),
    scenario("interest ends with its last message", interest::ends_with_the_last_message),
    scenario("interest is exact after many changes", interest::exact_after_changes).long(),
    scenario("each publisher's messages stay in order", order::of_each_publisher),
];

/// How much of the suite a cluster plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// All of it.
    Whole,
    /// The heart of it.
    Short,
    /// The heart of it, for a cluster of servers with different pools.
    UnequalPools,
}

impl Suite {
    fn has(self, scenario: &Scenario) -> bool {
        match self {
            Suite::Whole => true,
            Suite::Short => scenario.short,
            Suite::UnequalPools => scenario.short && !scenario.equal_pools,
        }
    }
}

/// Plays scenario after scenario and fails with all that went wrong.
pub fn play(cluster: &Cluster, suite: Suite) {
    let failures: Vec<String> = SCENARIOS
        .iter()
        .filter(|scenario| suite.has(scenario))
        .filter_map(|scenario| Some(format!("{}: {:#}", scenario.name, (scenario.body)(cluster).err()?)))
        .collect();
    assert!(failures.is_empty(), "on {}:\n{}", cluster.line_up(), failures.join("\n"));
}

/// The sid of the subscription to the subject that publishers end with.
const END: &str = "end";

/// A client that listens until all publishers are done.
struct Ear {
    client: Client,
}

impl Ear {
    /// On a server of the cluster; `scene` names the scenario.
    fn new(cluster: &Cluster, member: usize, scene: &str) -> Result<Ear> {
        Ear::over(cluster.client(member)?, scene)
    }

    fn over(mut client: Client, scene: &str) -> Result<Ear> {
        client.subscribe(&end_of(scene), "", END)?;
        Ok(Ear { client })
    }

    /// One on each server.
    fn everywhere(cluster: &Cluster, scene: &str) -> Result<Vec<Ear>> {
        (0..cluster.members.len()).map(|member| Ear::new(cluster, member, scene)).collect()
    }

    /// What comes before so many publishers are done. What one of them sent comes before its end.
    fn hear(&mut self, publishers: usize) -> Result<Vec<Received>> {
        let (mut messages, mut ends) = (Vec::new(), 0);
        while ends < publishers {
            match self.client.frame().with_context(|| format!("{} messages came", messages.len()))? {
                Frame::Message(message) if message.sid == END.as_bytes() => ends += 1,
                Frame::Message(message) => messages.push(message.to_received()),
                Frame::Info(_) | Frame::Ok => {}
                other => anyhow::bail!("{other:?} in place of a message"),
            }
        }
        Ok(messages)
    }
}

/// Waits until every server knows what these ears listen to.
fn settle(cluster: &Cluster, ears: &mut [Ear]) -> Result<()> {
    cluster.settle(ears.iter_mut().map(|ear| &mut ear.client))
}

/// Sends what was queued, and the end of it, and waits until the server has it.
fn finish(publisher: &mut Client, scene: &str) -> Result<()> {
    publisher.publish(&end_of(scene), "", b"");
    publisher.flush()?;
    Ok(())
}

fn end_of(scene: &str) -> String {
    format!("end.{scene}")
}

fn text(message: &Received) -> String {
    String::from_utf8_lossy(&message.payload).into_owned()
}
