//! The server program: start-up in the order it happens, then signals until the end.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use log::{debug, error, info, warn};
use pinmesh::cli::unsupported::UnsupportedFlag;
use pinmesh::cli::{self, CommandLineError, Flags, Request};
use pinmesh::config::ProcessEnvironment;
use pinmesh::engine::{ClusterFacts, Facts};
use pinmesh::layout::{self, Cpus};
use pinmesh::listen::ListenError;
use pinmesh::logging::{self, FATAL, Log};
use pinmesh::monitor::Monitor;
use pinmesh::options::{ClusterOptions, MAX_PAYLOAD_ADVISED, Options};
use pinmesh::ports_file::{self, Ports};
use pinmesh::program::Program;
use pinmesh::server_id::NoRandomness;
use pinmesh::signals::{self, Action};
use pinmesh::{config, engine, file_limit, go_text, listen, pid_file, server_id, signal_command};
use shards::config::Cluster;
use shards::server::{Listener, Server};
use signal_hook::iterator::Signals;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code of a process that ends because of a bug or of a signal that asks for a dump.
const EXIT_DUMP: i32 = 2;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = Program::from_argv0(arguments.next().as_deref());
    match cli::parse(&program, arguments) {
        Ok(Request::Print(text)) => {
            print(io::stdout(), &text);
            ExitCode::SUCCESS
        }
        Ok(Request::Run(flags)) => run(&program, &flags).unwrap_or_else(|error| {
            print(io::stderr(), &format!("{}: {error:#}\n", program.name));
            ExitCode::FAILURE
        }),
        Err(error @ CommandLineError::Flag { .. }) => {
            print(io::stderr(), &format!("{error}\n"));
            if let CommandLineError::Flag { usage, .. } = &error {
                print(io::stdout(), usage);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            print(io::stderr(), &format!("{}: {error}\n", program.name));
            ExitCode::FAILURE
        }
    }
}

/// Prints, whether or not somebody reads.
fn print(mut to: impl Write, text: &str) {
    let _ = to.write_all(text.as_bytes());
    let _ = to.flush();
}

/// Does what the flags say. Errors from here are for standard error; later ones are in the log.
fn run(program: &Program, flags: &Flags) -> anyhow::Result<ExitCode> {
    if let Some(parameter) = flags.signal.as_deref().filter(|parameter| !parameter.is_empty()) {
        signal_command::send(parameter, &program.file_name)?;
        return Ok(ExitCode::SUCCESS);
    }
    let file = flags.config.as_deref().filter(|file| !file.is_empty()).map(Path::new);
    if flags.test_config {
        let file = file.context("must specify [-c, --config] option to check configuration file syntax")?;
        let check = config::check(file, &ProcessEnvironment);
        print(io::stderr(), &format!("{}: {}\n", program.name, check.text));
        return Ok(ExitCode::from(check.exit_code));
    }

    let (mut options, digest) = match file {
        Some(file) => {
            let loaded = config::load(file, &ProcessEnvironment)?;
            for warning in &loaded.warnings {
                print(io::stderr(), &format!("{warning}\n"));
            }
            (loaded.options, Some(loaded.digest))
        }
        None => (Options::default(), None),
    };
    cli::apply::over_config(flags, &mut options)?;
    let ignored = cli::unsupported::check(flags)?;
    let missing: Vec<String> = options.missing_parts().map(ToString::to_string).collect();
    if !flags.allow_unsupported && !missing.is_empty() {
        anyhow::bail!("{}\n--allow-unsupported starts without them", missing.join("\n"));
    }
    options.fill_defaults();
    options.validate()?;

    let log = match logging::start(logging::Settings::new(&options.logging)) {
        Ok(log) => log,
        Err(error) => {
            let now = jiff::Zoned::now().strftime("%Y/%m/%d %H:%M:%S").to_string();
            print(io::stderr(), &format!("{now} {error}\n"));
            return Ok(ExitCode::FAILURE);
        }
    };
    end_on_panic(log.clone());
    let start = Start { program, options: &options, digest: digest.as_deref(), ignored: &ignored };
    let ended = start.serve(&log);
    if let Err(error) = &ended {
        error!(target: FATAL, "{error:#}");
    }
    log.flush();
    Ok(if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A thread that panics takes the process down: a mesh with a hole in it would lose messages in silence.
fn end_on_panic(log: Log) {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        let thread = std::thread::current();
        error!(target: FATAL, "Thread {:?} panicked, this is a bug: {panic}", thread.name().unwrap_or("?"));
        log.flush();
        std::process::exit(EXIT_DUMP);
    }));
}

