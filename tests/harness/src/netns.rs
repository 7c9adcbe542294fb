//! Hosts that a test makes itself: network namespaces on one switch, whose paths can be cut in one direction or both, and slowed down.
//!
//! Every namespace lives as long as a process that holds it, and that process ends with its standard input. So nothing is
//! left behind, even by a test that is killed, and nothing is ever changed in the namespace that the test runs in.
//!
//! A path is cut by giving the sender a wrong hardware address for the receiver: its packets still leave and reach nobody,
//! and neither end is told. That takes no packet filter, and it works for each direction alone.

use std::env;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Leaves out the tests that need namespaces, for machines that do not allow them.
const LEAVE_OUT: &str = "PINMESH_NO_NAMESPACES";

/// What every host calls its one interface.
const INTERFACE: &str = "eth0";

/// Hosts on one switch. They are numbered from 0.
#[derive(Debug)]
pub struct Network {
    switch: Namespace,
    hosts: Vec<Namespace>,
}

impl Network {
    /// Makes a network of `hosts` hosts that all reach each other, or none when the environment says that tests which
    /// need one are to be left out.
    ///
    /// # Panics
    /// When the machine does not allow it, with what is missing.
    pub fn new(hosts: u8) -> Option<Network> {
        if env::var_os(LEAVE_OUT).is_some() {
            eprintln!("left out, because {LEAVE_OUT} is set");
            return None;
        }
        match Network::build(hosts) {
            Ok(network) => Some(network),
            Err(error) => panic!(
                "no network of its own for this test: {error:#}\nIt takes root (CAP_SYS_ADMIN and CAP_NET_ADMIN), \
                 `unshare` of util-linux, and `ip` and `tc` of iproute2, which tools/test installs. On a machine that does not allow \
                 namespaces, set {LEAVE_OUT}=1 to leave such tests out."
            ),
        }
    }

    fn build(hosts: u8) -> Result<Network> {
        let switch = Namespace::new()?;
        switch.ip("link add switch type bridge")?;
        switch.ip("link set switch up")?;
        let mut network = Network { switch, hosts: Vec::new() };
        for index in 0..hosts {
            let host = Namespace::new()?;
            let (switch, process, hardware) = (&network.switch, host.holder.id(), hardware(index));
            switch.ip(&format!("link add port{index} type veth peer name {INTERFACE} netns {process}"))?;
            switch.ip(&format!("link set port{index} master switch up"))?;
            host.ip(&format!("link set {INTERFACE} address {hardware} up"))?;
            host.ip(&format!("address add {}/24 dev {INTERFACE}", Network::address(index)))?;
            host.ip("link set lo up")?;
            network.hosts.push(host);
        }
        for from in 0..hosts {
            for to in (0..hosts).filter(|&to| to != from) {
                network.direct(from, to, &hardware(to))?;
            }
        }
        Ok(network)
    }

    /// The address of a host, from the range that is set aside for examples.
    pub fn address(host: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, host.saturating_add(1)).into()
    }

    /// Does some work on a host: the processes it starts live there, the sockets it opens belong there for good.
    pub fn on<T: Send>(&self, host: u8, work: impl FnOnce() -> T + Send) -> T {
        self.hosts[usize::from(host)].run(work).expect("a thread can move into a namespace of the test")
    }

    /// Loses everything that `from` sends to `to`, and nothing else.
    pub fn lose(&self, from: u8, to: u8) {
        self.direct(from, to, "02:ff:ff:ff:ff:ff").expect("a path can be cut");
    }

    /// Loses everything that two hosts send to each other.
    pub fn cut(&self, one: u8, other: u8) {
        self.lose(one, other);
        self.lose(other, one);
    }

    /// Ends [`Network::lose`] and [`Network::cut`] between two hosts.
    pub fn heal(&self, one: u8, other: u8) {
        for (from, to) in [(one, other), (other, one)] {
            self.direct(from, to, &hardware(to)).expect("a path can be healed");
        }
    }

    /// Lets a host send and receive only so many Mbit/s, behind a queue that makes packets late and then drops them.
    pub fn slow_down(&self, host: u8, megabits: u32) {
        let limit = |interface: &str| {
            format!("qdisc replace dev {interface} root tbf rate {megabits}mbit burst 16kb latency 300ms")
        };
        let both = self.hosts[usize::from(host)]
            .tc(&limit(INTERFACE))
            .and_then(|()| self.switch.tc(&limit(&format!("port{host}"))));
        both.expect("a link can be slowed down");
    }

    fn direct(&self, from: u8, to: u8, hardware: &str) -> Result<()> {
        let address = Network::address(to);
        self.hosts[usize::from(from)]
            .ip(&format!("neighbour replace {address} lladdr {hardware} dev {INTERFACE} nud permanent"))
    }
}

/// The hardware address of a host.
fn hardware(host: u8) -> String {
    format!("02:00:00:00:00:{host:02x}")
}

/// A network namespace and the process that holds it.
#[derive(Debug)]
struct Namespace {
    holder: Child,
    handle: File,
}

impl Namespace {
    fn new() -> Result<Namespace> {
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo made; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("`unshare` cannot be started")?;
        let mut line = String::new();
        if let Some(stdout) = holder.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        if line.is_empty() {
            bail!("`unshare --net` ended with {}", holder.wait()?);
        }
        let path = format!("/proc/{}/ns/net", holder.id());
        let handle = File::open(&path).with_context(|| format!("cannot open {path}"))?;
        Ok(Namespace { holder, handle })
    }

    /// Does something on a thread that has moved into this namespace.
    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let inside = || -> Result<T> {
            move_into_link_name_space(self.handle.as_fd(), Some(LinkNameSpaceType::Network))
                .context("cannot move into a network namespace")?;
            Ok(work())
        };
        thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn ip(&self, arguments: &str) -> Result<()> {
        self.command("ip", arguments)
    }

    fn tc(&self, arguments: &str) -> Result<()> {
        self.command("tc", arguments)
    }

    fn command(&self, program: &str, arguments: &str) -> Result<()> {
        let output = self.run(|| Command::new(program).args(arguments.split(' ')).output())?;
        let output = output.with_context(|| format!("`{program}` cannot be started"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`{program} {arguments}` ended with {}: {}", output.status, said.trim());
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
