// SPDX-License-Identifier: GPL-2.0

//! Logs of the tests' own, on machines of their own: IMA's record path, and a TPM that remembers
//! what it was extended with and fails when it is told to.

use super::{
    machine::Machine,
    shadow::VIOLATION,
    Log,
    NewRecord,
    Sealed, //
};
use crate::{
    abstractions::{
        ima::{
            Extend,
            Extended,
            TemplateDigest,
            MAX_DIGEST, //
        },
        sha256::sha256, //
    },
    config::Config,
    format::{
        checkpoint::{
            Flags,
            Label, //
        },
        consent::Signature,
        record::{
            NewRecord as Encoder,
            Record, //
        },
    },
    memory::{
        failing,
        KVVec,
        KVec, //
    },
    platform::{
        Bank,
        Digest,
        Platform, //
    },
    store::Output,
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};

/// Ends a test with an error unless a condition holds.
///
/// KUnit's `assert!` ends the task where it stands, with the extend mutex in its hands, and whoever
/// wants that next waits for ever.
macro_rules! ensure {
    ($condition:expr $(,)?) => {
        if !$condition {
            let (file, line) = (file!(), line!());
            pr_err!("{file}:{line}: not true: {}\n", stringify!($condition));
            return Err(EINVAL);
        }
    };
}

/// Ends a test with an error unless two values are equal, as [`ensure`].
macro_rules! ensure_eq {
    ($left:expr, $right:expr $(,)?) => {
        $crate::log::testing::ensure!($left == $right)
    };
}

pub(super) use ensure;
pub(super) use ensure_eq;

/// PCRs of a test's TPM.
const PCRS: u32 = 24;

/// What a TPM does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A read or an extend fails, and changes nothing.
    Fails,
    /// A read gives another value.
    Lies,
    /// Somebody extends the PCR just before a read or an extend.
    Meddles,
}

/// When it does so.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Never,
    /// At the call with this number from now on, only.
    At(u64),
    /// At every call.
    Always,
}

/// What a machine has in its keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyring {
    /// The key that [`Keyring::sign`] signs with.
    Key,
    /// No key.
    Empty,
    /// The kernel has none.
    Unsupported,
    /// There is no memory to verify anything.
    NoMemory,
}

impl Keyring {
    /// A signature over a SHA-256: what it is made of is as long as it is.
    pub(super) fn sign(digest: &[u8; 32]) -> [u8; 13] {
        let mut signature = *b"\x03\x02\x04\0\0\0\x01\0\x04....";
        signature[9..].copy_from_slice(&digest[..4]);
        signature
    }
}

/// A machine whose state is the test's.
#[pin_data]
pub(super) struct TestMachine {
    #[pin]
    state: Mutex<MachineState>,
}

struct MachineState {
    /// What the TPM holds, by PCR and bank.
    values: KVVec<Digest>,
    banks: usize,
    fault: Fault,
    when: When,
    /// Calls of the TPM since the fault was chosen.
    calls: u64,
    /// As IMA was told.
    violations: u64,
    keyring: Keyring,
    /// Signatures that it was asked about.
    verified: u64,
    /// How the audited events ended.
    audited: KVec<Result>,
    /// All that was appended since cold boot: the list, in the plainest form.
    list: PlainList,
}

/// Records, one after the other.
#[derive(Default)]
pub(super) struct PlainList {
    pub(super) bytes: KVVec<u8>,
    /// Where each record ends.
    pub(super) ends: KVVec<usize>,
}

impl PlainList {
    fn push(&mut self, record: &[u8]) -> Result {
        self.bytes.extend_from_slice(record, GFP_KERNEL)?;
        Ok(self.ends.push(self.bytes.len(), GFP_KERNEL)?)
    }

    /// Offset of record `index`, or the end.
    pub(super) fn start(&self, index: u64) -> usize {
        let before = (index as usize).checked_sub(1);
        before
            .and_then(|at| self.ends.get(at))
            .map_or(0, |end| *end)
    }

    /// The bytes from record `index` on.
    pub(super) fn from(&self, index: u64) -> &[u8] {
        self.bytes.get(self.start(index)..).unwrap_or_default()
    }
}

