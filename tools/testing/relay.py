# SPDX-License-Identifier: GPL-2.0
"""Connections of a guest to a server on this machine, through a serial port of the guest.

tools/testing/guest/relay.c is the other end, and says what is spoken.
"""

import os
import select
import socket
import threading

MOST = 1024


class Relay:
    """Two FIFOs, as run-guest --port wants them, and who serves them as long as this object is entered."""

    def __init__(self, path, port):
        self.path, self.target = str(path), ("127.0.0.1", port)
        self.connection = None
        self.sent_close = self.got_close = False

    def __enter__(self):
        for name in (".in", ".out"):
            os.mkfifo(self.path + name, 0o600)
        # opened for both, so that neither end has to wait for the other
        self.to_guest, self.from_guest = (os.open(self.path + name, os.O_RDWR) for name in (".in", ".out"))
        self.stop, self.stopped = os.pipe()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        os.close(self.stopped)
        self.thread.join(10)

    def frame(self, kind, data=b""):
        out = kind + len(data).to_bytes(2, "little") + data
        while out:
            out = out[os.write(self.to_guest, out):]

    def read(self, size):
        data = b""
        while len(data) < size:
            data += os.read(self.from_guest, size - len(data))
        return data

    def close(self):
        if not self.sent_close:
            self.frame(b"C")
        self.sent_close = True

    def open(self):
        self.sent_close = self.got_close = False
        try:
            self.connection = socket.create_connection(self.target)
        except OSError:
            self.connection = socket.socketpair()[0]  # whose other end is closed

    def heard(self):
        head = self.read(3)
        data = self.read(int.from_bytes(head[1:], "little"))
        if head[:1] == b"O":
            self.open()
        elif head[:1] == b"D" and self.connection:
            try:
                self.connection.sendall(data)
            except OSError:
                pass  # reading tells so, too
        elif head[:1] == b"C":
            self.got_close = True
            self.close()

    def told(self):
        try:
            data = self.connection.recv(MOST)
        except OSError:
            data = b""
        if data:
            self.frame(b"D", data)
        else:
            self.close()

    def serve(self):
        while True:
            waits = [self.stop, self.from_guest] + ([self.connection] if self.connection and not self.sent_close else [])
            ready, _, _ = select.select(waits, [], [])
            if self.stop in ready:
                break
            if self.from_guest in ready:
                self.heard()
            if self.connection in ready:
                self.told()
            if self.connection and self.sent_close and self.got_close:
                self.connection.close()
                self.connection = None
        for descriptor in (self.to_guest, self.from_guest, self.stop):
            os.close(descriptor)
