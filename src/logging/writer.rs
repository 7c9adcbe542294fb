//! The writer thread: takes lines from a bounded queue and puts them where the log goes.
//!
//! Whoever logs never waits: a line that finds the queue full, in lines or in bytes, is dropped and counted, and the
//! log says so when it moves again. Only the main thread waits, when it reopens the log or ends the process.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::file::LogFile;
use super::format::{self, Label};
use super::{Settings, Style};
use crate::go_text;

/// Lines that may wait for the writer.
const MAX_LINES: usize = 16 * 1024;
/// Bytes that may wait for the writer: traced payloads make long lines.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Bytes that the writer takes together to the file.
const BATCH: usize = 64 * 1024;
/// How long the end of the process waits for a log that nobody takes.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file cannot be opened.
    #[error("error opening file: open {}: {}", path.display(), go_text::os_error(source))]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The writer thread cannot be started.
    #[error("error starting the log writer: {}", go_text::os_error(.0))]
    Thread(io::Error),
}

enum Message {
    Line(Vec<u8>),
    Reopen,
    /// Answered when everything before it is written.
    Flush(Sender<()>),
}

#[derive(Default)]
struct Backlog {
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

/// The main thread's handle on the log.
#[derive(Clone)]
pub struct Log {
    queue: Sender<Message>,
}

impl Log {
    /// Opens the log file again, after what was logged so far.
    pub fn reopen(&self) {
        let _ = self.queue.send_timeout(Message::Reopen, FLUSH_TIMEOUT);
    }

