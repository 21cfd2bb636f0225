// SPDX-License-Identifier: GPL-2.0

//! The log: what happens to the list. Appending, checkpoints, truncation, kexec.

mod automatic;
mod events;
pub(crate) mod kexec;
mod restore;
#[cfg(CONFIG_IMA_CHECKPOINT_RETENTION)]
mod retention;
mod seal;
mod shadow;
mod status;
#[cfg(CONFIG_KUNIT = "y")]
mod tests;
mod truncate;

pub(crate) use self::{
    events::Events,
    seal::Sealed,
    status::Status, //
};

use self::{
    automatic::{
        wake,
        wake_in,
        Due,
        Fresh,
        Retry,
        DUTY,
        NAP, //
    },
    shadow::{
        Pcr,
        Pcrs, //
    },
};
use crate::{
    config::{
        Config,
        CONFIG, //
    },
    env::{
        Bank,
        Digest,
        Env,
        SHA1_SIZE, //
    },
    format::{
        self,
        ascii,
        checkpoint,
        record::{
            NewRecord as Encoder,
            Record, //
        },
        truncate as truncation, //
    },
    seam::{
        self,
        Extend,
        Locked,
        MAX_DIGEST, //
    },
    store::{
        known::{
            Known,
            Wanted, //
        },
        Segment,
        Span,
        Store,
        Writer, //
    },
};
use kernel::{
    bindings,
    prelude::*,
    sync::{
        Arc,
        SetOnce, //
    },
    workqueue::{
        new_delayed_work,
        new_work,
        DelayedWork,
        Work, //
    },
};

static LOG: SetOnce<Arc<Log>> = SetOnce::new();

/// A record on its way into the list.
pub(crate) struct NewRecord<'a> {
    pub(crate) pcr: u32,
    /// All-zero digests in the list, 0xff in the PCR.
    pub(crate) violation: bool,
    /// Name of the template, or its format if it has no name.
    pub(crate) template: &'a [u8],
    pub(crate) fields: &'a [&'a [u8]],
    /// One per bank.
    pub(crate) digests: &'a [bindings::tpm_digest],
}

/// What violations extend.
const VIOLATION: Digest = [0xff; MAX_DIGEST];

/// The measurement list of this machine.
#[pin_data]
pub(crate) struct Log {
    env: Env,
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
    /// The segment that the record on its way is to start.
    next: Option<Arc<Segment>>,
    /// What no checkpoint covers.
    fresh: Fresh,
    /// Of automatic checkpoints.
    retry: Retry,
    #[cfg(CONFIG_IMA_CHECKPOINT_RETENTION)]
    retention: Retry,
    /// Records of a previous kernel were restored.
    restored: bool,
    /// Violations in and before them.
    restored_violations: u64,
    /// Records among them that look like checkpoints and are none.
    doubted: u64,
    /// The default PCR was extended by more than the list explains.
    lost: bool,
    /// Segment that the kexec buffer starts with, once measuring is suspended for a kexec.
    handover: Option<u64>,
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
            log_id: seam::random(),
            generation: 0,
            sequence: 0,
            digest: [0; 32],
        }
    }
}

