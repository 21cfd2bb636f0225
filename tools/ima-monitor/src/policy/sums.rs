// SPDX-License-Identifier: GPL-2.0

//! Lists as `sha256sum` writes them.

use super::{Compiler, Error};

pub(super) fn read(text: &[u8], compiler: &mut Compiler) -> Result<(), Error> {
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let wrong = || Error::Line(index + 1);
        let (digest, path) = parse(line).ok_or_else(wrong)?;
        compiler.file(&path, digest).map_err(|_| wrong())?;
    }
    Ok(())
}

/// A digest, a space, another one or an asterisk, and a name. A backslash in front says that there are
/// some in the name, too, before `n`, `r` and backslashes.
fn parse(line: &[u8]) -> Option<(&str, Vec<u8>)> {
    let (escaped, line) = match line.strip_prefix(b"\\") {
        Some(line) => (true, line),
        None => (false, line),
    };
    let (digest, rest) = line.split_at_checked(64)?;
    let path = rest.strip_prefix(b"  ").or(rest.strip_prefix(b" *"))?;
    let digest = std::str::from_utf8(digest).ok()?;
    let path = match escaped {
        true => unescape(path)?,
        false => path.to_owned(),
    };
    Some((digest, path)).filter(|(_, path)| !path.is_empty())
}

fn unescape(path: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b'\\' => b'\\',
                _ => return None,
            },
            byte => *byte,
        });
    }
    Some(out)
}
