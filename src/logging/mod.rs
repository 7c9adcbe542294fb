//! nats-server's log lines, on `log` and `env_logger`.
//!
//! A thread that logs formats its line and hands it over without waiting: a bounded queue leads to one writer thread,
//! which alone touches the file or standard error (`writer`). What finds no room is dropped and counted.
//!
//! `log` has five levels and the reference six: a fatal error is `error!` with target [`FATAL`].

use std::path::PathBuf;

use jiff::tz::TimeZone;
use log::{Level, LevelFilter};

use crate::options::LogOptions;

mod file;
mod format;
mod writer;

pub use writer::{Log, StartError};

/// Target of the error that ends the program: `error!(target: logging::FATAL, …)`.
pub const FATAL: &str = "fatal";

/// How the log looks and where it goes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Show debug lines.
    pub debug: bool,
    /// Show protocol traces.
    pub trace: bool,
    /// What stands in front of a message.
    pub style: Style,
    /// The log file; `None`: standard error.
    pub file: Option<PathBuf>,
    /// Size at which the file is put aside; 0: never.
    pub size_limit: u64,
    /// Files kept, the live one included; 0: all.
    pub max_files: usize,
}

/// What stands in front of a message.
#[derive(Clone, Debug)]
pub struct Style {
    /// Process id in brackets.
    pub pid: u32,
    /// Zone of date and time; `None`: neither.
    pub time: Option<TimeZone>,
    /// Coloured levels.
    pub colour: bool,
}

impl Settings {
    /// The settings that the options ask for.
    pub fn new(options: &LogOptions) -> Settings {
        let zone = if options.logtime_utc { TimeZone::UTC } else { TimeZone::system() };
        Settings {
            debug: options.debug,
            trace: options.trace,
            style: Style {
                pid: std::process::id(),
                time: options.logtime.then_some(zone),
                colour: options.log_file.is_none() && stderr_is_character_device(),
            },
            file: options.log_file.clone(),
            size_limit: u64::try_from(options.log_size_limit).unwrap_or(0),
            max_files: usize::try_from(options.log_max_num).unwrap_or(0),
        }
    }
}

fn stderr_is_character_device() -> bool {
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::CharacterDevice)
}

/// Opens the log and makes it the one that `log`'s macros write to. Once per process.
pub fn start(settings: Settings) -> Result<Log, StartError> {
    let max_level = match (settings.debug, settings.trace) {
        (_, true) => LevelFilter::Trace,
        (true, false) => LevelFilter::Debug,
        (false, false) => LevelFilter::Info,
    };
    let (debug, style) = (settings.debug, settings.style.clone());
    let (log, sender) = writer::start(settings)?;
    env_logger::Builder::new()
        .filter_level(LevelFilter::Trace)
        // A library's tracing is no protocol trace.
        .filter_module("mio", LevelFilter::Warn)
        .target(env_logger::Target::Pipe(Box::new(sender)))
        .format(move |line, record| {
            // Tracing may be on while debugging is off, which `log`'s order of levels cannot say.
            if record.level() == Level::Debug && !debug {
                return Ok(());
            }
            format::write_line(line, &style, format::Label::of(record), record.args())
        })
        .init();
    log::set_max_level(max_level);
    Ok(log)
}
