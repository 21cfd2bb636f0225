// SPDX-License-Identifier: GPL-2.0

//! Pipes that can be read more than once: what came through them is kept in a file without a name.

use std::{
    env,
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

/// Where files are made that may be large, unless the variable `TMPDIR` names another place. In
/// `/tmp` they would take memory on many hosts.
const LARGE: &str = "/var/tmp";

/// The pipes among the inputs of a command.
#[derive(Default)]
pub struct Pipes {
    keeps: bool,
    // in the order in which they were opened
    pipes: Mutex<Vec<(usize, Arc<Mutex<Pipe>>)>>,
}

impl Pipes {
    /// Pipes of which nothing is kept.
    pub fn read_once() -> Self {
        Self::default()
    }

    /// Pipes that can be read again, if there is room on the disk for what comes through them.
    pub fn kept() -> Self {
        Self {
            keeps: true,
            ..Self::default()
        }
    }

    /// Is there one among those that were opened that cannot be read again?
    pub fn is_lost(&self) -> bool {
        let pipes = lock(&self.pipes);
        pipes.iter().any(|(_, pipe)| lock(pipe).kept.is_none())
    }

    /// The bytes of the input with this number, from the first one on. It is opened the first time.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub(super) fn open<E>(
        &self,
        number: usize,
        open: impl FnOnce() -> Result<Box<dyn Read + Send>, E>,
    ) -> Result<Reader, E> {
        let mut pipes = lock(&self.pipes);
        let known = pipes.iter().find(|(known, _)| *known == number);
        let pipe = match known {
            Some((_, pipe)) => pipe.clone(),
            None => {
                let kept = self.keeps.then(nameless).and_then(Result::ok);
                let source = open()?;
                let pipe = Arc::new(Mutex::new(Pipe {
                    source,
                    kept,
                    length: 0,
                }));
                pipes.push((number, pipe.clone()));
                pipe
            }
        };
        Ok(Reader { pipe, at: 0 })
    }
}

/// A file that is gone when it is closed.
fn nameless() -> io::Result<File> {
    let large = env::var_os("TMPDIR").map_or(LARGE.into(), PathBuf::from);
    tempfile::tempfile_in(large).or_else(|_| tempfile::tempfile())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

struct Pipe {
    source: Box<dyn Read + Send>,
    /// What came so far; nothing if it is not kept, or could not be.
    kept: Option<File>,
    /// Bytes that came so far.
    length: u64,
}

impl Pipe {
    fn read_at(&mut self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        if at < self.length {
            let lost = || io::Error::other("what came through the pipe could not be kept");
            let kept = self.kept.as_ref().ok_or_else(lost)?;
            let left = usize::try_from(self.length - at).unwrap_or(usize::MAX);
            let room = out.len().min(left);
            return kept.read_at(out.get_mut(..room).unwrap_or_default(), at);
        }
        let read = self.source.read(out)?;
        let came = out.get(..read).unwrap_or_default();
        // a full disk is no reason not to read the list this time
        if self
            .kept
            .as_mut()
            .is_some_and(|kept| kept.write_all(came).is_err())
        {
            self.kept = None;
        }
        self.length += read as u64;
        Ok(read)
    }
}

/// Reads a pipe from its first byte on.
pub(super) struct Reader {
    pipe: Arc<Mutex<Pipe>>,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = lock(&self.pipe).read_at(self.at, out)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;

    fn opened(pipes: &Pipes, number: usize, text: &'static str) -> Reader {
        let open = || Ok::<Box<dyn Read + Send>, io::Error>(Box::new(text.as_bytes()));
        pipes.open(number, open).expect("it opens")
    }

    fn all(mut reader: Reader) -> io::Result<String> {
        let mut text = String::new();
        reader.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn each_pipe_from_its_start() -> io::Result<()> {
        let pipes = Pipes::kept();
        // the first one is given up in its middle
        let mut some = [0; 3];
        opened(&pipes, 0, "first").read_exact(&mut some)?;
        assert_eq!(all(opened(&pipes, 1, "second"))?, "second");
        for (number, text) in [(0, "first"), (1, "second"), (0, "first")] {
            assert_eq!(all(opened(&pipes, number, "opened again"))?, text);
        }
        assert!(!pipes.is_lost());
        Ok(())
    }

    #[test]
    fn what_is_not_kept_can_be_read_once() -> io::Result<()> {
        let pipes = Pipes::read_once();
        assert_eq!(all(opened(&pipes, 0, "text"))?, "text");
        assert!(pipes.is_lost());
        assert!(all(opened(&pipes, 0, "")).is_err());
        Ok(())
    }

    #[test]
    fn a_full_disk() -> io::Result<()> {
        let pipes = Pipes::kept();
        let mut reader = opened(&pipes, 0, "a text");
        lock(&reader.pipe).kept = Some(OpenOptions::new().write(true).open("/dev/full")?);
        let mut text = String::new();
        reader.read_to_string(&mut text)?;
        assert_eq!(text, "a text");
        assert!(pipes.is_lost());
        Ok(())
    }
}