impl MachineState {
    fn place(&self, bank: usize, pcr: u32) -> usize {
        pcr as usize * self.banks + bank
    }

    fn value(&mut self, bank: usize, pcr: u32) -> Result<&mut Digest> {
        let place = self.place(bank, pcr);
        self.values.get_mut(place).ok_or(EIO)
    }

    /// Counts a call, and tells what goes wrong with it.
    fn call(&mut self) -> Option<Fault> {
        let number = self.calls;
        self.calls += 1;
        let strikes = match self.when {
            When::Never => false,
            When::At(at) => at == number,
            When::Always => true,
        };
        strikes.then_some(self.fault)
    }

    fn extend(&mut self, bank: &Bank, pcr: u32, digest: &[u8]) -> Result {
        let size = bank.digest_size();
        let value = self.value(bank.index(), pcr)?;
        let mut message = [0; 2 * MAX_DIGEST];
        message[..size].copy_from_slice(bank.trim(value));
        message[size..2 * size].copy_from_slice(digest.get(..size).ok_or(EINVAL)?);
        bank.hash(&message[..2 * size], value)
    }

    fn meddle(&mut self, platform: &Platform, pcr: u32) -> Result {
        let banks = platform.banks().iter().filter(|bank| bank.in_tpm());
        for bank in banks {
            self.extend(bank, pcr, &[0x5a; MAX_DIGEST])?;
        }
        Ok(())
    }
}

impl Machine for TestMachine {
    fn is_suspended(&self, _held: &Extend) -> bool {
        false
    }

    fn read_pcr(&self, _held: &Extend, bank: usize, pcr: u32, value: &mut Digest) -> Result {
        let mut state = self.state.lock();
        let fault = state.call();
        *value = *state.value(bank, pcr)?;
        match fault {
            Some(Fault::Fails) => return Err(EIO),
            Some(Fault::Lies) => value[0] ^= 1,
            Some(Fault::Meddles) | None => (),
        }
        Ok(())
    }

    fn extend_buffer(
        &self,
        log: &Log,
        held: &mut Extend,
        event_name: &CStr,
        buffer: &[u8],
    ) -> Result<Extended> {
        let platform = log.platform();
        let bank = platform.banks().get(platform.hash_index()).ok_or(EINVAL)?;
        let mut hash = [0; MAX_DIGEST];
        bank.hash(buffer, &mut hash)?;
        let mut digest = KVec::new();
        digest.extend_from_slice(bank.name().as_bytes(), GFP_KERNEL)?;
        digest.extend_from_slice(b":\0", GFP_KERNEL)?;
        digest.extend_from_slice(bank.trim(&hash), GFP_KERNEL)?;
        let record = TestRecord {
            pcr: platform.pcr(),
            violation: false,
            template: b"ima-buf",
            fields: &[&digest, event_name.to_bytes_with_nul(), buffer],
        };
        self.measure(log, held, &record)
    }

    fn verify(&self, signature: &Signature<'_>, digest: &[u8; 32]) -> Result {
        let mut state = self.state.lock();
        state.verified += 1;
        match state.keyring {
            Keyring::Key if signature.as_bytes() == Keyring::sign(digest) => Ok(()),
            Keyring::Key => Err(EKEYREJECTED),
            Keyring::Empty => Err(ENOKEY),
            Keyring::Unsupported => Err(EOPNOTSUPP),
            Keyring::NoMemory => Err(ENOMEM),
        }
    }

    fn set_violations(&self, count: u64) {
        self.state.lock().violations = count;
    }

    fn audit(&self, _name: &CStr, _op: &CStr, _cause: &CStr, result: Result) {
        let _ = self.state.lock().audited.push(result, GFP_KERNEL);
    }
}

/// A record that a test measures.
pub(super) struct TestRecord<'a> {
    pub(super) pcr: u32,
    pub(super) violation: bool,
    pub(super) template: &'a [u8],
    pub(super) fields: &'a [&'a [u8]],
}

