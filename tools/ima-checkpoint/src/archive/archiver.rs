// SPDX-License-Identifier: GPL-2.0

//! The archiver: takes over what the kernel has sealed, and frees it there when it is safe.
//!
//! It looks what there is ([`observe`]), plans ([`plan`]), and does step by step what is planned
//! ([`execute`](super::execute)), until nothing is left to do.

use super::{
    copies::Copier,
    durable::{Access, Folder, PARTIAL},
    execute::{Executor, Place},
    index::Index,
    is_host,
    live::{has_news, is_quoted, Claims, Live},
    lock::lock,
    notice::{Notice, Notices, Warning},
    now_ns, observe,
    open::Directory,
    plan::{
        facts::{self, Facts, Holdings, Sha256},
        foresee, in_question, plan, plan_tail, Wait,
    },
    receipts::{Acknowledge, Receipts, ReceiptsFrom},
    rules::{Copying, Keep, Remove, Rules},
    Log, LogName,
};
use crate::{
    archive,
    bank::Digest,
    error::{Error, Result},
    kernel::{byte_order, Created},
    open_files::Readers,
    quoting::{quoted, Signer},
    remote::StoreUrl,
};
use ima_checkpoint_format::ByteOrder;
use indicatif::HumanCount;
use std::{collections::BTreeSet, io, path::PathBuf};

/// What the archiver is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The archive.
    pub dir: PathBuf,
    /// The name of this host in it.
    pub host: String,
    /// Who may read it.
    pub access: Access,
    /// What stays in the kernel.
    pub keep: Keep,
    /// What is removed from the archive.
    pub remove: Remove,
    /// Only that is freed and removed of which there is a receipt.
    pub receipts: Option<ReceiptsFrom>,
    /// The store that sealed segments are copied to.
    pub copy_to: Option<StoreUrl>,
    /// Is only that freed and removed which has a copy there?
    pub require_copy: bool,
    /// What if programs have the kernel's list open?
    pub readers: Readers,
}

impl Options {
    fn rules(&self) -> Rules {
        Rules {
            keep: self.keep,
            remove: self.remove,
            acknowledge: self.receipts.is_some(),
            copying: match (&self.copy_to, self.require_copy) {
                (_, true) => Copying::Required,
                (Some(_), false) => Copying::Sealed,
                (None, false) => Copying::Nothing,
            },
            readers: self.readers,
        }
    }

    fn copier(&self) -> Option<Copier> {
        let url = self.copy_to.clone()?;
        Some(Copier::new(url, &self.host))
    }

    /// Those who must have a segment before it is freed or removed.
    fn acknowledge(&self) -> Result<Vec<Box<dyn Acknowledge>>> {
        let mut all: Vec<Box<dyn Acknowledge>> = Vec::new();
        if let Some(from) = &self.receipts {
            all.push(Box::new(Receipts::new(from)?));
        }
        Ok(all)
    }

    fn check(&self) -> Result<()> {
        match is_host(&self.host) {
            true => Ok(()),
            false => {
                let name = self.host.clone();
                Err(archive::Error::NotAHost { name }.into())
            }
        }
    }
}

/// Which of the segments in question does everybody have who must have them?
fn acknowledged(
    by: &mut [Box<dyn Acknowledge>],
    facts: &Facts,
    rules: &Rules,
    mut fault: impl FnMut(Warning),
) -> Result<BTreeSet<Sha256>> {
    let mut asked = in_question(facts, rules);
    for one in by {
        asked = one.of(&asked, &mut fault)?;
    }
    Ok(asked.into_iter().collect())
}

/// What is known of the store. That it cannot be looked at is no reason not to archive.
fn copies(copier: &mut Option<Copier>, facts: &Facts, fault: impl FnOnce(Error)) -> facts::Copies {
    let Some(copier) = copier else {
        return facts::Copies::default();
    };
    let others = facts.others.iter().map(|log| log.log_id.as_str());
    copier
        .look(others.chain([facts.log_id.as_str()]))
        .unwrap_or_else(|error| {
            fault(error);
            facts::Copies {
                failed: true,
                ..facts::Copies::default()
            }
        })
}

