//! The whole way of a message through one shard, without sockets: a read full of small messages, parsed, delivered, and handed to writes
//! that take everything.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shards::config::{Auth, Config, Identity, Limits, ShardLayout, Trace};
use shards::connection::Key;
use shards::interest::Directory;
use shards::shard::{READ_BYTES, Shard};

fn config() -> Config {
    Config {
        shards: ShardLayout { count: 1, cores: Vec::new(), spin: Duration::ZERO },
        identity: Identity {
            server_id: "NBENCH".to_owned(),
            server_name: "bench".to_owned(),
            version: "0.0.0".to_owned(),
            git_commit: String::new(),
            host: "127.0.0.1".to_owned(),
            port: 4222,
            cluster: None,
            started: SystemTime::UNIX_EPOCH,
        },
        limits: Limits::default(),
        auth: Auth::Open,
        trace: Trace::default(),
        cluster: None,
    }
}

/// A shard and its connections, without a driver.
struct Bench {
    shard: Shard,
    keys: Vec<Key>,
    written: usize,
}

impl Bench {
    fn new() -> Self {
        let config = Arc::new(config());
        let shard = Shard::new(0, config, Arc::new(Directory::new(1, false, 7)), 7);
        Bench { shard, keys: Vec::new(), written: 0 }
    }

    fn connect(&mut self, operations: &str) -> Key {
        let key = self.shard.open(1, "127.0.0.1:1".parse().expect("an address"), false);
        self.read(key, format!("CONNECT {{\"verbose\":false}}\r\n{operations}").as_bytes());
        self.write();
        key
    }

    fn read(&mut self, key: Key, bytes: &[u8]) {
        self.shard.fill(key, &mut |buffer| {
            buffer[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        });
        self.shard.act(key);
    }

    fn write(&mut self) {
        self.shard.take_dirty(&mut self.keys);
        for key in self.keys.drain(..) {
            let written = &mut self.written;
            let mut take = |slices: &[IoSlice<'_>]| -> io::Result<usize> {
                let taken: usize = slices.iter().map(|slice| slice.len()).sum();
                *written += taken;
                Ok(taken)
            };
            self.shard.flush(key, false, &mut take);
        }
        self.shard.end_turn();
    }
}

/// A read full of messages on these subjects in turn, and how many they are.
fn input(subjects: &[String]) -> (Vec<u8>, u64) {
    let mut bytes = Vec::new();
    for (number, subject) in subjects.iter().cycle().enumerate() {
        let operation = format!("PUB {subject} 16\r\n0123456789abcdef\r\n");
        if bytes.len() + operation.len() > READ_BYTES {
            return (bytes, number as u64);
        }
        bytes.extend_from_slice(operation.as_bytes());
    }
    (bytes, 0)
}

fn turns(c: &mut Criterion) {
    let mut group = c.benchmark_group("shard");
    for (name, subjects, subscribers) in [
        ("16 B to nobody", 1, 0),
        ("16 B to 1", 1, 1),
        ("16 B to 8", 1, 8),
        ("16 B to 1, 100 subjects in turn", 100, 1),
        ("16 B to 8, 100 subjects in turn", 100, 8),
    ] {
        let subjects: Vec<String> = (0..subjects).map(|number| format!("orders.eu.{number}")).collect();
        let (bytes, messages) = input(&subjects);
        let mut bench = Bench::new();
        for _ in 0..subscribers {
            bench.connect("SUB orders.eu.* 1\r\n");
        }
        let publisher = bench.connect("");
        for _ in 0..2 {
            bench.read(publisher, &bytes);
            bench.write();
        }
        bench.written = 0;
        bench.read(publisher, &bytes);
        bench.write();
        assert!(bench.written as u64 >= messages * subscribers * 20, "all get all");
        group.throughput(Throughput::Elements(messages));
        group.bench_function(name, |b| {
            b.iter(|| {
                bench.read(publisher, &bytes);
                bench.write();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, turns);
criterion_main!(benches);
