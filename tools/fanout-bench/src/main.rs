//! Load generator and comparison tool for NATS servers.

fn main() {}