/// What [`Archiver::pass`] would do if all went well, in words. Nothing is changed. `fault` gets what
/// somebody has to look at.
///
/// # Errors
///
/// Kernel or archive cannot be read.
pub fn dry_run(
    live: &impl Live,
    options: &Options,
    mut fault: impl FnMut(Warning),
) -> Result<Vec<String>> {
    options.check()?;
    let (rules, mut by) = (options.rules(), options.acknowledge()?);
    let name = LogName {
        host: options.host.clone(),
        log_id: live.status()?.log_id().to_owned(),
    };
    // what is not there yet is empty
    let host = match Directory::named(&options.dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Error::io("read", &options.dir, error)),
        Ok(all) => match all.below(&name.host) {
            Err(error) if error.is_absent() => None,
            host => Some(host?),
        },
    };
    let log = match host.as_ref().map(|host| host.below(&name.log_id)) {
        Some(Err(error)) if error.is_absent() => None,
        log => log.transpose()?,
    };
    let holdings = match log {
        None => Holdings::default(),
        Some(log) => {
            let index = Index::read(&log)?;
            let fault = |error| fault(Warning::Unusable(error));
            observe::holdings(&Log::new(log, name.clone()), &index, fault)?
        }
    };
    let mut claims = Claims::new(byte_order());
    let host = host.as_ref();
    let mut facts = observe::facts(live, &mut claims, &rules, host, &name, holdings)?;
    facts.acknowledged = acknowledged(&mut by, &facts, &rules, &mut fault)?;
    let mut copier = options.copier();
    facts.copies = copies(&mut copier, &facts, |error| fault(Warning::NoStore(error)));
    let plan = foresee(facts, &rules);
    plan.alarms.into_iter().map(Warning::Alarm).for_each(fault);
    Ok(plan.steps.iter().map(ToString::to_string).collect())
}

/// The archiver of a host. While it exists no other can.
pub struct Archiver<L> {
    live: L,
    order: ByteOrder,
    name: String,
    rules: Rules,
    acknowledge: Vec<Box<dyn Acknowledge>>,
    copier: Option<Copier>,
    host: Folder,
    /// The log that was worked on last, and what was known of it then.
    log: Option<(Place, Holdings)>,
    claims: Claims,
    /// Who quotes each checkpoint.
    signer: Option<Box<dyn Signer>>,
    /// The last checkpoint that was quoted, or could not be.
    quoted: Option<Digest>,
    /// Did the kernel demand a signature to free anything? It does so until the next boot.
    unsigned: bool,
    pub(super) notices: Notices,
}

impl<L: Live> Archiver<L> {
    /// Opens the archive, which is made if there is none. `say` gets each event.
    ///
    /// # Errors
    ///
    /// [`archive::Error::Locked`] if another archiver works on this host; or it is no place for an
    /// archive.
    pub fn new(live: L, options: Options, say: Box<dyn FnMut(&Notice)>) -> Result<Self> {
        options.check()?;
        let acknowledge = options.acknowledge()?;
        let host = Folder::open(&options.dir, options.access)?.folder(&options.host)?;
        lock(&host)?;
        let order = byte_order();
        Ok(Self {
            live,
            order,
            rules: options.rules(),
            copier: options.copier(),
            name: options.host,
            acknowledge,
            host,
            log: None,
            claims: Claims::new(order),
            signer: None,
            quoted: None,
            unsigned: false,
            notices: Notices::new(say),
        })
    }

    /// From now on, each pass has the newest checkpoint quoted first, whoever made it.
    pub fn quote_with(&mut self, signer: Box<dyn Signer>) {
        self.signer = Some(signer);
    }

    /// Appends a quote over the newest checkpoint, if it has none by this key. That it fails is no
    /// reason not to archive; the next checkpoint is tried again.
    fn quote(&mut self) -> Result<()> {
        let (Some(signer), Some(active)) = (&self.signer, self.live.segments()?.pop()) else {
            return Ok(());
        };
        if active.seq == 0 || self.quoted == Some(active.digest) {
            return Ok(());
        }
        // by an archiver that ran before
        let known = self.quoted.is_none();
        if known && is_quoted(&self.live, &active, signer.name(), self.order)? {
            self.quoted = Some(active.digest);
            return Ok(());
        }
        let (seq, digest) = (active.seq, active.digest);
        match quoted(&self.live, signer.as_ref(), &Created { seq, digest }) {
            Ok(Some(_)) => self.notices.event(format!("quoted checkpoint {seq}")),
            // there is a newer one, which the next pass finds
            Ok(None) => return Ok(()),
            Err(fault) if fault.is_freed() => return Ok(()),
            Err(fault) => self.notices.warn(Warning::NotQuoted { seq, fault }),
        }
        self.quoted = Some(digest);
        Ok(())
    }

    /// What the archiver reads from.
    pub fn live(&self) -> &L {
        &self.live
    }

