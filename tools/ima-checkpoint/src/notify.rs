// SPDX-License-Identifier: GPL-2.0

//! What systemd is told of a service: that it is ready (the protocol of sd_notify(3)), and how grave
//! a line in the journal is (sd-daemon(3)).

use crate::escape;
use rustix::fs::fstat;
use std::{
    env,
    fmt::Display,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// How grave a line is.
#[derive(Clone, Copy, Debug)]
pub enum Level {
    /// The program ends because of it.
    Error = 3,
    /// Somebody has to look at it.
    Warning = 4,
}

/// Writes a line to standard error. The journal knows by itself who wrote it. What could end the
/// line or move the cursor is escaped: the text may quote names and files.
pub fn complain(level: Level, text: impl Display) {
    let text = escape::line(&text.to_string());
    if env::var("JOURNAL_STREAM").is_ok_and(|stream| is_stderr(&stream)) {
        eprintln!("<{}>{text}", level as u8);
    } else {
        eprintln!("ima-checkpoint: {text}");
    }
}

/// The journal gives device and inode of its end. A program that the service starts may have
/// another standard error.
fn is_stderr(stream: &str) -> bool {
    fstat(io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Says so, if this is a service that systemd waits for. A service that cannot say it is stopped by
/// systemd after its start timeout; nothing better could be done here.
pub(crate) fn ready() {
    if let Some(socket) = env::var_os("NOTIFY_SOCKET") {
        let _ = send(socket.as_bytes(), b"READY=1");
    }
}

/// A name that starts with `@` is in the abstract namespace.
fn send(socket: &[u8], message: &[u8]) -> io::Result<()> {
    let address = match socket {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    UnixDatagram::unbound()?.send_to_addr(message, &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrives(socket: &[u8], listener: &UnixDatagram) {
        send(socket, b"READY=1").unwrap();
        let mut buffer = [0; 16];
        let length = listener.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
    }

    #[test]
    fn a_path_and_an_abstract_name_are_reached() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        arrives(
            path.as_os_str().as_bytes(),
            &UnixDatagram::bind(&path).unwrap(),
        );

        let name = format!("ima-checkpoint-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixDatagram::bind_addr(&address).unwrap();
        arrives(format!("@{name}").as_bytes(), &listener);
    }

    #[test]
    fn the_journal_is_known_by_its_numbers() {
        let stat = fstat(io::stderr()).unwrap();
        assert!(is_stderr(&format!("{}:{}", stat.st_dev, stat.st_ino)));
        assert!(!is_stderr(&format!("{}:{}", stat.st_dev, stat.st_ino + 1)));
    }

    #[test]
    fn nobody_there_is_an_error() {
        assert!(send(b"/nowhere/socket", b"READY=1").is_err());
    }
}