impl TestRecord<'_> {
    /// The record's bytes with the right digest, and its template digests, as IMA computes them.
    pub(super) fn encode(&self, platform: &Platform) -> Result<(KVVec<u8>, KVec<TemplateDigest>)> {
        let encode = |digest: &[u8]| -> Result<KVVec<u8>> {
            let encoder = Encoder {
                pcr: self.pcr,
                digest,
                template_name: self.template,
                fields: self.fields.iter().copied(),
                order: platform.order(),
            };
            let len = encoder.encoded_len().map_err(|_| EINVAL)?;
            let mut out = KVVec::zeroed(len, GFP_KERNEL)?;
            encoder.encode(&mut out).map_err(|_| EINVAL)?;
            Ok(out)
        };
        // Zeros would make it a violation.
        let draft = encode(if self.violation { &[0; 20] } else { &[1; 20] })?;
        let (record, _) = Record::parse(&draft, 20, platform.order()).map_err(|_| EINVAL)?;
        let mut digests = KVec::new();
        for bank in platform.banks() {
            let digest = platform.template_digest(&record, bank)?;
            digests.push(TemplateDigest::new(bank.alg_id(), digest), GFP_KERNEL)?;
        }
        let sha1 = digests.get(platform.sha1()).ok_or(EINVAL)?.value();
        Ok((encode(sha1.get(..20).ok_or(EINVAL)?)?, digests))
    }
}

impl TestMachine {
    /// A machine with the banks of `platform`, whose PCRs are zero.
    fn new(platform: &Platform) -> Result<Arc<Self>> {
        let banks = platform.banks().len();
        let mut values = KVVec::new();
        values.resize(banks * PCRS as usize, [0; MAX_DIGEST], GFP_KERNEL)?;
        let state = MachineState {
            values,
            banks,
            fault: Fault::Fails,
            when: When::Never,
            calls: 0,
            violations: 0,
            keyring: Keyring::Key,
            verified: 0,
            audited: KVec::new(),
            list: PlainList::default(),
        };
        Arc::pin_init(
            pin_init!(Self {
                state <- new_mutex!(state),
            }),
            GFP_KERNEL,
        )
    }

    /// Appends a record and extends the TPM, as IMA does.
    pub(super) fn measure(
        &self,
        log: &Log,
        held: &mut Extend,
        record: &TestRecord<'_>,
    ) -> Result<Extended> {
        let platform = log.platform();
        let (bytes, digests) = failing::never(|| record.encode(platform))?;
        log.append(
            held,
            &NewRecord {
                pcr: record.pcr,
                violation: record.violation,
                template: record.template,
                fields: record.fields,
                digests: &digests,
            },
        )?;
        let mut state = self.state.lock();
        failing::never(|| state.list.push(&bytes))?;
        if !platform.has_tpm() {
            return Ok(Extended::Both);
        }
        match state.call() {
            Some(Fault::Fails) => return Ok(Extended::ListOnly),
            Some(Fault::Meddles) => state.meddle(platform, record.pcr)?,
            Some(Fault::Lies) | None => (),
        }
        for (bank, digest) in platform.banks().iter().zip(&digests) {
            if bank.in_tpm() {
                let digest = if record.violation {
                    &VIOLATION
                } else {
                    digest.value()
                };
                state.extend(bank, record.pcr, digest)?;
            }
        }
        Ok(Extended::Both)
    }

    /// Has the TPM fail.
    pub(super) fn fail(&self, fault: Fault, when: When) {
        let mut state = self.state.lock();
        state.fault = fault;
        state.when = when;
        state.calls = 0;
    }

    /// Calls of the TPM since [`TestMachine::fail`].
    pub(super) fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// Extends a PCR behind IMA's back.
    pub(super) fn meddle(&self, platform: &Platform, pcr: u32) -> Result {
        self.state.lock().meddle(platform, pcr)
    }

    /// What a PCR holds.
    pub(super) fn pcr(&self, bank: usize, pcr: u32) -> Result<Digest> {
        self.state.lock().value(bank, pcr).copied()
    }

    /// How the events were that were audited since the last call.
    pub(super) fn audited(&self) -> KVec<Result> {
        core::mem::replace(&mut self.state.lock().audited, KVec::new())
    }

