//! How long a frame takes on its way into an out-buffer.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use shards::protocol::frame;

/// Frames per out-buffer, so that the cost of emptying it does not show.
const FRAMES: usize = 64;

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame");
    group.throughput(criterion::Throughput::Elements(FRAMES as u64));
    for (name, payload_bytes) in [("MSG 16 B", 16), ("MSG 1 KiB", 1024)] {
        let mut tail = format!("{payload_bytes}\r\n").into_bytes();
        tail.resize(tail.len() + payload_bytes, b'x');
        tail.extend_from_slice(b"\r\n");
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || Vec::with_capacity(FRAMES * (tail.len() + 64)),
                |out| {
                    for _ in 0..FRAMES {
                        frame::message_head(out, black_box(b"telemetry.plant-7"), black_box(b"17"), false);
                        out.extend_from_slice(black_box(&tail));
                    }
                },
                BatchSize::LargeInput,
            );
        });
    }
    let payload = [b'x'; 16];
    group.bench_function("MSG 16 B, headers taken out", |b| {
        b.iter_batched_ref(
            || Vec::with_capacity(FRAMES * 128),
            |out| {
                for _ in 0..FRAMES {
                    frame::write_stripped(out, black_box(b"telemetry.plant-7"), b"17", None, black_box(&payload));
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
