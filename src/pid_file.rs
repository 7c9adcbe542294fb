//! The pid file: the bare number, for whoever wants to send a signal later. It stays when the server ends.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes the number of this process, readable for its owner alone.
pub fn write(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(std::process::id().to_string().as_bytes())
}
