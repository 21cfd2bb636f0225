// SPDX-License-Identifier: GPL-2.0

//! `archive-host DIR RECORDS [SEGMENT [URL]]` archives so many records of a host that keeps its list in
//! memory, in segments of 100,000 or as many as are given, and prints the bytes of the list and the
//! seconds that it took. With a URL the segments are copied into that store, and freed when they have a
//! copy there.

#[path = "../../ima-log/tests/common/mod.rs"]
mod common;

#[path = "../tests/memory/mod.rs"]
mod memory;

use ima_checkpoint::{
    archive::{
        archiver::{Archiver, Options},
        durable::Access,
        notice::Notice,
        rules::{Keep, Remove},
    },
    open_files::Readers,
    remote::StoreUrl,
};
use memory::Memory;
use std::{cell::Cell, env, rc::Rc, time::Instant};

const SEGMENT: usize = 100_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (dir, records, rest) = match arguments.as_slice() {
        [dir, records, rest @ ..] if rest.len() <= 2 => (dir, records, rest),
        _ => return Err("usage: archive-host DIR RECORDS [SEGMENT [URL]]".into()),
    };
    let segment = rest.first().map_or(Ok(SEGMENT), |text| text.parse())?;
    let url = rest.get(1).map(|text| StoreUrl::parse(text)).transpose()?;
    let memory = Memory::new(records.parse()?, segment)?;
    let bytes = memory.bytes();
    let options = Options {
        dir: dir.into(),
        host: "host".to_owned(),
        access: Access::default(),
        keep: Keep {
            segments: url.is_some().then_some(0),
            ..Keep::default()
        },
        remove: Remove::default(),
        receipts: None,
        require_copy: url.is_some(),
        copy_to: url,
        readers: Readers::default(),
    };
    let warned = Rc::new(Cell::new(false));
    let seen = Rc::clone(&warned);
    let say = move |notice: &Notice| {
        if let Notice::Warning(warning) = notice {
            eprintln!("{warning}");
            seen.set(true);
        }
    };
    let start = Instant::now();
    let mut archiver = Archiver::new(memory, options, Box::new(say))?;
    archiver.pass()?;
    println!("{bytes} {}", start.elapsed().as_secs_f64());
    match warned.get() {
        false => Ok(()),
        true => Err("archiving ended with a warning".into()),
    }
}
