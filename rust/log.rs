// SPDX-License-Identifier: GPL-2.0

//! The log: what happens to the list. Appending, checkpoints, truncation, kexec.

mod attempts;
mod automatic;
mod consent;
mod events;
pub(crate) mod kexec;
mod machine;
mod quote;
mod restore;
#[cfg(CONFIG_IMA_CHECKPOINT_RETENTION)]
mod retention;
mod seal;
mod settings;
mod shadow;
mod status;
#[cfg(CONFIG_KUNIT = "y")]
mod testing;
#[cfg(CONFIG_KUNIT = "y")]
mod tests;
mod truncate;

pub(crate) use self::{
    consent::Target,
    events::Events,
    seal::Sealed,
    status::Status, //
};

use self::{
    attempts::Attempts,
    automatic::{
        wake,
        wake_in,
        Due,
        Fresh,
        Retry,
        DUTY,
        NAP, //
    },
    kexec::Handover,
    machine::{
        Machine,
        ThisMachine, //
    },
    shadow::{
        Pcr,
        Pcrs, //
    },
};
use crate::{
    abstractions::{
        ima::{
            Extend,
            Extended,
            Locked,
            TemplateDigest,
            MAX_DIGEST, //
        },
        random, //
    },
    config::{
        Config,
        CONFIG, //
    },
    format::{
        self,
        ascii,
        checkpoint,
        config as settings_record,
        quote as quote_record,
        record::{
            NewRecord as Encoder,
            Record, //
        },
        truncate as truncation, //
    },
    memory::{
        KVVec,
        KVec, //
    },
    platform::{
        Digest,
        Platform,
        SHA1_SIZE, //
    },
    store::{
        known::{
            Known,
            Wanted, //
        },
        Live,
        Seal,
        Segment,
        Span,
        Store,
        Writer, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc,
    workqueue::{
        new_delayed_work,
        new_work,
        DelayedWork,
        Work, //
    },
};

/// A record on its way into the list.
pub(crate) struct NewRecord<'a> {
    pub(crate) pcr: u32,
    /// All-zero digests in the list, 0xff in the PCR.
    pub(crate) violation: bool,
    /// Name of the template, or its format if it has no name.
    pub(crate) template: &'a [u8],
    pub(crate) fields: &'a [&'a [u8]],
    /// One per bank.
    pub(crate) digests: &'a [TemplateDigest],
}

static LOGS: Attempts = Attempts::new();

/// The measurement list of this machine.
#[pin_data]
pub(crate) struct Log {
    platform: Platform,
    machine: Arc<dyn Machine>,
    config: &'static Config,
    #[pin]
    store: Store,
    #[pin]
    events: Events,
    state: Locked<State>,
    #[pin]
    duty: Work<Log, DUTY>,
    #[pin]
    nap: DelayedWork<Log, NAP>,
}

/// What the extend mutex protects.
struct State {
    writer: Writer,
    known: Known,
    pcrs: Pcrs,
    identity: Identity,
    /// What the record on its way is to do: it is a checkpoint.
    next: Option<Seal>,
    /// Violations in the list since cold boot. IMA's own count is ahead of it while one is on its
    /// way, and a checkpoint must not count what follows it.
    violations: u64,
    /// What no checkpoint covers.
    fresh: Fresh,
    /// Of automatic checkpoints.
    retry: Retry,
    #[cfg(CONFIG_IMA_CHECKPOINT_RETENTION)]
    retention: Retry,
    /// Records of a previous kernel were restored.
    restored: bool,
    /// Records among them that look like checkpoints and are none.
    doubted: u64,
    /// The default PCR was extended by more than the list explains.
    lost: bool,
    /// What the next kernel gets, once measuring is suspended for a kexec.
    handover: Option<Handover>,
    last_error: Option<Error>,
}

/// What a checkpoint says of the log as a whole.
#[derive(Clone)]
struct Identity {
    log_id: [u8; 16],
    /// Kexecs since cold boot, as far as checkpoints tell.
    generation: u32,
    /// Number of the newest checkpoint, 0 before the first.
    sequence: u64,
    /// SHA-256 of its buffer.
    digest: [u8; 32],
}

impl Identity {
    fn new() -> Self {
        Self {
            log_id: random::bytes(),
            generation: 0,
            sequence: 0,
            digest: [0; 32],
        }
    }
}