    /// Changes what is in the keyring.
    pub(super) fn set_keyring(&self, keyring: Keyring) {
        self.state.lock().keyring = keyring;
    }

    /// How many signatures it was asked about.
    pub(super) fn verified(&self) -> u64 {
        self.state.lock().verified
    }

    /// Gives the list to `look`.
    pub(super) fn with_list<R>(&self, look: impl FnOnce(&PlainList) -> R) -> R {
        look(&self.state.lock().list)
    }

    /// The violations that IMA was told of.
    pub(super) fn violations(&self) -> u64 {
        self.state.lock().violations
    }
}

/// A log on a machine.
pub(super) struct Rig {
    pub(super) log: Arc<Log>,
    pub(super) machine: Arc<TestMachine>,
}

static CONFIG: Config = Config::new();

impl Rig {
    /// An empty log with the banks of the machine that runs the tests, in a TPM or not.
    pub(super) fn new(has_tpm: bool) -> Result<Self> {
        Self::configured(has_tpm, &CONFIG)
    }

    /// With settings of its own.
    pub(super) fn configured(has_tpm: bool, config: &'static Config) -> Result<Self> {
        let platform = Platform::with_tpm(Log::get().ok_or(ENODEV)?.platform(), has_tpm)?;
        Self::on(platform, config)
    }

    /// An empty log with the banks of `platform`.
    pub(super) fn on(platform: Platform, config: &'static Config) -> Result<Self> {
        let machine = TestMachine::new(&platform)?;
        let log = Log::new(platform, machine.clone(), config)?;
        Ok(Self { log, machine })
    }

    /// An empty log on a machine that goes on.
    pub(super) fn booted(
        machine: Arc<TestMachine>,
        has_tpm: bool,
        config: &'static Config,
    ) -> Result<Self> {
        let platform = Platform::with_tpm(Log::get().ok_or(ENODEV)?.platform(), has_tpm)?;
        let log = Log::new(platform, machine.clone(), config)?;
        Ok(Self { log, machine })
    }

    /// Measures a record.
    pub(super) fn measure(&self, held: &mut Extend, record: &TestRecord<'_>) -> Result {
        self.machine.measure(&self.log, held, record).map(|_| ())
    }

    /// Measures a file; each `n` is another one.
    pub(super) fn measure_file(&self, held: &mut Extend, n: u32) -> Result {
        with_file(&self.log, n, |record| self.measure(held, record))
    }

    /// Records a violation.
    pub(super) fn violate(&self, held: &mut Extend) -> Result {
        self.measure(
            held,
            &TestRecord {
                pcr: self.log.platform().pcr(),
                violation: true,
                template: b"ima-ng",
                fields: &[b"sha1:\0....................", b"/violated\0"],
            },
        )
    }

    /// Makes a checkpoint.
    pub(super) fn seal(&self, held: &mut Extend) -> Result<Sealed> {
        self.log.seal(held, Label::default(), Flags::default())
    }
}

/// Gives the record of file `n` to `look`.
pub(super) fn with_file<R>(log: &Log, n: u32, look: impl FnOnce(&TestRecord<'_>) -> R) -> R {
    let mut digest = *b"sha256:\0................................";
    digest[8..].copy_from_slice(&sha256(&n.to_le_bytes()));
    look(&TestRecord {
        pcr: log.platform().pcr(),
        violation: false,
        template: b"ima-ng",
        fields: &[&digest, b"/usr/bin/file\0"],
    })
}

/// What a reader gave.
pub(super) struct Taken {
    pub(super) bytes: KVVec<u8>,
    room: usize,
}

impl Taken {
    /// Takes `room` bytes.
    pub(super) fn new(room: usize) -> Self {
        Self {
            bytes: KVVec::new(),
            room,
        }
    }
}

impl Output for Taken {
    fn room(&self) -> usize {
        self.room
    }

    fn put(&mut self, bytes: &[u8]) -> Result {
        self.room = self.room.checked_sub(bytes.len()).ok_or(EFAULT)?;
        Ok(failing::never(|| {
            self.bytes.extend_from_slice(bytes, GFP_KERNEL)
        })?)
    }
}
