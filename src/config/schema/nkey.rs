//! Public nkeys: 32 bytes with a leading kind and a trailing checksum, in base32.

use data_encoding::BASE32_NOPAD;

/// What a public key may belong to; the number is the first byte of its binary form.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Account = 0,
    Operator = 14 << 3,
    User = 20 << 3,
}

/// Whether the text is a public key of this kind, checksum included.
pub(super) fn is_public(kind: Kind, text: &str) -> bool {
    let Ok(bytes) = BASE32_NOPAD.decode(text.as_bytes()) else {
        return false;
    };
    match bytes.split_last_chunk::<2>() {
        Some((body, checksum)) => {
            body.len() == 33 && body.first() == Some(&(kind as u8)) && crc16(body) == u16::from_le_bytes(*checksum)
        }
        None => false,
    }
}

/// CRC-16 with the XMODEM polynomial.
fn crc16(bytes: &[u8]) -> u16 {
    let step = |crc: u16, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
    bytes.iter().fold(0, |crc, byte| (0..8).fold(crc ^ (u16::from(*byte) << 8), step))
}

#[cfg(test)]
mod tests {
    use super::{Kind, is_public};

    #[test]
    fn kind_and_checksum_matter() {
        let user = "UAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB63NN";
        assert!(is_public(Kind::User, user));
        assert!(!is_public(Kind::Account, user));
        assert!(!is_public(Kind::User, &user.replace("63NN", "63NM")));
        assert!(!is_public(Kind::User, "UFOO"));
        assert!(!is_public(Kind::User, ""));
    }
}
