// SPDX-License-Identifier: GPL-2.0

//! An adversary against the verifier: whatever is done to a list, nothing false is called verified.
//!
//! A machine is simulated, with a TPM that remembers all that it was extended with. An adversary
//! edits the list that the machine would send, and as root extends the TPM. What the verifier says
//! is compared with what really happened. Nothing but `judge` uses the code that is tested; the
//! quotes of the TPM are made of the types of the library, and signed by OpenSSL.
//!
//! | variable | |
//! |---|---|
//! | `ADVERSARY_CASES` | how many cases; 10000 |
//! | `ADVERSARY_SEED` | of the first one; 0 |
//! | `ADVERSARY_CASE` | runs only the case of this seed, and shows it |
//! | `ADVERSARY_COUNT` | goes on after a failure, and counts what fails by strategy |

mod bank;
mod claims;
mod edits;
mod host;
mod judge;
mod kernel;
mod property;
mod quotes;
mod record;
mod rng;
mod show;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../common/signer.rs"]
mod signer;
mod strategies;
mod tpm;
mod world;

use judge::{judge, Judged, Verified};
use property::{check, must_be_verified, Wrong};
use rng::Rng;
use std::{
    collections::BTreeMap,
    panic::catch_unwind,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        Mutex,
    },
    thread,
    time::Instant,
};
use strategies::{Case, Strategy};

/// A number in the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The seed of a case: far from those of its neighbours.
fn seed(first: u64, number: u64) -> u64 {
    Rng::new(first.wrapping_add(number)).next()
}

/// How often something failed, and where it was first.
#[derive(Debug)]
struct Failure {
    times: u64,
    /// The number of the first case, and its seed.
    number: u64,
    seed: u64,
}

type Failures = BTreeMap<(Strategy, Wrong), Failure>;

fn note(failures: &Mutex<Failures>, key: (Strategy, Wrong), number: u64, seed: u64) {
    let mut failures = failures.lock().expect("nobody panics with it");
    let failure = failures.entry(key).or_insert(Failure {
        times: 0,
        number,
        seed,
    });
    failure.times += 1;
    if number < failure.number {
        (failure.number, failure.seed) = (number, seed);
    }
}

/// Runs cases on all processors.
fn run(first: u64, cases: u64, count: bool) -> Failures {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let failures = Mutex::new(Failures::new());
    let work = || loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= cases || stop.load(Ordering::Relaxed) {
            break;
        }
        let seed = seed(first, number);
        let result = catch_unwind(|| {
            let case = Case::new(seed);
            check(&case, &judge(&case)).map_err(|wrong| (case.strategy, wrong))
        });
        match result {
            Ok(Ok(())) => (),
            Ok(Err(key)) => {
                note(&failures, key, number, seed);
                stop.fetch_or(!count, Ordering::Relaxed);
            }
            Err(panic) => {
                eprintln!("the case of ADVERSARY_CASE={seed} panics");
                std::panic::resume_unwind(panic);
            }
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    failures.into_inner().expect("nobody panics with it")
}

#[test]
fn nothing_false_is_verified() {
    if let Some(seed) = number("ADVERSARY_CASE") {
        let case = Case::new(seed);
        let judged = judge(&case);
        let result = check(&case, &judged);
        println!("{}", show::show(&case, &judged));
        assert_eq!(result, Ok(()));
        return;
    }
    let cases = number("ADVERSARY_CASES").unwrap_or(10_000);
    let count = number("ADVERSARY_COUNT").is_some();
    let started = Instant::now();
    let failures = run(number("ADVERSARY_SEED").unwrap_or(0), cases, count);
    let seconds = started.elapsed().as_secs_f64();
    println!("{cases} cases in {seconds:.1} s");
    for ((strategy, wrong), failure) in &failures {
        let Failure {
            times,
            number,
            seed,
        } = failure;
        println!(
            "{strategy:?}: {wrong:?} {times} times, first in case {number}: ADVERSARY_CASE={seed}"
        );
        let case = Case::new(*seed);
        if !count {
            println!("{}", show::show(&case, &judge(&case)));
        }
    }
    assert!(failures.is_empty(), "the verifier was fooled");
}

/// A verifier that believes everything must be objected to, or this test proves nothing.
#[test]
fn the_credulous_are_objected_to() {
    let mut fooled: BTreeMap<Strategy, BTreeMap<Wrong, u32>> = BTreeMap::new();
    let mut verified = 0;
    for number in 0..2000 {
        let case = Case::new(seed(0, number));
        verified += u32::from(must_be_verified(&case));
        if let Err(wrong) = check(&case, &credulous(&case)) {
            let kinds = fooled.entry(case.strategy).or_default();
            *kinds.entry(wrong).or_default() += 1;
        }
    }
    println!("{verified} must be verified; {fooled:#?}");
    assert!(verified > 50, "{verified}");
    let adversaries = Strategy::ALL.into_iter();
    for strategy in adversaries.filter(|one| *one != Strategy::Honest) {
        assert!(fooled.contains_key(&strategy), "{strategy:?}");
    }
    let all = [
        Wrong::Weak,
        Wrong::Unproven,
        Wrong::Digests,
        Wrong::HiddenCheckpoint,
        Wrong::SealedRecord,
        Wrong::Ambiguous,
        Wrong::Unmentioned,
    ];
    for wrong in all {
        let found = fooled.values().any(|kinds| kinds.contains_key(&wrong));
        assert!(found, "{wrong:?}");
    }
}

/// The verdict of somebody who looks only whether the list replays to what the PCRs held, and at
/// nothing else.
fn credulous(case: &Case) -> Judged {
    let verifier = &case.verifier;
    let mut judged = Judged::default();
    let anchors = verifier.anchors.iter();
    for ((pcr, bank), anchor) in anchors.filter(|((_, bank), _)| !bank.is_weak()) {
        let mut value = match verifier.base.get(&(*pcr, *bank)) {
            Some(base) => base.clone(),
            None => bank.zeros(),
        };
        let records = case.list.records.iter().enumerate();
        let records = records.filter(|(_, record)| record.pcr == *pcr);
        for (at, record) in records {
            judged.mentioned.insert(*pcr);
            value = bank.extend(&value, &case.host.kernel.extended(record, *bank));
            if value == *anchor || case.strategy.is_root() {
                judged.verified.push(Verified {
                    pcr: *pcr,
                    bank: *bank,
                    first: 0,
                    end: at + 1,
                    accepted: false,
                });
            }
        }
    }
    judged
}