    /// Archives all that is sealed and not in the archive, then frees in the kernel and removes
    /// from the archive as the options say.
    ///
    /// # Errors
    ///
    /// The segment at which it failed is not in the archive, and nothing was freed since.
    pub fn pass(&mut self) -> Result<Wait> {
        self.quote()?;
        // after a failure, what the directory holds is looked up anew
        let (mut place, holdings) = self.open()?;
        let mut facts = self.observe(&place, holdings)?;
        let mut alarmed = false;
        loop {
            let (by, notices) = (&mut self.acknowledge, &mut self.notices);
            let fault = |warning| notices.warn(warning);
            facts.acknowledged = acknowledged(by, &facts, &self.rules, fault)?;
            let plan = plan(&facts, &self.rules);
            for alarm in plan.alarms.into_iter().filter(|_| !alarmed) {
                self.notices.warn(Warning::Alarm(alarm));
            }
            alarmed = true;
            if plan.steps.is_empty() {
                self.log = Some((place, facts.archive));
                return Ok(plan.wait);
            }
            for step in &plan.steps {
                let outcome = self.executor(&mut place).execute(step, &facts)?;
                facts.learn(step, &outcome);
                self.unsigned |= facts.unsigned;
                if facts.overtaken {
                    break;
                }
            }
        }
    }

    /// Keeps what is not sealed, as a tail.
    ///
    /// # Errors
    ///
    /// It is not in the archive; the kernel still has it.
    pub fn keep_tail(&mut self) -> Result<()> {
        let (mut place, holdings) = self.open()?;
        let mut facts = self.observe(&place, holdings)?;
        while let Some(step) = plan_tail(&facts).filter(|_| !facts.overtaken) {
            let outcome = self.executor(&mut place).execute(&step, &facts)?;
            facts.learn(&step, &outcome);
        }
        let active = facts.kernel.last().map(|active| &active.segment);
        if let Some(active) = active.filter(|active| active.records > 0) {
            let records = HumanCount(active.records);
            let seq = active.seq;
            self.notices
                .event(format!("kept the tail: {records} records of segment {seq}"));
        }
        self.log = Some((place, facts.archive));
        Ok(())
    }

    fn executor<'a>(&'a mut self, place: &'a mut Place) -> Executor<'a, L> {
        Executor {
            live: &self.live,
            order: self.order,
            host: &self.host,
            place,
            claims: &mut self.claims,
            notices: &mut self.notices,
            copier: &mut self.copier,
            readers: self.rules.readers,
        }
    }

    /// Opens the kernel's log in the archive, clears up what an interrupted archiver left, and brings
    /// the index up to date.
    fn open(&mut self) -> Result<(Place, Holdings)> {
        let log_id = self.live.status()?.log_id().to_owned();
        let known = self.log.take();
        if let Some(known) = known.filter(|(place, _)| place.name.log_id == log_id) {
            return Ok(known);
        }
        let folder = self.host.folder(&log_id)?;
        folder.remove_if_there(PARTIAL)?;
        let mut place = Place {
            name: LogName {
                host: self.name.clone(),
                log_id,
            },
            index: Index::read(folder.directory())?,
            folder,
        };
        let notices = &mut self.notices;
        let fault = |fault| notices.warn(Warning::Unusable(fault));
        let holdings = observe::holdings(&place.log(), &place.index, fault)?;
        let named = holdings.named();
        place
            .index
            .bring_up_to_date(&place.folder, named, now_ns())?;
        Ok((place, holdings))
    }

    fn observe(&mut self, place: &Place, archive: Holdings) -> Result<Facts> {
        let host = Some(self.host.directory());
        let (live, claims) = (&self.live, &mut self.claims);
        let mut facts = observe::facts(live, claims, &self.rules, host, &place.name, archive)?;
        let notices = &mut self.notices;
        let fault = |error| notices.warn(Warning::NoStore(error));
        facts.copies = copies(&mut self.copier, &facts, fault);
        facts.unsigned = self.unsigned;
        Ok(facts)
    }

    /// Seals the active segment if it holds anything new.
    ///
    /// # Errors
    ///
    /// No checkpoint was made.
    pub fn seal(&mut self, label: &str) -> Result<()> {
        let segments = self.live.segments()?;
        if let Some(active) = segments.last() {
            if has_news(&self.live, active.seq, self.order)? {
                self.live.checkpoint(label)?;
            }
        }
        Ok(())
    }

