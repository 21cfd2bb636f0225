// SPDX-License-Identifier: GPL-2.0

//! Text of bytes and numbers, without allocation.

/// Takes text piece by piece.
pub trait Sink {
    /// Takes the next piece.
    fn put(&mut self, bytes: &[u8]);
}

/// Writes bytes as lower-case hexadecimal digits.
pub fn put_hex(bytes: &[u8], sink: &mut impl Sink) {
    const PIECE: usize = 32;

    let mut out = [[0; 2]; PIECE];
    for piece in bytes.chunks(PIECE) {
        for (digits, byte) in out.iter_mut().zip(piece) {
            *digits = HEX[usize::from(*byte)];
        }
        sink.put(out.get(..piece.len()).unwrap_or_default().as_flattened());
    }
}

/// The two hexadecimal digits of each byte.
static HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

/// Writes a number.
pub(super) fn put_decimal(mut number: u64, sink: &mut impl Sink) {
    let mut digits = [0; u64::MAX.ilog10() as usize + 1];
    let mut start = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        start = at;
        if number == 0 {
            break;
        }
    }
    sink.put(digits.get(start..).unwrap_or_default());
}

/// Digits of a number.
pub(super) fn decimal_len(number: u64) -> u64 {
    number.checked_ilog10().map_or(1, |log| u64::from(log) + 1)
}

#[cfg_attr(CONFIG_KUNIT = "y", kernel::prelude::kunit_tests(ima_checkpoint_text))]
#[cfg_attr(not(CONFIG_KUNIT = "y"), cfg(test))]
mod tests {
    use super::{
        super::testing::Text,
        *, //
    };

    #[test]
    fn hex() {
        let mut text = Text::new();
        put_hex(b"\x00\x0f\x10\x9a\xff", &mut text);
        assert_eq!(text.as_bytes(), b"000f109aff");
    }

    #[test]
    fn hex_in_pieces() {
        let mut text = Text::new();
        put_hex(&[0x5a; 70], &mut text);
        assert!(text.as_bytes().chunks(2).eq([b"5a".as_slice(); 70]));
    }

    #[test]
    fn decimals() {
        let mut power = 1_u64;
        for digits in 1..=20 {
            assert_eq!(decimal_len(power), digits);
            assert_eq!(decimal_len(power - 1), digits.max(2) - 1);
            power = power.saturating_mul(10);
        }
        let numbers: [(u64, &[u8]); 4] = [
            (0, b"0"),
            (9, b"9"),
            (1024, b"1024"),
            (u64::MAX, b"18446744073709551615"),
        ];
        for (number, shown) in numbers {
            let mut text = Text::new();
            put_decimal(number, &mut text);
            assert_eq!(text.as_bytes(), shown);
        }
    }
}
