//! The server program `pinmesh`.

fn main() {}
