// SPDX-License-Identifier: GPL-2.0

//! The lines of a text, in bounded memory, with a look at those that follow.

use super::{Error, Failed, Problem, MAX_LINE};
use memchr::memchr;
use std::io::{self, Read};

/// Bytes after a line that are looked at: more than the longest name with newlines in it has, and what
/// follows it in the record.
const AHEAD: usize = 16 << 10;

/// Bytes that are read at once, at least.
const CHUNK: usize = 64 << 10;

/// Reads lines. It holds one buffer, which grows to the longest line.
#[derive(Debug)]
pub(super) struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    // INVARIANT: at most `buffer.len()`; the bytes before it were taken.
    start: usize,
    /// Lines before `start`.
    before: u64,
    ended: bool,
    failed: Option<io::Error>,
}

/// A line, and what follows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Front<'t> {
    /// Which one it is, counted from 1.
    pub(super) number: u64,
    /// The line, without its newline.
    pub(super) line: &'t [u8],
    ahead: &'t [u8],
    /// Does the text end after `ahead`?
    whole: bool,
}

impl<'t> Front<'t> {
    /// The lines that follow and are whole, as far as they were read.
    pub(super) fn following(self) -> impl Iterator<Item = &'t [u8]> {
        let mut rest = Some(self.ahead).filter(|ahead| !ahead.is_empty());
        std::iter::from_fn(move || {
            let ahead = rest.take()?;
            match memchr(b'\n', ahead) {
                Some(end) => {
                    let after = ahead.get(end + 1..);
                    rest = after.filter(|after| !after.is_empty());
                    ahead.get(..end)
                }
                None => Some(ahead).filter(|_| self.whole),
            }
        })
    }
}

impl<R: Read> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            start: 0,
            before: 0,
            ended: false,
            failed: None,
        }
    }

    /// The next line that is not blank; nothing at the end of the text.
    pub(super) fn front(&mut self) -> Result<Option<Front<'_>>, Failed> {
        loop {
            let length = self.length()?;
            let rest = self.rest();
            if length == rest.len() {
                // the lines before an error were given, and this one is not whole
                if let Some(error) = self.failed.take() {
                    return Err(Failed::Io(error));
                }
                if length == 0 {
                    return Ok(None);
                }
            }
            let line = self.rest().get(..length).unwrap_or_default();
            if !line.trim_ascii().is_empty() {
                self.read_to(length + 1 + AHEAD);
                let rest = self.rest();
                let ahead = rest.get(length + 1..).unwrap_or_default();
                return Ok(Some(Front {
                    number: self.before + 1,
                    line: rest.get(..length).unwrap_or_default(),
                    ahead: ahead.get(..AHEAD).unwrap_or(ahead),
                    whole: self.ended && self.failed.is_none() && ahead.len() <= AHEAD,
                }));
            }
            self.skip(1);
        }
    }

    /// Takes so many lines, which were looked at.
    pub(super) fn skip(&mut self, lines: usize) {
        for _ in 0..lines {
            let rest = self.rest();
            let length = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            self.start += length;
            self.before += 1;
        }
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Bytes of the line at the front, without its newline.
    fn length(&mut self) -> Result<usize, Failed> {
        let mut seen = 0;
        loop {
            let rest = self.rest();
            let length = rest.len();
            let newline = memchr(b'\n', rest.get(seen..).unwrap_or_default());
            let end = newline.map_or(length, |newline| seen + newline);
            if end > MAX_LINE {
                return Err(Failed::Text(Error {
                    line: self.before + 1,
                    problem: Problem::TooLong,
                }));
            }
            if newline.is_some() || self.ended {
                return Ok(end);
            }
            seen = length;
            // twice as much each time, so that a long line is not copied often
            self.read_to((length + length.max(CHUNK)).min(MAX_LINE + 1));
        }
    }

    /// Reads until there are so many bytes, or the source ends.
    fn read_to(&mut self, wanted: usize) {
        if self.rest().len() >= wanted || self.ended {
            return;
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let more = (wanted - self.buffer.len()).max(CHUNK);
        let read = self.source.by_ref().take(more as u64);
        match { read }.read_to_end(&mut self.buffer) {
            Ok(read) => self.ended = read < more,
            Err(error) => {
                self.failed = Some(error);
                self.ended = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(source: impl Read) -> Vec<(u64, Vec<u8>)> {
        let mut lines = Lines::new(source);
        let mut seen = Vec::new();
        while let Ok(Some(front)) = lines.front() {
            seen.push((front.number, front.line.to_vec()));
            lines.skip(1);
        }
        seen
    }

    #[test]
    fn blank_lines_are_counted_and_not_given() {
        let text = b"\n \na\n\t\r\nb\r\n\nc";
        let wanted = [(3, "a"), (5, "b\r"), (7, "c")];
        let wanted = wanted.map(|(number, line)| (number, line.as_bytes().to_vec()));
        assert_eq!(all(&text[..]), wanted);
        assert_eq!(all(&b""[..]), []);
        assert_eq!(all(&b"\n\n"[..]), []);
    }

    #[test]
    fn lines_longer_than_what_is_read_at_once() {
        let long = vec![b'x'; 5 * CHUNK + 1];
        let text = [&long[..], b"\n", &long, b"\n"].concat();
        let wanted = [(1, long.clone()), (2, long)];
        assert_eq!(all(&text[..]), wanted);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut lines = Lines::new(io::repeat(b'x'));
        let refused = lines.front().err();
        let problem = Problem::TooLong;
        assert!(
            matches!(refused, Some(Failed::Text(error)) if error == Error { line: 1, problem })
        );
        assert!(lines.buffer.len() <= MAX_LINE + 2 * CHUNK);
    }

    /// Gives some bytes, and then an error.
    struct Broken<'a>(&'a [u8]);

    impl Read for Broken<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            match self.0.read(out)? {
                0 => Err(io::ErrorKind::InvalidData.into()),
                read => Ok(read),
            }
        }
    }

    #[test]
    fn an_error_comes_behind_whole_lines() {
        for (text, wanted) in [("a\nb\nc", 2), ("a\nb\n", 2), ("a", 0), ("", 0)] {
            let mut lines = Lines::new(Broken(text.as_bytes()));
            let mut seen = 0;
            let failed = loop {
                match lines.front() {
                    Ok(Some(_)) => seen += 1,
                    Ok(None) => panic!("the error is lost"),
                    Err(failed) => break failed,
                }
                lines.skip(1);
            };
            assert!(
                matches!(failed, Failed::Io(error) if error.kind() == io::ErrorKind::InvalidData)
            );
            assert_eq!(seen, wanted, "{text:?}");
        }
    }

    #[test]
    fn what_follows() {
        let mut lines = Lines::new(&b"a\nb\n\nc"[..]);
        let following = |front: Front<'_>| front.following().map(<[u8]>::to_vec).collect();
        let seen: Vec<Vec<u8>> = lines
            .front()
            .ok()
            .flatten()
            .map(following)
            .unwrap_or_default();
        assert_eq!(seen, [b"b".to_vec(), b"".to_vec(), b"c".to_vec()]);
        // a line whose end was not read yet is not given
        let text = [b"a\n".to_vec(), vec![b'x'; AHEAD]].concat();
        let mut lines = Lines::new(text.chain(io::repeat(b'x')));
        let seen: Vec<Vec<u8>> = lines
            .front()
            .ok()
            .flatten()
            .map(following)
            .unwrap_or_default();
        assert!(seen.is_empty());
    }
}