    /// Waits until what was logged so far is written, but not for ever.
    pub fn flush(&self) {
        let (done, written) = bounded(1);
        if self.queue.send_timeout(Message::Flush(done), FLUSH_TIMEOUT).is_ok() {
            let _ = written.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

/// Where formatted lines go in: one `write` is one line. Never waits and never fails.
pub struct LineSender {
    queue: Sender<Message>,
    backlog: Arc<Backlog>,
}

impl Write for LineSender {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let before = self.backlog.bytes.fetch_add(line.len(), Ordering::Relaxed);
        // A single line may be longer than the bound, if it is the only one.
        let fits = before == 0 || before.saturating_add(line.len()) <= MAX_BYTES;
        let sent = fits
            && match self.queue.try_send(Message::Line(line.to_vec())) {
                Ok(()) => true,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
            };
        if !sent {
            self.backlog.bytes.fetch_sub(line.len(), Ordering::Relaxed);
            self.backlog.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens the log and starts the thread that writes it.
pub fn start(settings: Settings) -> Result<(Log, LineSender), StartError> {
    let Settings { style, file: path, size_limit, max_files, .. } = settings;
    let file = match path {
        Some(path) => Some(LogFile::open(&path).map_err(|source| StartError::Open { path, source })?),
        None => None,
    };
    let (queue, messages) = bounded(MAX_LINES);
    let backlog = Arc::new(Backlog::default());
    let mut writer = Writer { file, style, size_limit, max_files, backlog: Arc::clone(&backlog), batch: Vec::new() };
    thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(&messages)).map_err(StartError::Thread)?;
    Ok((Log { queue: queue.clone() }, LineSender { queue, backlog }))
}

struct Writer {
    /// `None`: standard error.
    file: Option<LogFile>,
    style: Style,
    size_limit: u64,
    max_files: usize,
    backlog: Arc<Backlog>,
    batch: Vec<u8>,
}

impl Writer {
    fn run(&mut self, messages: &Receiver<Message>) {
        if self.is_too_large() {
            self.add(Label::INFO, format_args!("Rotating logfile..."));
            self.write_batch();
            self.rotate();
        }
        while let Ok(first) = messages.recv() {
            self.take(first);
            while self.batch.len() < BATCH {
                match messages.try_recv() {
                    Ok(message) => self.take(message),
                    Err(_) => break,
                }
            }
            self.report_drops();
            self.write_batch();
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Line(line) => {
                self.batch.extend_from_slice(&line);
                self.backlog.bytes.fetch_sub(line.len(), Ordering::Relaxed);
                if self.is_too_large() {
                    self.write_batch();
                    self.rotate();
                }
            }
            Message::Reopen => {
                self.write_batch();
                self.reopen();
            }
            Message::Flush(done) => {
                self.report_drops();
                self.write_batch();
                let _ = done.try_send(());
            }
        }
    }

    fn report_drops(&mut self) {
        let dropped = self.backlog.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            self.add(Label::WARNING, format_args!("{dropped} log lines dropped: the log could not be written in time"));
        }
    }

    /// A line of the log about the log.
    fn add(&mut self, label: Label, message: std::fmt::Arguments<'_>) {
        // Writing to memory cannot fail.
        let _ = format::write_line(&mut self.batch, &self.style, label, &message);
    }

    fn write_batch(&mut self) {
        let result = match &mut self.file {
            Some(file) => file.write(&self.batch),
            None => io::stderr().write_all(&self.batch),
        };
        if result.is_err() {
            // Nobody can be told, except later in the same log: the lines count as dropped.
            let lines = self.batch.iter().filter(|byte| **byte == b'\n').count();
            self.backlog.dropped.fetch_add(u64::try_from(lines).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        self.batch.clear();
        if self.batch.capacity() > 4 * BATCH {
            self.batch.shrink_to(BATCH);
        }
    }

    fn is_too_large(&self) -> bool {
        let waiting = u64::try_from(self.batch.len()).unwrap_or(u64::MAX);
        self.size_limit > 0
            && self.file.as_ref().is_some_and(|file| file.size().saturating_add(waiting) > self.size_limit)
    }

    fn rotate(&mut self) {
        let Some(file) = &mut self.file else { return };
        match file.rotate() {
            Ok(backup) => {
                let name = go_text::quote(&backup.display().to_string());
                self.add(Label::INFO, format_args!("Rotated log, backup saved as {name}"));
            }
            Err(error) => {
                // Trying again with every line would fill the log with this one.
                self.size_limit = 0;
                let text = go_text::os_error(&error);
                self.add(Label::WARNING, format_args!("Unable to rotate the log file, it grows from here on: {text}"));
            }
        }
        self.purge();
        self.write_batch();
    }

    fn purge(&mut self) {
        let Some(file) = self.file.as_ref().filter(|_| self.max_files > 0) else { return };
        let mut purged = Vec::new();
        let result = file.purge(self.max_files, |path| purged.push(path.display().to_string()));
        for name in purged {
            self.add(Label::INFO, format_args!("Purged log file {}", go_text::quote(&name)));
        }
        if let Err(error) = result {
            let text = go_text::os_error(&error);
            self.add(Label::WARNING, format_args!("Unable to delete old log files: {text}"));
        }
    }

    fn reopen(&mut self) {
        let Some(file) = &mut self.file else {
            self.add(Label::INFO, format_args!("File log re-open ignored, not a file logger"));
            return;
        };
        match file.reopen() {
            Ok(()) => self.add(Label::INFO, format_args!("File log re-opened")),
            Err(error) => {
                let text = go_text::os_error(&error);
                self.add(
                    Label::WARNING,
                    format_args!("Unable to re-open the log file, still using the old one: {text}"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::fs::OpenOptionsExt as _;

    use super::*;

    fn settings(file: PathBuf) -> Settings {
        let style = Style { pid: 1, time: None, colour: false };
        Settings { debug: false, trace: false, style, file: Some(file), size_limit: 0, max_files: 0 }
    }

    #[test]
    fn nobody_waits_for_a_log_that_is_stuck_and_drops_are_counted() {
        const LINES: usize = 3 * MAX_LINES;
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // A reader that does not read: the writer thread gets stuck as soon as the pipe is full.
        let reader = File::options()
            .read(true)
            .custom_flags(i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap())
            .open(&pipe)
            .unwrap();
        let (log, mut sender) = start(settings(pipe)).unwrap();
        let line = [&[b'x'; 99][..], b"\n"].concat();
        for _ in 0..LINES {
            sender.write_all(&line).unwrap();
        }

        // Now it moves again, and every line is either there or counted.
        rustix::io::ioctl_fionbio(&reader, false).unwrap();
        thread::spawn(move || {
            log.flush();
            drop((log, sender));
        });
        let (mut written, mut dropped) = (0, 0);
        for line in BufReader::new(reader).lines() {
            let line = line.unwrap();
            match line.strip_prefix("[1] [WRN] ").and_then(|report| report.split(' ').next()) {
                Some(count) => dropped += count.parse::<usize>().unwrap(),
                None => written += 1,
            }
        }
        assert!(dropped > 0);
        assert_eq!(written + dropped, LINES);
    }

    #[test]
    fn long_lines_are_bounded_too() {
        let (queue, messages) = bounded(MAX_LINES);
        let backlog = Arc::new(Backlog::default());
        let mut sender = LineSender { queue, backlog: Arc::clone(&backlog) };
        let long = vec![b'x'; MAX_BYTES / 2 + 1];
        sender.write_all(&vec![b'x'; MAX_BYTES + 1]).unwrap();
        sender.write_all(&long).unwrap();
        assert_eq!((messages.len(), backlog.dropped.load(Ordering::Relaxed)), (1, 1));
        assert_eq!(backlog.bytes.load(Ordering::Relaxed), MAX_BYTES + 1);
    }
}
