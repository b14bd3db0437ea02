//! CRC-64 after Jones, reflected, in which RDB files and payloads end.

/// The polynomial, its bits in the order in which they are shifted out.
const REFLECTED: u64 = 0x95ac_9329_ac4b_c9b5;

/// Bytes that are taken in one step.
const STEP: usize = 8;

/// `TABLES[n][byte]` is what a byte does to the sum when `n` more bytes follow it.
static TABLES: [[u64; 256]; STEP] = tables();

const fn tables() -> [[u64; 256]; STEP] {
    let mut tables = [[0; 256]; STEP];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ REFLECTED } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < STEP {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = tables[0][(before & 0xff) as usize] ^ before >> 8;
            byte += 1;
        }
        table += 1;
    }
    tables
}

/// The checksum of `bytes`.
pub fn crc64(bytes: &[u8]) -> u64 {
    update(0, bytes)
}

/// The checksum of what had the checksum `crc`, with `bytes` behind it.
pub(super) fn update(mut crc: u64, bytes: &[u8]) -> u64 {
    let (steps, rest) = bytes.as_chunks::<STEP>();
    for step in steps {
        let mixed = (crc ^ u64::from_le_bytes(*step)).to_le_bytes();
        let each = mixed.iter().zip(TABLES.iter().rev());
        crc = each.fold(0, |sum, (byte, table)| sum ^ table[usize::from(*byte)]);
    }
    rest.iter().fold(crc, |crc, byte| TABLES[0][usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_redis() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(crc64(b""), 0);
    }

    #[test]
    fn it_goes_on_from_any_place() {
        let mut random = fastrand::Rng::with_seed(5);
        for len in 0..100 {
            let bytes: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
            let cut = random.usize(..=len);
            assert_eq!(update(crc64(&bytes[..cut]), &bytes[cut..]), crc64(&bytes));
        }
    }
}