    /// Records that are not sealed.
    ///
    /// # Errors
    ///
    /// The kernel does not tell.
    pub fn unsealed(&self) -> Result<u64> {
        let segments = self.live.segments()?;
        Ok(segments.last().map_or(0, |active| active.records))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::fixture::{disk, host, Kernel};
    use ima_log::endorsement::Endorsers;
    use std::{cell::RefCell, path::Path, rc::Rc};

    fn options(disk: &Path) -> Options {
        Options {
            dir: disk.join("archive"),
            host: "web1".to_owned(),
            access: Access::default(),
            keep: Keep::default(),
            remove: Remove::default(),
            receipts: None,
            copy_to: None,
            require_copy: false,
            readers: Readers::Wait,
        }
    }

    #[test]
    fn what_it_does_not_start_with() {
        let disk = disk();
        let start = |options| {
            let kernel = Kernel::new(host("a", 1), &disk.path().join("first"));
            Archiver::new(kernel, options, Box::new(|_| ()))
        };
        let mut bad = options(disk.path());
        bad.host = "..".to_owned();
        assert!(start(bad).is_err());
        let mut bad = options(disk.path());
        bad.receipts = Some(ReceiptsFrom {
            folder: disk.path().join("none"),
            endorsers: Endorsers::new(),
        });
        assert!(start(bad).is_err());
        let first = start(options(disk.path())).unwrap();
        let second = start(options(disk.path())).err().unwrap();
        assert!(second.to_string().contains("another archiver"), "{second}");
        drop(first);
    }

    /// Each checkpoint gets one quote, whoever made it, and no archiver quotes it once more.
    #[test]
    fn it_quotes() {
        use crate::common::signer::Key;
        let disk = disk();
        let kernel = Kernel::new(host("a", 1), &disk.path().join("first"));
        let start = || {
            let options = options(disk.path());
            let mut archiver = Archiver::new(kernel.clone(), options, Box::new(|_| ())).unwrap();
            archiver.quote_with(Box::new(Key::new(1)));
            archiver
        };
        let quotes = || kernel.quotes.borrow().clone();
        let mut archiver = start();
        archiver.pass().unwrap();
        archiver.pass().unwrap();
        assert_eq!(quotes(), [1]);
        kernel.host.borrow_mut().file(b"/new", b"new");
        archiver.seal("now").unwrap();
        archiver.pass().unwrap();
        assert_eq!(quotes(), [1, 2]);
        // the quote is nothing new
        archiver.seal("nothing new").unwrap();
        assert_eq!(kernel.active(), 2);
        drop(archiver);
        start().pass().unwrap();
        assert_eq!(quotes(), [1, 2]);
        kernel.refuses_quotes.set(true);
        kernel.host.borrow_mut().checkpoint("").unwrap();
        let mut archiver = start();
        archiver.pass().unwrap();
        archiver.pass().unwrap();
        assert_eq!((quotes(), kernel.refused.get()), (vec![1, 2], 1));
    }

    /// A kernel that demands signatures is asked once. All else goes on.
    #[test]
    fn without_a_signature_it_frees_nothing_and_goes_on() {
        let disk = disk();
        let kernel = Kernel::new(host("a", 2), &disk.path().join("first"));
        kernel.demands_signature.set(true);
        let said: Rc<RefCell<Vec<String>>> = Rc::default();
        let heard = Rc::clone(&said);
        let say = move |notice: &Notice| {
            if let Notice::Warning(warning) = notice {
                heard.borrow_mut().push(warning.to_string());
            }
        };
        let mut options = options(disk.path());
        options.keep.segments = Some(0);
        let mut archiver = Archiver::new(kernel.clone(), options, Box::new(say)).unwrap();
        for sealed in 2..5 {
            assert_eq!(archiver.pass().unwrap(), Wait::default());
            let (_, holdings) = archiver.log.as_ref().unwrap();
            assert_eq!(holdings.segments.len(), sealed);
            kernel.host.borrow_mut().file(b"/new", &[sealed as u8]);
            archiver.seal("next").unwrap();
        }
        assert_eq!((kernel.truncations.get(), kernel.unsigned.get()), (0, 1));
        let said = said.take();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("nothing is freed") && said[0].contains("--signature"));
    }

    /// What the kernel seals while it runs is archived by the next pass, and nothing twice.
    #[test]
    fn it_goes_on() {
        let disk = disk();
        let kernel = Kernel::new(host("a", 1), &disk.path().join("first"));
        let mut archiver =
            Archiver::new(kernel.clone(), options(disk.path()), Box::new(|_| ())).unwrap();
        let held = |archiver: &Archiver<Kernel>| {
            let (_, holdings) = archiver.log.as_ref().unwrap();
            holdings.segments.len()
        };
        archiver.pass().unwrap();
        assert_eq!((held(&archiver), archiver.unsealed().unwrap()), (1, 4));
        archiver.seal("now").unwrap();
        archiver.seal("nothing new").unwrap();
        assert_eq!(kernel.active(), 2);
        archiver.pass().unwrap();
        assert_eq!((held(&archiver), archiver.unsealed().unwrap()), (2, 1));
    }
}
