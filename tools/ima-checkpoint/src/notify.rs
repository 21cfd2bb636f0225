// SPDX-License-Identifier: GPL-2.0

//! Tells systemd that a service is ready (the protocol of sd_notify(3)).

use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{
                SocketAddr,
                UnixDatagram, //
            },
        },
    },
};

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
    fn nobody_there_is_an_error() {
        assert!(send(b"/nowhere/socket", b"READY=1").is_err());
    }
}
