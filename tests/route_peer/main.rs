//! Scripted servers at the other end of a route: whatever they say, our server answers and logs what the reference
//! does, and nobody else notices.
//!
//! Nothing here is expected from memory: each conversation is held with both servers, and what was heard is compared
//! once ids, ports and what is each server's own affair are out of it.

mod gossip;
mod handshake;
mod lifecycle;
mod pools;
mod scene;
mod soliciting;
mod streams;
mod traffic;
