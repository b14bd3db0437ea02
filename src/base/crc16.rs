//! CRC-16/XMODEM: the polynomial 0x1021 from zero, which spreads keys over the slots.
//!
//! Eight bytes at a time with eight tables: table `n` holds the sum of a byte followed by `n`
//! zeros.

const POLYNOMIAL: u16 = 0x1021;
static TABLES: [[u16; 256]; 8] = tables();

/// The checksum of some bytes.
#[inline]
pub fn crc16(bytes: &[u8]) -> u16 {
    let mut chunks = bytes.chunks_exact(8);
    let mut sum = 0u16;
    for chunk in &mut chunks {
        let [high, low] = sum.to_be_bytes();
        sum = TABLES[7][usize::from(chunk[0] ^ high)]
            ^ TABLES[6][usize::from(chunk[1] ^ low)]
            ^ TABLES[5][usize::from(chunk[2])]
            ^ TABLES[4][usize::from(chunk[3])]
            ^ TABLES[3][usize::from(chunk[4])]
            ^ TABLES[2][usize::from(chunk[5])]
            ^ TABLES[1][usize::from(chunk[6])]
            ^ TABLES[0][usize::from(chunk[7])];
    }
    for byte in chunks.remainder() {
        sum = sum << 8 ^ TABLES[0][usize::from((sum >> 8) as u8 ^ byte)];
    }
    sum
}

const fn tables() -> [[u16; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 0x8000 != 0 { sum << 1 ^ POLYNOMIAL } else { sum << 1 };
            bit += 1;
        }
        tables[0][byte] = sum;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = before << 8 ^ tables[0][(before >> 8) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_standard() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(crc16(b""), 0);
    }

    #[test]
    fn eight_bytes_at_a_time_is_bit_by_bit() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..2_000 {
            let bytes: Vec<u8> = (0..random.usize(0..60)).map(|_| random.u8(..)).collect();
            let naive = bytes.iter().fold(0u16, |sum, byte| {
                (0..8).fold(sum ^ u16::from(*byte) << 8, |sum, _| {
                    if sum & 0x8000 != 0 { sum << 1 ^ POLYNOMIAL } else { sum << 1 }
                })
            });
            assert_eq!(crc16(&bytes), naive);
        }
    }
}