impl Log {
    /// The log, once IMA has initialised the store.
    pub(crate) fn get() -> Option<&'static Self> {
        Self::shared().map(|log| &**log)
    }

    /// The log, for what keeps it.
    fn shared() -> Option<&'static Arc<Self>> {
        LOGS.last()
    }

    /// Makes the log; changes nothing if there is one of the same environment. EINVAL if there is
    /// another one with records in it, or no further attempt is allowed.
    pub(crate) fn init(platform: Platform) -> Result {
        LOGS.add(platform, |platform| {
            let machine = Arc::new(ThisMachine, GFP_KERNEL)?;
            Self::new(platform, machine, &CONFIG)
        })
    }

    /// An empty log.
    fn new(
        platform: Platform,
        machine: Arc<dyn Machine>,
        config: &'static Config,
    ) -> Result<Arc<Self>> {
        let first = Segment::new(0, [0; 32], Span::default(), KVec::new())?;
        let store = Store::new(first.clone());
        let known = Known::new(platform.hash_size());
        Arc::pin_init(
            pin_init!(Self {
                platform,
                machine,
                config,
                store <- store,
                events <- Events::new(),
                duty <- new_work!("ima_checkpoint_duty"),
                nap <- new_delayed_work!("ima_checkpoint_nap"),
                state: Locked::new(State {
                    writer: Writer::new(first),
                    known,
                    pcrs: Pcrs::new(),
                    identity: Identity::new(),
                    next: None,
                    violations: 0,
                    fresh: Fresh::default(),
                    retry: Retry::default(),
                    #[cfg(CONFIG_IMA_CHECKPOINT_RETENTION)]
                    retention: Retry::default(),
                    restored: false,
                    doubted: 0,
                    lost: false,
                    handover: None,
                    last_error: None,
                }),
            }),
            GFP_KERNEL,
        )
    }

    pub(crate) fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The administrator's settings, to be read: [`Log::configure`] changes them.
    pub(crate) fn config(&self) -> &Config {
        self.config
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Seals and frees.
    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    /// The live segments as they were at one moment, oldest first, the active one last. ENOMEM.
    pub(crate) fn segments(&self) -> Result<KVVec<Live>> {
        self.store.segments()
    }

    /// A live segment: ESTALE if it was freed, ENOENT if it does not exist yet.
    pub(crate) fn segment(&self, seq: u64) -> Result<Arc<Segment>> {
        self.store.segment(seq)
    }

    /// Tells whether this kernel measured `digest` into `pcr`.
    pub(crate) fn is_known(&self, held: &mut Extend, pcr: u32, digest: &[u8]) -> bool {
        let scope = self.config.duplicate_scope();
        let wanted = Wanted { pcr, digest };
        let known = &self.state.get(held).known;
        known.contains(&self.platform, &self.store, scope, wanted)
    }

    /// Appends a record, which the caller extends next. On an error nothing was appended.
    pub(crate) fn append(&self, held: &mut Extend, record: &NewRecord<'_>) -> Result {
        let first_use = self.first_use(held, record.pcr)?;
        let digest = |bank: usize| {
            record
                .digests
                .get(bank)
                .map(|digest| digest.value().as_slice())
                .unwrap_or_default()
        };
        let sha1 = if record.violation {
            &[0; SHA1_SIZE]
        } else {
            digest(self.platform.sha1())
                .get(..SHA1_SIZE)
                .ok_or(EINVAL)?
        };
        let state = self.state.get(held);
        let at = state.writer.end().records;
        match state.write(&self.platform, &self.store, self.config, sha1, record)? {
            Due::Now if !state.retry.is_pausing() => wake(),
            Due::InSeconds(seconds) => wake_in(seconds),
            _ => (),
        }
        if let Some((pcr, base)) = first_use {
            self.begin_use(state, pcr, base);
        }
        if record.violation {
            state.violations = state.violations.saturating_add(1);
        }

        if self.platform.unique() && !record.violation {
            let wanted = Wanted {
                pcr: record.pcr,
                digest: digest(self.platform.hash_index()),
            };
            // A digest that is not remembered is measured again, which does no harm.
            let _ = state.known.insert(at, wanted);
        }
        let pcr = record.pcr;
        state
            .pcrs
            .extend(&self.platform, pcr, record.violation, digest);
        Ok(())
    }

    /// Asks the TPM what a PCR holds before its first record, if this is the first. Gives the PCR,
    /// for which there is room, and its values.
    fn first_use(&self, held: &mut Extend, index: u32) -> Result<Option<(Pcr, Arc<KVec<Digest>>)>> {
        let (state, held) = self.state.get_with(held);
        if state.pcrs.get(index).is_some() {
            return Ok(None);
        }
        let pcr = Pcr::first_used(&*self.machine, held, &self.platform, index)?;
        let base = Arc::new(pcr.bases()?, GFP_KERNEL)?;
        state.pcrs.reserve()?;
        Ok(Some((pcr, base)))
    }

    /// The first record of a PCR is in the list.
    fn begin_use(&self, state: &mut State, pcr: Pcr, base: Arc<KVec<Digest>>) {
        if pcr.index() == self.platform.pcr() {
            // After a reset the default PCR is zero; anything else was extended before IMA.
            state.lost = base.iter().any(|value| *value != [0; MAX_DIGEST]);
            state.writer.active().set_base(base);
        }
        state.pcrs.insert(pcr);
    }

    /// Appends a record of the log's own and extends it. EIO: the TPM refused it, and it is in the
    /// list all the same. On another error nothing was appended.
    fn append_own(&self, held: &mut Extend, event_name: &CStr, buffer: &[u8]) -> Result {
        match self.machine.extend_buffer(self, held, event_name, buffer)? {
            Extended::Both => Ok(()),
            Extended::ListOnly => Err(EIO),
        }
    }

    /// Notes the error of an operation for `status`.
    fn note<T>(&self, held: &mut Extend, result: Result<T>) -> Result<T> {
        if let Err(error) = result {
            self.state.get(held).last_error = Some(error);
        }
        result
    }
}