impl Log {
    /// The log, once IMA has initialised the store.
    pub(crate) fn get() -> Option<&'static Self> {
        LOG.as_ref().map(|log| &**log)
    }

    /// Makes the log; changes nothing if there is one. EINVAL if that has another environment.
    pub(crate) fn init(env: Env) -> Result {
        match Self::get() {
            None => {
                LOG.populate(Self::new(env, &CONFIG)?);
                Ok(())
            }
            Some(log) if log.env == env => Ok(()),
            Some(_) => Err(EINVAL),
        }
    }

    /// An empty log.
    fn new(env: Env, config: &'static Config) -> Result<Arc<Self>> {
        let first = Segment::new(0, [0; 32], Span::default(), KVec::new())?;
        let store = Store::new(first.clone())?;
        let known = Known::new(env.hash_size());
        Arc::pin_init(
            pin_init!(Self {
                env,
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
                    fresh: Fresh::default(),
                    retry: Retry::default(),
                    #[cfg(CONFIG_IMA_CHECKPOINT_RETENTION)]
                    retention: Retry::default(),
                    restored: false,
                    restored_violations: 0,
                    doubted: 0,
                    lost: false,
                    handover: None,
                    last_error: None,
                }),
            }),
            GFP_KERNEL,
        )
    }

    pub(crate) fn env(&self) -> &Env {
        &self.env
    }

    /// The administrator's settings. [`Log::configured`] is called when some changed.
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

    /// The live segments, oldest first, the active one last.
    pub(crate) fn segments(&self) -> Result<KVec<Arc<Segment>>> {
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
        known.contains(&self.env, &self.store, scope, wanted)
    }

    /// Appends a record, which the caller extends next. On an error nothing was appended.
    pub(crate) fn append(&self, held: &mut Extend, record: &NewRecord<'_>) -> Result {
        self.first_use(held, record.pcr)?;
        let digest = |bank: usize| {
            record
                .digests
                .get(bank)
                .map(|digest| digest.digest.as_slice())
                .unwrap_or_default()
        };
        let sha1 = if record.violation {
            &[0; SHA1_SIZE]
        } else {
            digest(self.env.sha1()).get(..SHA1_SIZE).ok_or(EINVAL)?
        };
        let state = self.state.get(held);
        let at = state.writer.end().records;
        match state.write(&self.env, &self.store, self.config, sha1, record)? {
            Due::Now if !state.retry.is_pausing() => wake(),
            Due::InSeconds(seconds) => wake_in(seconds),
            _ => (),
        }

        if self.env.unique() && !record.violation {
            let wanted = Wanted {
                pcr: record.pcr,
                digest: digest(self.env.hash_index()),
            };
            // A digest that is not remembered is measured again, which does no harm.
            let _ = state.known.insert(at, wanted);
        }
        let extended = |bank: &Bank| {
            if record.violation {
                VIOLATION.as_slice()
            } else {
                digest(bank.index())
            }
        };
        if let Some(pcr) = state.pcrs.get_mut(record.pcr) {
            let _ = pcr.extend(&self.env, extended);
        }
        Ok(())
    }

    /// Asks the TPM what a PCR holds before its first record.
    fn first_use(&self, held: &mut Extend, index: u32) -> Result {
        let (state, held) = self.state.get_with(held);
        if state.pcrs.get(index).is_some() {
            return Ok(());
        }
        let pcr = Pcr::first_used(held, &self.env, index)?;
        if index == self.env.pcr() {
            let base = pcr.bases()?;
            // After a reset the default PCR is zero; anything else was extended before IMA.
            state.lost = base.iter().any(|value| *value != [0; MAX_DIGEST]);
            state.writer.active().set_base(base);
        }
        state.pcrs.add(pcr)
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
        env: &Env,
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
            order: env.order(),
        };
        let len = encoder.encoded_len().map_err(invalid)?;
        let sealed = self.writer.active().clone();
        let mut own = false;
        self.writer.append(store, self.next.clone(), len, |out| {
            encoder.encode(out).map_err(invalid)?;
            let (record, _) = Record::parse(out, SHA1_SIZE, env.order()).map_err(invalid)?;
            own = is_own(&record);
            Ok(ascii::ascii_len(&record, SHA1_SIZE))
        })?;
        Ok(self.appended(env, config, &sealed, own, len))
    }

    /// A record of `bytes` is in the list; if it is a checkpoint, it has sealed `active`. Tells
    /// when the next one is due.
    fn appended(
        &mut self,
        env: &Env,
        config: &Config,
        active: &Segment,
        own: bool,
        bytes: usize,
    ) -> Due {
        if self.next.take().is_some() {
            self.sealed(env, active);
        }
        if own {
            return Due::Never;
        }
        self.fresh.count(config, bytes as u64)
    }

    /// A checkpoint is in the list: it has sealed `segment`.
    fn sealed(&mut self, env: &Env, segment: &Segment) {
        self.fresh = Fresh::default();
        if self.pcrs.get(env.pcr()).is_some_and(Pcr::differs) {
            segment.mark_broken();
        }
        self.pcrs.sealed();
    }
}

/// Is it one that the log itself appended? Nobody can have another record of these names measured.
fn is_own(record: &Record<'_>) -> bool {
    let name = record.event_name();
    name == Some(checkpoint::EVENT_NAME) || name == Some(truncation::EVENT_NAME)
}

/// Something is not as the format demands.
fn invalid(_: format::Error) -> Error {
    EINVAL
}

/// Names the errors that the log gives; `Error::name()` does only with `CONFIG_SYMBOLIC_ERRNAME`.
pub(crate) fn error_name(error: Error) -> &'static str {
    match error {
        EBUSY => "EBUSY",
        EINVAL => "EINVAL",
        EIO => "EIO",
        ENOENT => "ENOENT",
        ENOMEM => "ENOMEM",
        ENOSPC => "ENOSPC",
        ESTALE => "ESTALE",
        _ => "other",
    }
}
