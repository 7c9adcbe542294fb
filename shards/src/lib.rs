//! The engine of pinmesh: everything that moves a message, and nothing an operator touches.
//!
//! No HTTP, no files, no command line. Dependencies point one way:
//! `driver → shard → connection → interest → protocol → subject`; only `driver` and `service` know sockets, only `lane` has atomics.

#![forbid(unsafe_code)]

pub mod account;
pub mod auth;
pub mod config;
pub mod connection;
mod driver;
pub mod interest;
pub mod lane;
pub mod mesh;
pub mod protocol;
pub mod server;
mod service;
pub mod shard;
#[cfg(test)]
mod simulation;
pub mod snapshot;
mod sockets;
pub mod subject;
pub mod system_error;
#[cfg(test)]
mod testing;
