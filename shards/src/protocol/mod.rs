//! Wire formats: parse and write, no I/O and no state beyond what a byte stream needs.

pub mod client;
pub mod connect;
pub mod frame;
pub mod info;
pub mod json;
mod name;
pub mod quote;
pub mod route;
pub mod s2;
mod scan;
