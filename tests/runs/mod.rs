//! Programs that end by themselves: what they print, and how they end.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use pinmesh_harness::{DEADLINE, poll_until};
use tempfile::TempDir;

/// What a run left behind.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub exit_code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a program to its end, in `directory`.
pub fn run(directory: &Path, program: &Path, arguments: &[String]) -> Outcome {
    let output = TempDir::new().expect("a directory for the output");
    let (stdout, stderr) = (output.path().join("stdout"), output.path().join("stderr"));
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(File::create(&stdout).expect("a file for the output"))
        .stderr(File::create(&stderr).expect("a file for the output"))
        .env_remove("TZ")
        .spawn()
        .expect("the program starts");
    let ended = poll_until(DEADLINE, || child.try_wait().expect("the state of a child"));
    if ended.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let read = |path| String::from_utf8_lossy(&fs::read(path).expect("the output")).into_owned();
    Outcome { exit_code: ended.and_then(|status| status.code()), stdout: read(&stdout), stderr: read(&stderr) }
}
