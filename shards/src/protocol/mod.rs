//! Wire formats: parse and write, no I/O and no state beyond what a byte stream needs.

pub mod client;
mod quote;
