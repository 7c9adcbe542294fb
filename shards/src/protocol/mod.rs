//! Wire formats: parse and write, no I/O and no state beyond what a byte stream needs.

pub mod client;
pub mod connect;
pub mod frame;
pub mod info;
pub mod json;
pub mod quote;
pub mod s2;
