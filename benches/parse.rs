//! How long the parsers of clients and of routes take per operation, and per byte of a full read buffer.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shards::protocol::client::{ClientParser, ParserLimits, Step};
use shards::protocol::route::{MAX_CONTROL_LINE, RouteLimits, RouteParser, RouteStep};

const LIMITS: ParserLimits = ParserLimits { max_control_line: 4096, max_payload: Some(1024 * 1024), headers: true };

const ROUTE_LIMITS: RouteLimits =
    RouteLimits { max_control_line: MAX_CONTROL_LINE, dedicated: false, max_payload: Some(64 * 1024 * 1024) };

/// Bytes that a shard reads at once.
const READ_BUFFER_BYTES: usize = 64 * 1024;

fn publish(arguments: &str, payload_bytes: usize) -> Vec<u8> {
    let mut operation = format!("{arguments}\r\n").into_bytes();
    operation.resize(operation.len() + payload_bytes, b'x');
    operation.extend_from_slice(b"\r\n");
    operation
}

/// Parses every operation of `input` and returns how many there are.
fn parse_all(parser: &mut ClientParser, mut input: &[u8]) -> usize {
    let mut operations = 0;
    while let Step::Op { op, consumed } = parser.next(input, &LIMITS) {
        black_box(&op);
        operations += 1;
        input = &input[consumed..];
    }
    operations
}

fn single_operations(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    let long_header = format!("NATS/1.0\r\nTrace: {}\r\n\r\n", "x".repeat(40));
    let header_bytes = long_header.len();
    for (name, input) in [
        ("PUB 16 B", publish("PUB a.b.c 16", 16)),
        ("PUB 16 B, long subject", publish("PUB telemetry.eu-west.plant-7.line-12.temperature 16", 16)),
        ("PUB 16 B with reply", publish("PUB a.b.c _INBOX.Ab3dEf6hIjKlMnOpQrStUv.x7Zq 16", 16)),
        ("PUB 1 KiB", publish("PUB a.b.c 1024", 1024)),
        ("HPUB 16 B", publish(&format!("HPUB a.b.c {header_bytes} {}", header_bytes + 16), header_bytes + 16)),
        ("SUB", b"SUB a.b.* workers 17\r\n".to_vec()),
        ("UNSUB", b"UNSUB 17\r\n".to_vec()),
        ("PING", b"PING\r\n".to_vec()),
    ] {
        let mut parser = ClientParser::new();
        assert_eq!(parse_all(&mut parser, &input), 1);
        group.bench_function(name, |b| {
            b.iter(|| {
                let step = parser.next(black_box(&input), black_box(&LIMITS));
                matches!(black_box(&step), Step::Op { .. })
            });
        });
    }
    let unfinished = &publish("PUB a.b.c 16", 16)[..20];
    let mut parser = ClientParser::new();
    group.bench_function("PUB 16 B, unfinished", |b| {
        b.iter(|| matches!(parser.next(black_box(unfinished), &LIMITS), Step::Incomplete { .. }));
    });
    group.finish();
}

fn read_buffers(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse 64 KiB");
    let small = publish("PUB a.b.c 16", 16);
    let mixed = [
        publish("PUB a.b.c 16", 16),
        publish("PUB orders.eu.4711 _INBOX.Ab3dEf6hIjKlMnOpQrStUv.x7Zq 64", 64),
        publish("HPUB a.b.c 12 40", 40),
        b"SUB _INBOX.Ab3dEf6hIjKlMnOpQrStUv.* 12\r\n".to_vec(),
        publish("PUB telemetry.eu-west.plant-7.line-12.temperature 1024", 1024),
        b"UNSUB 12\r\n".to_vec(),
        b"PING\r\n".to_vec(),
    ]
    .concat();
    for (name, pattern) in [("PUB 16 B", small), ("mixed", mixed)] {
        let buffer = pattern.repeat(READ_BUFFER_BYTES / pattern.len());
        let mut parser = ClientParser::new();
        let operations = parse_all(&mut parser, &buffer);
        group.throughput(Throughput::Elements(operations as u64));
        group.bench_function(name, |b| b.iter(|| parse_all(&mut parser, black_box(&buffer))));
    }
    group.finish();
}

fn parse_all_of_route(parser: &mut RouteParser, mut input: &[u8]) -> usize {
    let mut operations = 0;
    while let RouteStep::Op { op, consumed } = parser.next(input, &ROUTE_LIMITS) {
        black_box(&op);
        operations += 1;
        input = &input[consumed..];
    }
    operations
}

fn routes(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse route");
    for (name, input) in [
        ("RMSG 16 B", publish("RMSG $G a.b.c 16", 16)),
        ("RMSG 16 B with reply", publish("RMSG $G a.b.c _INBOX.Ab3dEf6hIjKlMnOpQrStUv.x7Zq 16", 16)),
        ("RMSG 16 B with queue", publish("RMSG $G a.b.c | workers 16", 16)),
        ("RMSG 1 KiB", publish("RMSG $G a.b.c 1024", 1024)),
        ("HMSG 16 B", publish("HMSG $G a.b.c 12 28", 28)),
        ("RS+", b"RS+ $G _INBOX.Ab3dEf6hIjKlMnOpQrStUv.*\r\n".to_vec()),
        ("RS+ with queue", b"RS+ $G a.b.* workers 17\r\n".to_vec()),
    ] {
        let mut parser = RouteParser::new();
        assert_eq!(parse_all_of_route(&mut parser, &input), 1);
        group.bench_function(name, |b| {
            b.iter(|| {
                let step = parser.next(black_box(&input), black_box(&ROUTE_LIMITS));
                matches!(black_box(&step), RouteStep::Op { .. })
            });
        });
    }
    let small = publish("RMSG $G a.b.c 16", 16);
    let buffer = small.repeat(READ_BUFFER_BYTES / small.len());
    let mut parser = RouteParser::new();
    let operations = parse_all_of_route(&mut parser, &buffer);
    group.throughput(Throughput::Elements(operations as u64));
    group.bench_function("64 KiB of RMSG 16 B", |b| {
        b.iter(|| parse_all_of_route(&mut parser, black_box(&buffer)));
    });
    group.finish();
}

criterion_group!(benches, single_operations, read_buffers, routes);
criterion_main!(benches);
