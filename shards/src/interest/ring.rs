//! The ring: which shard owns a partition of the directory.
//!
//! The owner keeps the partition in shape ([`super::Directory::upkeep`]); it is never a stop on the way of a message.
//! Jump consistent hashing (Lamping and Veach, 2014): with `n + 1` shards instead of `n`, one partition in `n + 1` changes its owner.

/// Number of partitions of the directory; a power of two, well above the largest number of shards.
pub const PARTITIONS: usize = 1024;

/// Partition of a key; takes the high bits, because tables and version slots use the low ones.
pub fn partition_of(key: u64) -> usize {
    (key >> 54) as usize & (PARTITIONS - 1)
}

/// Owner of a partition among `shards` shards (at least one).
pub fn owner(partition: usize, shards: usize) -> usize {
    // Neighbouring numbers make poor keys for the generator below, so they are spread first.
    let mut key = (partition as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let (mut bucket, mut next) = (0u64, 0u64);
    while next < shards.max(1) as u64 {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) as f64 * ((1u64 << 31) as f64 / ((key >> 33) + 1) as f64)) as u64;
    }
    bucket as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_spread_evenly() {
        for shards in [1, 2, 3, 8, 64, 256] {
            let mut owned = vec![0usize; shards];
            for partition in 0..PARTITIONS {
                owned[owner(partition, shards)] += 1;
            }
            let mean = PARTITIONS / shards;
            assert!(owned.iter().all(|&n| n <= mean * 4 + 8), "{shards} shards: {owned:?}");
        }
    }

    #[test]
    fn one_more_shard_moves_few_partitions_and_only_to_itself() {
        for shards in [1, 2, 7, 16, 100] {
            let moved: Vec<_> = (0..PARTITIONS).filter(|&p| owner(p, shards) != owner(p, shards + 1)).collect();
            assert!(moved.iter().all(|&p| owner(p, shards + 1) == shards));
            assert!(moved.len() <= 2 * PARTITIONS / (shards + 1) + 16, "{} of {PARTITIONS} moved", moved.len());
        }
    }
}
