// SPDX-License-Identifier: GPL-2.0

//! Hashes that IMA can be told to use for what it measures (`ima_hash=`): more than there are banks.

use crate::bank::{Bank, Digest};
use md5::Md5;
use ripemd::Ripemd160;
use sha2::Sha224;

/// The hash of these bytes by an algorithm that is called as IMA calls it; nothing if it cannot be
/// computed here.
pub(crate) fn digest(algorithm: &[u8], bytes: &[u8]) -> Option<Digest> {
    fn with<H: sha2::Digest>(bytes: &[u8]) -> Digest {
        Digest::new(&H::digest(bytes))
    }
    Some(match algorithm {
        b"md5" => with::<Md5>(bytes),
        b"rmd160" => with::<Ripemd160>(bytes),
        b"sha224" => with::<Sha224>(bytes),
        name => bank(name)?.hash(&[bytes]),
    })
}

/// The bank that IMA calls like this in a list; users may call it otherwise, too.
fn bank(name: &[u8]) -> Option<Bank> {
    let name = std::str::from_utf8(name).ok()?;
    // as old kernels call SM3
    let called = |bank: &Bank| bank.name() == name || name == "sm3-256";
    Bank::from_name(name).filter(called)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digests of "abc" from RFC 1321, the authors of RIPEMD-160, and FIPS 180-4.
    #[test]
    fn hashes() {
        for (name, known) in [
            ("md5", "900150983cd24fb0d6963f7d28e17f72"),
            ("rmd160", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"),
            (
                "sha224",
                "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
            ),
            ("sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ] {
            let found = digest(name.as_bytes(), b"abc").map(|digest| digest.to_string());
            assert_eq!(found.as_deref(), Some(known));
        }
        assert!(digest(b"sm3-256", b"abc").is_some_and(|sm3| sm3 == Bank::Sm3.hash(&[b"abc"])));
        for unknown in [
            b"streebog256".as_slice(),
            b"wp512",
            b"sha3_256",
            b"tpm_alg_b",
            b"",
            b"\xff",
        ] {
            assert_eq!(digest(unknown, b"abc"), None);
        }
    }
}
