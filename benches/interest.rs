//! What it costs to know who wants a subject: found in the cache, made anew, and while others come and go.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use shards::account::GLOBAL;
use shards::interest::keys::Hasher;
use shards::interest::{Directory, Found, LocalInterest, NewSubscription, PlanCache, Sources, SubId};

/// Subjects that are published once each, enough of them that none comes again soon.
const NEVER_SEEN: usize = 1 << 16;

/// One shard of a server with its tables.
struct Table {
    directory: Arc<Directory>,
    local: LocalInterest,
    cache: PlanCache,
    hasher: Hasher,
}

impl Table {
    fn new(shards: usize) -> Self {
        let directory = Arc::new(Directory::new(shards, false, 7));
        Table {
            local: LocalInterest::new(0, Arc::clone(&directory)),
            cache: PlanCache::default(),
            hasher: directory.hasher().clone(),
            directory,
        }
    }

    fn subscribe(&mut self, subject: &str) -> SubId {
        subscribe(&mut self.local, subject)
    }

    fn look_up(&mut self, subject: &str) -> Found {
        let sources = Sources { local: &self.local, directory: &self.directory, account: GLOBAL, shard: 0 };
        self.cache.look_up(&sources, &self.hasher, subject.as_bytes())
    }
}

fn subscribe(local: &mut LocalInterest, subject: &str) -> SubId {
    local.subscribe(NewSubscription {
        account: GLOBAL,
        connection: 1,
        subject: subject.as_bytes(),
        queue: None,
        sid: b"1",
    })
}

fn replies() -> Vec<String> {
    (0..NEVER_SEEN).map(|number| format!("_INBOX.Ab3dEf6hIjKlMnOpQrStUv.{number}")).collect()
}

fn hits(c: &mut Criterion) {
    let mut group = c.benchmark_group("hit");
    let mut table = Table::new(8);
    let subjects: Vec<String> = (0..100).map(|number| format!("orders.eu.{number}")).collect();
    for subject in &subjects {
        table.subscribe(subject);
        for _ in 0..2 {
            table.look_up(subject);
        }
    }
    group.bench_function("the same subject", |b| b.iter(|| table.look_up(black_box(&subjects[7]))));
    let mut at = 0;
    group.bench_function("100 subjects in turn", |b| {
        b.iter(|| {
            at = (at + 1) % subjects.len();
            table.look_up(black_box(&subjects[at]))
        });
    });
    group.finish();
}

fn misses(c: &mut Criterion) {
    let mut group = c.benchmark_group("never seen");
    let subjects = replies();
    let patterns = || (0..999).map(|number| format!("*.{number}.>")).collect();
    let literals = || (0..1_000_000).map(|number| format!("device.{number}.state")).collect();
    type Others<'a> = &'a dyn Fn() -> Vec<String>;
    let tables: [(&str, usize, Others<'_>); 4] = [
        ("1 pattern", 1, &Vec::new),
        ("1 pattern, 8 shards", 8, &Vec::new),
        ("1000 patterns, 8 shards", 8, &patterns),
        ("1M literals, 8 shards", 8, &literals),
    ];
    for (name, shards, others) in tables {
        let mut table = Table::new(shards);
        table.subscribe("_INBOX.Ab3dEf6hIjKlMnOpQrStUv.*");
        for other in others() {
            table.subscribe(&other);
        }
        let mut at = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                at = (at + 1) % subjects.len();
                let found = table.look_up(black_box(&subjects[at]));
                table.cache.plan(found).plain.len()
            });
        });
    }
    group.finish();
}

/// A pattern that all other shards have, asked about by a shard that does not remember.
fn directory(c: &mut Criterion) {
    let table = Table::new(8);
    let others: Vec<LocalInterest> = (1..8)
        .map(|shard| {
            let mut local = LocalInterest::new(shard, Arc::clone(&table.directory));
            subscribe(&mut local, "orders.eu.*");
            subscribe(&mut local, "orders.eu.1");
            local
        })
        .collect();
    let keys = table.hasher.subject_keys(GLOBAL, b"orders.eu.1");
    let mut remote = Default::default();
    c.bench_function("directory/literal and pattern of 7 shards", |b| {
        b.iter(|| table.directory.look_up(GLOBAL, black_box(&keys), b"orders.eu.1", 0, &mut remote));
    });
    assert_eq!((remote.shards.len(), others.len()), (7, 7));
}

fn churn(c: &mut Criterion) {
    let mut group = c.benchmark_group("churn");
    let inboxes = replies();
    for shards in [1, 8] {
        let mut table = Table::new(shards);
        table.subscribe("orders.eu.1");
        let mut at = 0;
        group.bench_function(format!("SUB and UNSUB of an inbox, {shards} shards"), |b| {
            b.iter(|| {
                at = (at + 1) % inboxes.len();
                let id = table.subscribe(black_box(&inboxes[at]));
                table.local.unsubscribe(GLOBAL, id)
            });
        });
        // What the changes cost those who have nothing to do with them.
        group.bench_function(format!("the same and a hit on another subject, {shards} shards"), |b| {
            b.iter(|| {
                at = (at + 1) % inboxes.len();
                let id = table.subscribe(black_box(&inboxes[at]));
                table.local.unsubscribe(GLOBAL, id);
                table.look_up(black_box("orders.eu.1"))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, hits, misses, directory, churn);
criterion_main!(benches);
