//! The lanes and their tests once more, built against loom's atomics. Run it with `tools/loom`.
//!
//! A package of its own, because `--cfg loom` reaches every crate of a build: here that is a handful, and nothing of the
//! engine needs to know of loom outside `lane/sync.rs`.

#![forbid(unsafe_code)]
#![cfg(loom)]

#[path = "../../src/lane/mod.rs"]
pub mod lane;
