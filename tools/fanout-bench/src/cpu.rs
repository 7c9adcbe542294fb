//! What the kernel says a process has used: processor time and memory, and which cores a thread may run on.

use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Length of a tick in `stat`: the kernel reports user time in hundredths of a second everywhere we run.
const TICK: Duration = Duration::from_millis(10);

/// Processor time of all threads of a process since it started.
///
/// `schedstat` counts nanoseconds, but forgets threads that have ended; `stat` remembers them, in ticks.
/// The larger of the two is right in both cases, to a tick.
pub fn processor_time(pid: u32) -> Result<Duration> {
    let root = PathBuf::from(format!("/proc/{pid}"));
    let mut exact = Duration::ZERO;
    let tasks = fs::read_dir(root.join("task")).with_context(|| format!("process {pid} is gone"))?;
    for task in tasks {
        match fs::read_to_string(task?.path().join("schedstat")) {
            Ok(text) => exact += parse_schedstat(&text).with_context(|| format!("schedstat of {pid}: {text:?}"))?,
            Err(error) if has_ended(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let stat = fs::read_to_string(root.join("stat"))?;
    let ticks = parse_stat(&stat).with_context(|| format!("stat of {pid}: {stat:?}"))?;
    Ok(exact.max(ticks))
}

/// A thread may end between listing and opening, or between opening and reading, which the kernel tells apart.
fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || Errno::from_io_error(error) == Some(Errno::SRCH)
}

/// First field of `schedstat`: time spent on the processor, in nanoseconds.
fn parse_schedstat(text: &str) -> Option<Duration> {
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// Fields 14 and 15 of `stat` (user and system time), counted behind the program name, which may hold anything.
fn parse_stat(text: &str) -> Option<Duration> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    TICK.checked_mul(user.checked_add(system)?)
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All that is resident (`VmRSS`).
    pub resident: u64,
    /// What the program itself allocated (`RssAnon`): no file mappings, no socket buffers.
    pub anonymous: u64,
}

/// Memory of a process now.
pub fn memory(pid: u32) -> Result<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid} is gone"))?;
    parse_status(&text).with_context(|| format!("status of {pid} lacks VmRSS or RssAnon"))
}

fn parse_status(text: &str) -> Option<Memory> {
    let bytes_of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.strip_prefix(':')?.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    Some(Memory { resident: bytes_of("VmRSS")?, anonymous: bytes_of("RssAnon")? })
}

/// Processes whose processor time and memory are asked for as one.
pub trait Account {
    /// Processor time used so far, if the processes are known.
    fn processor_time(&self) -> Result<Option<Duration>>;

    /// Memory in use, if the processes are known.
    fn memory(&self) -> Result<Option<Memory>>;
}

/// A set of cores as given on the command line: `0`, `0,2`, `1-3` or `any`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores(Vec<usize>);

impl Cores {
    /// Reads `0`, `0,2`, `1-3`; `any` leaves the choice to the kernel.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "any" {
            return Ok(Cores(Vec::new()));
        }
        let mut cores = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| {
                let core = text.trim().parse::<usize>().ok().filter(|core| *core < CpuSet::MAX_CPU);
                core.ok_or_else(|| format!("{text:?} is not a core: give numbers like 0, 0,2 or 1-3, or `any`"))
            };
            cores.extend(number(first)?..=number(last)?);
        }
        Ok(Cores(cores))
    }

    /// Restricts the calling thread, and every thread and process it starts from now on, to these cores.
    pub fn pin_current_thread(&self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut set = CpuSet::new();
        for core in &self.0 {
            set.set(*core);
        }
        if let Err(error) = sched_setaffinity(None, &set) {
            bail!(
                "cannot pin to cores {:?}: {error} (choose others with --server-cores / --load-cores, or `any`)",
                self.0
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        assert_eq!(parse_schedstat("4125114 712409 8\n"), Some(Duration::from_nanos(4_125_114)));
        assert_eq!(parse_schedstat(""), None);
        let stat = "7 (a (odd) name) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 9";
        assert_eq!(parse_stat(stat), Some(Duration::from_secs(2)));
        let status = "Name:\tx\nVmRSS:\t    1024 kB\nRssAnon:\t     512 kB\n";
        assert_eq!(parse_status(status), Some(Memory { resident: 1 << 20, anonymous: 1 << 19 }));
        assert_eq!(parse_status("VmRSS:\t 1 kB\n"), None);
    }

    #[test]
    fn own_time_only_grows() {
        let pid = std::process::id();
        let before = processor_time(pid).unwrap();
        let mut sum = 0u64;
        while processor_time(pid).unwrap() <= before {
            sum = sum.wrapping_add((0..10_000).map(std::hint::black_box).sum());
        }
        std::hint::black_box(sum);
        assert!(memory(pid).unwrap().resident > 0);
    }

    #[test]
    fn threads_that_end_do_not_matter() {
        let pid = std::process::id();
        std::thread::scope(|scope| {
            let ending = scope.spawn(|| {
                for _ in 0..500 {
                    std::thread::spawn(|| {}).join().unwrap();
                }
            });
            while !ending.is_finished() {
                processor_time(pid).unwrap();
            }
        });
    }

    #[test]
    fn cores() {
        assert_eq!(Cores::parse("0,2-3"), Ok(Cores(vec![0, 2, 3])));
        assert_eq!(Cores::parse("any"), Ok(Cores(vec![])));
        assert!(Cores::parse("x").is_err());
        assert!(Cores::parse("99999").is_err());
    }
}
