//! What can be seen of a cluster from outside: whom a server knows, what it knows to be wanted elsewhere, how much memory it takes.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};

use crate::client::Client;
use crate::cluster::Member;
use crate::poll::eventually;
use crate::server::Server;

/// Whether the client's server knows of anybody, here or elsewhere, who wants `subject`. Those get an empty message.
///
/// The client must have asked for 503 replies and get no messages meanwhile.
pub fn is_wanted(client: &mut Client, subject: &str) -> Result<bool> {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let inbox = format!("_INBOX.wanted.{}", ASKED.fetch_add(1, Ordering::Relaxed));
    client.subscribe(&inbox, "", "wanted")?;
    client.publish(subject, &inbox, b"");
    let answers = client.flush()?;
    client.unsubscribe("wanted")?;
    client.flush()?;
    Ok(!answers.iter().any(|answer| answer.headers.starts_with(b"NATS/1.0 503")))
}

/// Waits until these servers know each other and nobody else, as their clients are told.
pub fn wait_until_meshed<'a>(members: impl IntoIterator<Item = &'a Member>) -> Result<()> {
    let members: Vec<&Member> = members.into_iter().collect();
    let all: Vec<String> = members.iter().map(|member| member.seat.connect_url()).collect();
    members.iter().try_for_each(|member| member.wait_for_urls(&all))
}

/// Waits until a client's server knows that somebody wants a subject, or that nobody does.
///
/// # Panics
/// When that does not come true.
pub fn wait_until_wanted(client: &mut Client, subject: &str, wanted: bool) {
    let what = if wanted { "somebody to want" } else { "nobody to want" };
    eventually(&format!("{what} {subject}"), || {
        (is_wanted(client, subject).expect("a client that asks") == wanted).then_some(())
    });
}

/// Resident memory of a server, in bytes.
pub fn resident(server: &Server) -> Result<usize> {
    let path = format!("/proc/{}/status", server.pid());
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmRSS:")) else { bail!("no VmRSS in {path}") };
    let kib: usize = line.trim().trim_end_matches(" kB").parse().context("VmRSS is a number of kB")?;
    Ok(kib * 1024)
}

/// How many files and sockets a server has open.
pub fn open_files(server: &Server) -> Result<usize> {
    let path = format!("/proc/{}/fd", server.pid());
    Ok(fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?.count())
}
