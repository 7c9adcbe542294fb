//! The log file: appended to, put aside when it is too large, opened again on request.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Stamp in the name of a file that was put aside, before its nanoseconds.
const STAMP: &str = "%Y.%m.%d.%H.%M.%S";

/// An open log file that knows its size.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
}

impl LogFile {
    /// Opens for appending; creates with mode 0640.
    pub fn open(path: &Path) -> io::Result<LogFile> {
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
        let size = file.metadata()?.len();
        Ok(LogFile { path: path.to_owned(), file, size })
    }

    /// Size in bytes, what was there before included.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.size = self.size.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Opens the path again: the file may have been moved away.
    pub fn reopen(&mut self) -> io::Result<()> {
        *self = LogFile::open(&self.path)?;
        Ok(())
    }

    /// Puts the file aside under a name with the local time, and starts a new one. Returns the name.
    pub fn rotate(&mut self) -> io::Result<PathBuf> {
        let now = Timestamp::now().to_zoned(TimeZone::system());
        let backup = self.backup_name(&now);
        fs::rename(&self.path, &backup)?;
        self.reopen()?;
        Ok(backup)
    }

    fn backup_name(&self, now: &Zoned) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{}.{:09}", now.strftime(STAMP), now.subsec_nanosecond()));
        PathBuf::from(name)
    }

    /// Deletes the oldest backups so that at most `keep` files remain, the live one included. Calls `deleted` with the
    /// name of each.
    pub fn purge(&self, keep: usize, mut deleted: impl FnMut(&Path)) -> io::Result<()> {
        let mut backups = self.backups()?;
        backups.sort();
        let excess = backups.len().saturating_sub(keep.saturating_sub(1));
        for backup in backups.into_iter().take(excess) {
            fs::remove_file(&backup)?;
            deleted(&backup);
        }
        Ok(())
    }

    /// Files beside ours whose name continues it with a time stamp. Their names sort by age.
    fn backups(&self) -> io::Result<Vec<PathBuf>> {
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let own_name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut backups = Vec::new();
        for entry in fs::read_dir(directory)? {
            let name = entry?.file_name();
            let stamp =
                name.to_str().and_then(|name| name.strip_prefix(&own_name)).and_then(|rest| rest.strip_prefix('.'));
            if stamp.is_some_and(is_stamp) {
                backups.push(self.path.with_file_name(&name));
            }
        }
        Ok(backups)
    }
}

fn is_stamp(text: &str) -> bool {
    let Some((seconds, nanos)) = text.rsplit_once('.') else { return false };
    nanos.len() == 9 && nanos.bytes().all(|c| c.is_ascii_digit()) && DateTime::strptime(STAMP, seconds).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_stamps_are_backups() {
        assert!(is_stamp("2026.11.22.03.16.38.012345678"));
        assert!(!is_stamp("2026.11.22.03.16.38"));
        assert!(!is_stamp("2026.13.22.03.16.38.012345678"));
        assert!(!is_stamp("gz"));
    }

    #[test]
    fn rotates_and_purges() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.log");
        fs::write(&path, "before\n").unwrap();
        fs::write(directory.path().join("server.log.gz"), "not ours").unwrap();
        let mut log = LogFile::open(&path).unwrap();
        assert_eq!(log.size(), 7);

        log.write(b"one\n").unwrap();
        let first = log.rotate().unwrap();
        assert_eq!(fs::read_to_string(&first).unwrap(), "before\none\n");
        assert_eq!(log.size(), 0);
        log.write(b"two\n").unwrap();
        let second = log.rotate().unwrap();

        let mut gone = Vec::new();
        log.purge(2, |path| gone.push(path.to_owned())).unwrap();
        assert_eq!(gone, std::slice::from_ref(&first));
        assert!(!first.exists() && second.exists() && path.exists());
        assert!(directory.path().join("server.log.gz").exists());
    }
}
