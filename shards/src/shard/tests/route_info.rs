//! INFOs of other servers go to the mesh, however many there are.

use std::sync::Arc;

use crate::interest::Directory;
use crate::mesh::RouteKind;
use crate::shard::mail::{Control, Mail};
use crate::shard::{Filled, Shard};
use crate::testing::{config, route_start};

/// INFOs that leave with a turn, and the bytes that count against credit.
fn drained(shard: &mut Shard) -> (usize, u64) {
    let (mut infos, mut weight) = (0, 0);
    shard.outbox().drain(|_, bytes, mail| {
        if let Mail::Control(Control::RouteInfo { .. }) = mail {
            infos += 1;
            weight += bytes;
        }
    });
    (infos, weight)
}

#[test]
fn who_sends_more_than_the_mesh_can_read_is_not_read() {
    let config = Arc::new(config(1));
    let mut shard = Shard::new(0, Arc::clone(&config), Arc::new(Directory::new(1, true, 1)), 1);
    let key = shard.open_route(route_start(5, 0, RouteKind::Pool { index: 0, carries: true }));
    let lines = b"INFO {\"server_id\":\"NB\"}\r\n".repeat(10);
    let read = |shard: &mut Shard| {
        let filled = shard.fill(key, &mut |buffer| {
            buffer[..lines.len()].copy_from_slice(&lines);
            Ok(lines.len())
        });
        shard.act(key);
        filled
    };
    assert_eq!(read(&mut shard), Filled::Drained);
    assert_eq!(drained(&mut shard), (10, 10 * 18));

    shard.outbox().set_exhausted(1, true);
    read(&mut shard);
    assert_eq!(drained(&mut shard).0, 1);
    assert_eq!(read(&mut shard), Filled::Paused);

    shard.credit_returned(1);
    let mut resumed = Vec::new();
    shard.take_resumed(&mut resumed);
    assert!(resumed.contains(&key));
    read(&mut shard);
    assert_eq!(drained(&mut shard).0, 19);
}
