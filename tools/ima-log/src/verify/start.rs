// SPDX-License-Identifier: GPL-2.0

//! What the replay of a PCR starts from, as far as the verifier knows it from elsewhere than the list.
//!
//! To reach a value that the TPM held from *zeros* proves that nothing else was ever extended since
//! the PCR was reset: nobody finds another way from there. The reset must be that of the machine, so
//! PCRs that software can reset while it runs, 16 and those above, do not count. That a PCR which
//! firmware or boot loader use starts from zeros is only assumed unless their event log says so; a
//! list that does not reach its value then may be true all the same.

use super::policy::Policy;
use crate::{
    bank::Digest,
    replay::{Origin, Register, Start},
};

/// The highest PCR that only a reset of the machine resets.
const LAST_STATIC: u32 = 15;

/// What a list starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// The record that IMA appends first after a boot.
    BootAggregate,
    /// A checkpoint.
    Checkpoint,
    /// Something else.
    Other,
}

/// What a PCR held before its first record.
pub(crate) fn of(register: Register, policy: &Policy, opening: Opening) -> Start {
    let start = |value: Digest, origin| Start { value, origin };
    if let Some(value) = policy.base.get(&register) {
        return start(*value, Origin::Given);
    }
    let zeros = register.bank.zeros();
    let firmware = policy.firmware.get(&register).copied();
    let value = firmware.unwrap_or(zeros);
    // a base in another bank says that the list goes on from somewhere
    let based = policy.base.keys().any(|given| given.pcr == register.pcr);
    let begins = match register.pcr == policy.default_pcr {
        true => opening == Opening::BootAggregate,
        false => register.pcr <= LAST_STATIC,
    };
    match (begins && !based, value.is_zero()) {
        (false, _) => start(value, Origin::Unknown),
        (true, true) => start(value, Origin::Reset),
        (true, false) => start(value, Origin::EventLog),
    }
}

/// Is a start known for sure, so that a list which does not reach the PCR's value from there is not
/// true?
pub(crate) fn is_certain(register: Register, origin: Origin, policy: &Policy) -> bool {
    match origin {
        Origin::Reset => {
            register.pcr == policy.default_pcr || policy.firmware.contains_key(&register)
        }
        Origin::Unknown => false,
        Origin::Given
        | Origin::EventLog
        | Origin::Endorsed(_)
        | Origin::Accepted(_)
        | Origin::Claimed(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bank::Bank;

    fn at(pcr: u32) -> Register {
        let bank = Bank::Sha256;
        Register { pcr, bank }
    }

    #[test]
    fn nothing_in_the_list_is_trusted() {
        let policy = Policy::default();
        let origin = |pcr, opening| of(at(pcr), &policy, opening).origin;
        assert_eq!(origin(10, Opening::BootAggregate), Origin::Reset);
        for opening in [Opening::Checkpoint, Opening::Other] {
            assert_eq!(origin(10, opening), Origin::Unknown);
        }
        assert_eq!(origin(11, Opening::Other), Origin::Reset);
        for resettable in [16, 17, 22, 23, 24, 63] {
            let opening = Opening::BootAggregate;
            assert_eq!(origin(resettable, opening), Origin::Unknown);
        }
    }

    #[test]
    fn what_is_given_comes_first() {
        let value = Bank::Sha256.hash(&[b"value"]);
        let mut policy = Policy::default();
        policy.firmware.insert(at(11), value);
        let start = of(at(11), &policy, Opening::BootAggregate);
        assert_eq!((start.value, start.origin), (value, Origin::EventLog));
        assert!(is_certain(at(11), start.origin, &policy));
        policy.base.insert(at(11), at(11).bank.zeros());
        let start = of(at(11), &policy, Opening::Other);
        assert_eq!((start.value.is_zero(), start.origin), (true, Origin::Given));

        // of a list that goes on from a base in sha256, sha1 does not start from zeros
        policy.base.insert(at(10), value);
        let bank = Bank::Sha1;
        let sha1 = of(Register { pcr: 10, bank }, &policy, Opening::BootAggregate);
        assert_eq!(sha1.origin, Origin::Unknown);
    }

    #[test]
    fn zeros_may_be_wrong_where_firmware_extends() {
        let mut policy = Policy::default();
        assert!(is_certain(at(10), Origin::Reset, &policy));
        assert!(!is_certain(at(11), Origin::Reset, &policy));
        policy.firmware.insert(at(11), Bank::Sha256.zeros());
        assert!(is_certain(at(11), Origin::Reset, &policy));
    }
}
