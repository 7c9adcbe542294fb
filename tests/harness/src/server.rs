//! One server process: started on a free port, watched through its log, and gone when the test is over.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use tempfile::TempDir;

use crate::poll::{DEADLINE, eventually, poll_until};
use crate::side::Side;

/// What the log says in front of the address of the client port.
const LISTENING: &str = "Listening for client connections on ";
/// What the log says in front of the address of the monitoring port.
const MONITORING: &str = "Starting http monitor on ";
/// What the log says last when a server starts.
const READY: &str = "Server is ready";
/// How much of a log a failed test shows.
const SHOWN_LINES: usize = 200;

/// How a server will be started.
#[derive(Clone, Debug)]
pub struct Builder {
    side: Side,
    program: Option<PathBuf>,
    shards: Option<usize>,
    listen: bool,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    config: Option<String>,
    log_file: Option<PathBuf>,
}

/// What a process that ended on its own left behind.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

/// A server that did not become ready for clients.
#[derive(Debug)]
pub struct NotReady {
    side: Side,
    ended: Option<ExitStatus>,
    log: String,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not ready for clients: ", self.side)?;
        match self.ended {
            Some(status) => write!(f, "it ended with {status}")?,
            None => write!(f, "it still runs after {DEADLINE:?}")?,
        }
        write!(f, "; its log:\n{}", last_lines(&self.log))
    }
}

impl std::error::Error for NotReady {}

impl Builder {
    pub(crate) fn new(side: Side) -> Builder {
        Builder {
            side,
            program: None,
            shards: None,
            listen: true,
            args: Vec::new(),
            env: Vec::new(),
            config: None,
            log_file: None,
        }
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Builder {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Builder {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the server's environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Builder {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The text of the configuration file (`-c`). Relative includes are looked up in the server's directory.
    pub fn config(mut self, text: impl Into<String>) -> Builder {
        self.config = Some(text.into());
        self
    }

    /// The number of shards of our server. The reference has no such thing and ignores it.
    pub fn shards(mut self, shards: usize) -> Builder {
        self.shards = Some(shards);
        self
    }

    /// Starts the program at `path` instead of the usual one of this side, for instance a link that gives it
    /// another name.
    pub fn program(mut self, path: impl Into<PathBuf>) -> Builder {
        self.program = Some(path.into());
        self
    }

    /// Leaves out `-a 127.0.0.1 -p -1`, for a test whose configuration says where to listen. It must be a free
    /// port all the same: `port: -1`.
    pub fn without_listen_flags(mut self) -> Builder {
        self.listen = false;
        self
    }

    /// Tells where the log is when the arguments or the configuration send it to a file.
    pub fn log_file(mut self, path: impl Into<PathBuf>) -> Builder {
        self.log_file = Some(path.into());
        self
    }

    /// Starts the server and waits until it is ready for clients.
    ///
    /// # Panics
    /// When it ends or is not ready in time, with its log.
    pub fn start(self) -> Server {
        self.try_start().unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Like [`Builder::start`], for a test that wants to go on when the server does not.
    pub fn try_start(self) -> Result<Server, NotReady> {
        let dir = new_directory();
        let output = dir.path().join("server.log");
        let child = self.spawn(&dir, &output, &output, None);
        let mut server = Server {
            log: self.log_file.clone().unwrap_or(output),
            builder: self,
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            child,
            ended: None,
            log_start: 0,
            dir,
        };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Runs the program to its end: for starts that must fail, and for flags like `-t` and `--version`.
    ///
    /// # Panics
    /// When it has not ended in time.
    pub fn run(self) -> Finished {
        let dir = new_directory();
        let (stdout, stderr) = (dir.path().join("stdout"), dir.path().join("stderr"));
        let mut child = self.spawn(&dir, &stdout, &stderr, None);
        let status = poll_until(DEADLINE, || child.try_wait().expect("the state of a child process"));
        let Some(status) = status else {
            end(&mut child);
            panic!("{} {:?} has not ended by itself; its standard error:\n{}", self.side, self.args, read(&stderr));
        };
        Finished { status, stdout: read(&stdout), stderr: read(&stderr) }
    }

    fn spawn(&self, dir: &TempDir, stdout: &Path, stderr: &Path, port: Option<u16>) -> Child {
        let program = self.program.clone().unwrap_or_else(|| self.side.program());
        let mut command = Command::new(&program);
        command.current_dir(dir.path()).stdin(Stdio::null()).stdout(append_to(stdout)).stderr(append_to(stderr));
        if self.listen || port.is_some() {
            let port = port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
            command.args(["-a", "127.0.0.1", "-p", &port]);
        }
        if let Some(text) = &self.config {
            let path = dir.path().join("server.conf");
            fs::write(&path, text).expect("the configuration file can be written");
            command.arg("-c").arg(path);
        }
        if let (Side::Ours, Some(shards)) = (self.side, self.shards) {
            command.args(["--shards", &shards.to_string()]);
        }
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("{} cannot be started: {error}", program.display()),
        }
    }
}

/// A running server. Dropping it kills the process, waits for its end and removes its directory; when the test is
/// failing at that moment, the end of the log is shown.
#[derive(Debug)]
pub struct Server {
    builder: Builder,
    address: SocketAddr,
    child: Child,
    ended: Option<ExitStatus>,
    log: PathBuf,
    /// Where in the log the present process begins: a restart appends.
    log_start: usize,
    dir: TempDir,
}

impl Server {
    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port of [`Server::address`].
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where clients connect, as the client libraries want it.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Where the monitoring listens, when it was asked for (`-m -1`).
    pub fn monitor_address(&self) -> SocketAddr {
        let text = eventually("the monitoring port in the log", || after(self.present_log(), MONITORING));
        loopback(&text)
    }

    /// Which server this is.
    pub fn side(&self) -> Side {
        self.builder.side
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The server's own directory, which is also its working directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The configuration file, where [`Builder::config`] gave its text. A test that reloads rewrites it.
    pub fn config_path(&self) -> PathBuf {
        self.dir.path().join("server.conf")
    }

    /// Everything logged so far, over all restarts.
    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// Waits until the log of the present process holds `text`.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn wait_for_log(&self, text: &str) {
        eventually(&format!("{text:?} in the log of {}", self.side()), || {
            self.present_log().contains(text).then_some(())
        });
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            kill_process(Pid::from_child(&self.child), signal).expect("a signal can be sent to a child process");
        }
    }

    /// Asks the server to end (SIGTERM) and waits for it.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Ends the server the hard way (SIGKILL) and waits for it.
    pub fn kill(&mut self) -> ExitStatus {
        self.signal(Signal::KILL);
        self.wait()
    }

    /// How the process ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("the state of a child process");
        }
        self.ended
    }

    /// Waits for the end of the process.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn wait(&mut self) -> ExitStatus {
        let side = self.side();
        eventually(&format!("the end of {side}"), || self.ended())
    }