impl State {
    /// Writes a record to the store, as the first of the segment that is waiting for it if there is
    /// one. Tells when a checkpoint is due.
    fn write(
        &mut self,
        platform: &Platform,
        store: &Store,
        config: &Config,
        sha1: &[u8],
        record: &NewRecord<'_>,
    ) -> Result<Due> {
        let encoder = Encoder {
            pcr: record.pcr,
            digest: sha1,
            template_name: record.template,
            fields: record.fields.iter().copied(),
            order: platform.order(),
        };
        let len = encoder.encoded_len().map_err(invalid)?;
        let seals = self.next.is_some();
        let mut own = false;
        self.writer.append(store, self.next.take(), len, |out| {
            encoder.encode(out).map_err(invalid)?;
            let (record, _) = Record::parse(out, SHA1_SIZE, platform.order()).map_err(invalid)?;
            own = is_own(&record);
            Ok(ascii::ascii_len(&record, SHA1_SIZE))
        })?;
        Ok(self.appended(config, seals, own, len))
    }

    /// A record of `bytes` is in the list, a checkpoint if it `seals` a segment. Tells when the
    /// next one is due.
    fn appended(&mut self, config: &Config, seals: bool, own: bool, bytes: usize) -> Due {
        if seals {
            self.fresh = Fresh::default();
            self.pcrs.sealed();
        }
        if own {
            return Due::Never;
        }
        self.fresh.count(config, bytes as u64)
    }
}

/// Is it one that the log itself appended? Nobody can have another record of these names measured.
fn is_own(record: &Record<'_>) -> bool {
    let own = [
        checkpoint::EVENT_NAME,
        truncation::EVENT_NAME,
        settings_record::EVENT_NAME,
        quote_record::EVENT_NAME,
    ];
    record.event_name().is_some_and(|name| own.contains(&name))
}

/// Something is not as the format demands.
fn invalid(_: format::Error) -> Error {
    EINVAL
}

/// Names the errors that the log gives; `Error::name()` does only with `CONFIG_SYMBOLIC_ERRNAME`.
pub(crate) fn error_name(error: Error) -> &'static str {
    match error {
        EBADMSG => "EBADMSG",
        EBUSY => "EBUSY",
        EINVAL => "EINVAL",
        EIO => "EIO",
        EKEYREJECTED => "EKEYREJECTED",
        ENOENT => "ENOENT",
        ENOKEY => "ENOKEY",
        ENOMEM => "ENOMEM",
        ENOSPC => "ENOSPC",
        EPERM => "EPERM",
        ESTALE => "ESTALE",
        _ => "other",
    }
}
