//! Wire formats: parse and write, no I/O and no state beyond what a byte stream needs.

pub mod client;
pub mod connect;
#[cfg(test)]
mod cuts;
mod error;
pub mod frame;
pub mod info;
pub mod json;
mod line;
mod name;
#[cfg(test)]
mod plain;
mod publish;
pub mod quote;
pub mod route;
pub mod s2;
mod scan;
mod words;

pub use error::ParseError;
pub use publish::Publish;
