//! Tells the program which commit and which compiler it was made from; both are missing when they cannot be found out.

use std::process::Command;

fn main() {
    if let Some(commit) = output("git", &["rev-parse", "--short=7", "HEAD"]) {
        println!("cargo::rustc-env=PINMESH_GIT_COMMIT={commit}");
    }
    if let Some(log) = output("git", &["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    if let Some(version) = output(&rustc, &["--version"]) {
        println!("cargo::rustc-env=PINMESH_RUSTC={version}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    Some(text).filter(|text| !text.is_empty())
}
