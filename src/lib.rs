//! The program around the engine: everything an operator touches.
//!
//! A library so that tests, benches and fuzz targets can reach it; `main.rs` is the program.

#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod engine;
pub mod file_limit;
pub mod go_net;
pub mod go_text;
pub mod interfaces;
pub mod layout;
pub mod listen;
pub mod logging;
pub mod monitor;
pub mod options;
pub mod pid_file;
pub mod ports_file;
pub mod program;
pub mod server_id;
pub mod signal_command;
pub mod signals;
