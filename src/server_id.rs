//! The server's id: a public nkey of kind *server*, 56 characters that begin with `N`. And the name of a cluster that was given none.

use data_encoding::BASE32_NOPAD;
use ring::rand::{SecureRandom, SystemRandom};

/// First byte of a server's public key; in base32 it gives the `N`.
const SERVER_PREFIX: u8 = 13 << 3;

/// The system has no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers for ids")]
pub struct NoRandomness;

/// A new id.
pub fn new() -> Result<String, NoRandomness> {
    let mut key = [0; 32];
    SystemRandom::new().fill(&mut key).map_err(|_| NoRandomness)?;
    Ok(encode(&key))
}

/// A name for a cluster: digits and letters.
pub fn new_cluster_name() -> Result<String, NoRandomness> {
    const LENGTH: usize = 22;
    const CHARACTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut random = [0; LENGTH];
    SystemRandom::new().fill(&mut random).map_err(|_| NoRandomness)?;
    Ok(random
        .iter()
        .filter_map(|byte| CHARACTERS.iter().cycle().nth((*byte).into()))
        .copied()
        .map(char::from)
        .collect())
}

/// Prefix, key and checksum (low byte first) in base32.
fn encode(key: &[u8; 32]) -> String {
    let mut raw = Vec::with_capacity(35);
    raw.push(SERVER_PREFIX);
    raw.extend_from_slice(key);
    raw.extend_from_slice(&crc16(&raw).to_le_bytes());
    BASE32_NOPAD.encode(&raw)
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_public_server_keys() {
        let id = new().unwrap();
        assert_eq!(id.len(), 56);
        assert!(id.starts_with('N'));
        let raw = BASE32_NOPAD.decode(id.as_bytes()).unwrap();
        let (body, checksum) = raw.split_at(33);
        assert_eq!(crc16(body).to_le_bytes(), checksum);
        assert_ne!(id, new().unwrap());
    }

    #[test]
    fn names_of_clusters_are_new_each_time() {
        let name = new_cluster_name().unwrap();
        assert_eq!(name.len(), 22);
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{name}");
        assert_ne!(name, new_cluster_name().unwrap());
    }

    #[test]
    fn the_checksum_is_the_one_of_nkeys() {
        // The check value of CRC-16/XMODEM, and an id that a reference server gave itself.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        let raw = BASE32_NOPAD.decode(b"NCHZQBGNP2IPOBSUW7ZW6TULX3KS4I4BGYCAQHLYVTT6AHXMV3E5IKBW").unwrap();
        assert_eq!(raw[0], SERVER_PREFIX);
        assert_eq!(crc16(&raw[..33]).to_le_bytes(), raw[33..]);
    }
}
