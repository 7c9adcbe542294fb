//! Which connection of a pool carries an account.

/// The index of the connection that an account's interest and messages take in a pool of `pool_size` connections.
///
/// All servers must agree on this: FNV-1a with 32 bits over the name, modulo the size.
pub fn account_index(account: &[u8], pool_size: u32) -> u32 {
    const OFFSET_BASIS: u32 = 2_166_136_261;
    const PRIME: u32 = 16_777_619;
    let hash = account.iter().fold(OFFSET_BASIS, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(PRIME));
    hash.checked_rem(pool_size).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::account_index;

    #[test]
    fn the_references_indexes() {
        for (pool_size, indexes) in [
            (3, &[("$G", 2), ("A", 0), ("B", 0), ("D", 0), ("E", 1), ("ACC1", 2)][..]),
            (5, &[("$G", 3), ("A", 2), ("B", 4), ("D", 0), ("E", 1)]),
            (2, &[("$G", 0), ("A", 0), ("B", 1), ("D", 1), ("E", 0)]),
            (1, &[("$G", 0), ("A", 0)]),
            (0, &[("$G", 0), ("A", 0)]),
        ] {
            for &(account, index) in indexes {
                assert_eq!(account_index(account.as_bytes(), pool_size), index, "{account} of {pool_size}");
            }
        }
    }
}
