//! The program around the engine: everything an operator touches.
//!
//! A library so that tests, benches and fuzz targets can reach it; `main.rs` is the program.

#![forbid(unsafe_code)]

pub mod config;
pub mod options;