/// Everything that a start needs to know.
struct Start<'a> {
    program: &'a Program,
    options: &'a Options,
    digest: Option<&'a str>,
    ignored: &'a [UnsupportedFlag],
}

impl Start<'_> {
    /// Starts the server and stays until a signal ends it. An error is the text of the fatal log line.
    fn serve(&self, log: &Log) -> anyhow::Result<()> {
        let options = self.options;
        let mut signals = signals::trap().context("Unable to handle signals")?;
        let server_id = server_id::new()?;
        let cluster_name = self.cluster_name()?;
        self.introduce(&server_id, cluster_name.as_deref());
        let (layout, warnings) = layout::layout(&options.shards, &Cpus::of_process());
        warnings.iter().for_each(|warning| warn!("{warning}"));
        let max_connections = usize::try_from(options.limits.max_connections).unwrap_or(0);
        if let Some(warning) = file_limit::raise(max_connections, layout.count) {
            warn!("{warning}");
        }

        if let Some(path) = &options.pid_file {
            pid_file::write(path).map_err(|error| {
                anyhow::anyhow!("Could not write pidfile: open {}: {}", path.display(), go_text::os_error(&error))
            })?;
        }
        let monitoring = self.bind_monitoring()?;
        let (listener, bound) = listen::bind(&options.host, options.port)?;
        let mut ports = Ports::new(&options.host, bound.port());
        let advertise = options.client_advertise.as_deref();
        let advertise = advertise.map(|value| listen::advertised(value, bound.port())).transpose()?;
        let (routes, cluster) = cluster_name.map(|name| self.bind_routes(name)).transpose()?.flatten().unzip();
        if let Some(ClusterFacts { bound, .. }) = &cluster {
            ports = ports.with_cluster(*bound);
        }
        info!("{}", layout::describe(&layout));
        let facts = Facts { server_id, shards: layout, port: bound.port(), advertise, cluster };
        let config = engine::config(options, facts);
        let (identity, cluster) = (config.identity.clone(), config.cluster.clone());
        let server =
            Server::start(config, listener, routes).map_err(|error| anyhow::anyhow!(engine::start_failure(&error)))?;
        if let Some((listener, bound)) = monitoring {
            ports = ports.with_monitoring(bound);
            Monitor::new(identity, cluster.clone(), options.clone(), self.digest, server.observer())
                .start(listener)
                .context("Can't start monitoring")?;
        }
        let address = go_text::join_host_port(&options.host, bound.port().into());
        info!("Listening for client connections on {address}");
        if options.client_advertise.is_none() {
            listen::show_addresses(&options.host);
        }
        info!("Server is ready");
        if let Some(Cluster { name, name_is_dynamic, host, port, .. }) = &cluster {
            info!("Cluster name is {name}");
            if *name_is_dynamic {
                warn!("Cluster name was dynamically generated, consider setting one");
            }
            info!("Listening for route connections on {}", go_text::join_host_port(host, (*port).into()));
        }

        let ports_file =
            options.ports_file_dir.as_deref().map(|directory| ports_file::path(directory, &self.program.file_name));
        if let Some(path) = &ports_file
            && let Err(error) = ports_file::write(path, &ports)
        {
            let reason = go_text::os_error(&error);
            error!("Error writing ports file ({}): open {}: {reason}", path.display(), path.display());
        }

        self.obey(&mut signals, log);

        info!("Initiating Shutdown...");
        if let Some(path) = &ports_file
            && let Err(error) = std::fs::remove_file(path)
        {
            let reason = go_text::os_error(&error);
            error!("Error cleaning up ports file {}: remove {}: {reason}", path.display(), path.display());
        }
        server.shutdown();
        info!("Server Exiting..");
        Ok(())
    }

    /// Binds the monitoring port, if there is to be one. It answers when the clients' port does.
    fn bind_monitoring(&self) -> anyhow::Result<Option<(TcpListener, SocketAddr)>> {
        let (host, port) = (&self.options.http_host, self.options.http_port);
        if port == 0 {
            return Ok(None);
        }
        let (listener, bound) = listen::bind_monitor(host, port)?;
        info!("Starting http monitor on {}", go_text::join_host_port(host, bound.port().into()));
        Ok(Some((listener, bound)))
    }

    /// The configured name of the cluster; if there is a cluster without one, a new one.
    fn cluster_name(&self) -> Result<Option<String>, NoRandomness> {
        match &self.options.cluster {
            ClusterOptions { name: Some(name), .. } => Ok(Some(name.clone())),
            cluster if cluster.is_enabled() => server_id::new_cluster_name().map(Some),
            _ => Ok(None),
        }
    }

    /// Binds the port for other servers, if there is to be one.
    fn bind_routes(&self, name: String) -> Result<Option<(Listener, ClusterFacts)>, ListenError> {
        let cluster = &self.options.cluster;
        if !cluster.is_enabled() {
            return Ok(None);
        }
        let (listener, bound) = listen::bind_routes(&cluster.host, cluster.port)?;
        let advertise = cluster.advertise.as_deref();
        let advertise = advertise.map(|value| listen::advertised_to_routes(value, bound.port())).transpose()?;
        Ok(Some((listener, ClusterFacts { name, bound, advertise })))
    }

    /// The first lines of the log.
    fn introduce(&self, server_id: &str, cluster_name: Option<&str>) {
        let (program, options) = (self.program, self.options);
        info!("Starting {}", program.name);
        info!("  Version:  {}", program.version);
        info!("  Git:      [{}]", option_env!("PINMESH_GIT_COMMIT").unwrap_or("not set"));
        debug!("  Build:    {}", option_env!("PINMESH_RUSTC").unwrap_or("unknown compiler"));
        if let Some(name) = cluster_name {
            info!("  Cluster:  {name}");
        }
        info!("  Name:     {}", options.server_name.as_deref().unwrap_or(server_id));
        info!("  ID:       {server_id}");
        if options.auth.password.as_deref().is_some_and(|password| !is_bcrypt(password)) {
            warn!("Plaintext passwords detected, use nkeys or bcrypt");
        }
        if options.auth.password.is_some() && options.auth.user.is_none() && options.auth.token.is_none() {
            warn!("A password without a user protects nothing: everybody may connect");
        }
        if options.cluster.is_enabled() && options.cluster.password.is_some() && options.cluster.user.is_none() {
            warn!("A password of the cluster without a user protects nothing: every server may connect");
        }
        if let (Some(file), Some(digest)) = (&options.config_file, self.digest) {
            info!("Using configuration file: {} ({digest})", file.display());
        }
        if options.limits.max_payload > MAX_PAYLOAD_ADVISED {
            warn!("Maximum payloads over 8.00 MB are generally discouraged and could lead to poor performance");
        }
        self.ignored.iter().for_each(|flag| warn!("{flag}: ignored"));
        options.missing_parts().for_each(|part| warn!("{part}: ignored"));
    }

    /// Obeys signals until one asks for the end.
    fn obey(&self, signals: &mut Signals, log: &Log) {
        for signal in signals.forever() {
            let Some(trapped) = signals::meaning(signal) else { continue };
            if trapped.action == Action::Dump {
                log.flush();
                print(io::stderr(), &signals::dump(self.program, trapped.name));
                std::process::exit(EXIT_DUMP);
            }
            info!("Trapped {:?} signal", trapped.name);
            match trapped.action {
                Action::Shutdown => return,
                Action::ReopenLog => log.reopen(),
                Action::Reload => {
                    let reason = match self.options.config_file {
                        Some(_) => "reload is not supported yet, restart the server to apply changes",
                        None => "can only reload config when a file is provided using -c or --config",
                    };
                    error!("Failed to reload server configuration: {reason}");
                }
                Action::LameDuck => error!("Lame duck mode is not supported yet, use SIGTERM to stop the server"),
                Action::Dump => {}
            }
        }
    }
}

/// Whether a configured password is a hash already.
fn is_bcrypt(password: &str) -> bool {
    let mut parts = password.split('$');
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|c| c.is_ascii_digit());
    parts.next() == Some("")
        && parts.next().is_some_and(|kind| matches!(kind, "2a" | "2b" | "2x" | "2y"))
        && parts.next().is_some_and(digits)
        && parts.next().is_some()
}