    /// Starts the server again, on the same port and with the same arguments, after killing the present process
    /// if it still runs.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn restart(&mut self) {
        self.kill();
        self.log_start = self.log().len();
        let output = self.dir.path().join("server.log");
        self.child = self.builder.spawn(&self.dir, &output, &output, Some(self.address.port()));
        self.ended = None;
        self.wait_until_ready().unwrap_or_else(|failure| panic!("{failure}"));
    }

    fn wait_until_ready(&mut self) -> Result<(), NotReady> {
        let address = poll_until(DEADLINE, || {
            if self.ended().is_some() {
                return Some(None);
            }
            let log = self.present_log();
            if log.contains(READY) { after(log, LISTENING).map(Some) } else { None }
        });
        match address.flatten() {
            Some(address) => {
                self.address = loopback(&address);
                Ok(())
            }
            None => Err(NotReady { side: self.side(), ended: self.ended, log: self.present_log() }),
        }
    }

    fn present_log(&self) -> String {
        self.log().split_off(self.log_start)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.ended.is_none() {
            end(&mut self.child);
        }
        if thread::panicking() {
            eprintln!("--- log of {} (process {}):\n{}\n---", self.side(), self.pid(), last_lines(&self.log()));
        }
    }
}

fn new_directory() -> TempDir {
    tempfile::Builder::new().prefix("pinmesh-test-").tempdir().expect("a directory for the server")
}

fn append_to(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("a file for the server's output")
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The end of a log, as much of it as a person wants to see below a failed test.
fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

/// Nothing is left to do about a child that cannot be killed or waited for, and a drop must not panic.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The rest of the first complete line that holds `marker`, behind it.
fn after(log: String, marker: &str) -> Option<String> {
    let (_, rest) = log.split_once(marker)?;
    let (line, _) = rest.split_once('\n')?;
    Some(line.trim().to_owned())
}

/// The address of a log line, with a host that can be connected to in place of "every interface".
fn loopback(text: &str) -> SocketAddr {
    let mut address: SocketAddr = match text.parse() {
        Ok(address) => address,
        Err(error) => panic!("{text:?} in the log is no address: {error}"),
    };
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    address
}
