# SPDX-License-Identifier: GPL-2.0
"""A host that has a kernel with checkpoints, as far as programs can tell: simulated, with a software TPM.

Its files in securityfs are a file system of this process, as
Documentation/ABI/testing/securityfs-ima-checkpoint specifies them. Its records are extended into a
TPM that is real to the programs. So the archiver and the agent can run on this machine, whatever
kernel it has. What the kernel itself does is tested in guests.
"""

import errno
import hashlib
import os
import secrets
import socket
import stat
import struct
import subprocess
import threading
import time
from dataclasses import dataclass, field

import attested
import imalog
import tap

try:
    import pyfuse3
    import trio
except ImportError:
    pyfuse3 = None

BEFORE_KEXEC = 2
# What runs so finds that its kernel started 1000 seconds earlier.
EARLIER = ["unshare", "--time", "--boottime", "1000"]
# TPM2_PCR_Extend of PCR 10 by nobody in particular (TPM 2.0 Library, Part 3)
EXTEND, SESSIONS, PASSWORD = 0x182, 0x8002, 0x40000009


class Wire:
    """A connection to the TPM, without a program for each command."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def extend(self, digests):
        body = struct.pack(">III", attested.PCR, 9, PASSWORD) + bytes(5) + struct.pack(">I", len(digests))
        for bank, digest in digests.items():
            body += struct.pack(">H", imalog.BANKS[bank]) + digest
        self.socket.sendall(struct.pack(">HII", SESSIONS, 10 + len(body), EXTEND) + body)
        answer = self.socket.recv(4096)
        if len(answer) < 10 or answer[6:10] != bytes(4):
            raise RuntimeError(f"TPM2_PCR_Extend: {answer.hex()}")


@dataclass
class Segment:
    """Records from one checkpoint to the next; `first` and `offset` count from cold boot."""

    seq: int
    first: int
    offset: int
    digest: bytes
    base: dict
    records: int = 0
    data: bytearray = field(default_factory=bytearray)


class Kernel(attested.Host):
    """A host with such a kernel; `ima` is where its files are."""

    def __init__(self, folder, binaries):
        if not pyfuse3:
            raise tap.Skip("no python3-pyfuse3; scripts/install-deps installs it")
        tried = subprocess.run([*EARLIER, "true"], capture_output=True, text=True, check=False)
        if tried.returncode:
            raise tap.Skip(f"a kernel that started earlier cannot be simulated: {tried.stderr.strip()}")
        super().__init__(folder, binaries)
        self.ima, self.archive = self.folder / "ima", self.folder / "archive"
        self.ima.mkdir()
        self.lock = threading.Lock()
        self.mounted = None

    def __enter__(self):
        super().__enter__()
        self.mounted = Mount(self)
        return self

    def __exit__(self, *_):
        if self.mounted:
            self.mounted.end()
        super().__exit__()

    # what the kernel does

    def boot(self):
        self.reset()
        # the kernel started earlier than that of this machine, and the next one after a kexec did not
        self.wrapper = EARLIER
        self.log_id = secrets.token_bytes(16)
        self.values = {bank: bytes(imalog.size_of(bank)) for bank in attested.BANKS}
        self.segments = [Segment(0, 0, 0, bytes(32), dict(self.values))]
        self.generation = self.freed = 0
        self.started = time.time_ns()
        self.measure("boot_aggregate", hashlib.sha256(bytes(32 * 10)).digest())

    def add(self, records):
        """Appends records, each with what is extended of it."""
        with Wire(self.port) as wire:
            for raw, extended in records:
                wire.extend(extended)
                for bank, value in self.values.items():
                    self.values[bank] = imalog.hashed(bank, value + extended[bank])
                self.segments[-1].data += raw
                self.segments[-1].records += 1

    def measure(self, name, digest, **how):
        with self.lock:
            self.add([attested.record(name, digest, **how)])

    def many(self, count, folder):
        """Measures so many files at once."""
        with self.lock:
            self.add(attested.record(f"{folder}/{number}", hashlib.sha256(b"%d" % number).digest()) for number in range(count))

    def seal(self, flags=0):
        """Makes a checkpoint. The lock is held."""
        sealed = self.segments[-1]
        seq, first, offset = sealed.seq + 1, sealed.first + sealed.records, sealed.offset + len(sealed.data)
        previous = sealed.digest
        data = struct.pack("<8sHHI16sQIIQQQQQQQ32s32s", b"IMA-CKPT", 1, 168, flags, self.log_id, seq, self.generation, attested.PCR,
                           first, offset, 0, time.time_ns(), time.time_ns() - self.started, sealed.records, len(sealed.data),
                           hashlib.sha256(sealed.data).digest(), previous)
        for bank, value in self.values.items():
            data += struct.pack("<HHBBH", imalog.VALUE, 4 + len(value), attested.PCR, imalog.MATCH, imalog.BANKS[bank]) + value
        digest = hashlib.sha256(data).digest()
        self.segments.append(Segment(seq, first, offset, digest, dict(self.values)))
        self.add([attested.record(imalog.CHECKPOINT_NAME[:-1].decode(), digest, buffer=data)])
        return f"seq={seq} digest={digest.hex()}\n".encode()

    def truncate(self, seq, digest):
        """Frees what precedes a checkpoint. The lock is held."""
        at = next((number for number, segment in enumerate(self.segments) if segment.seq == seq), None)
        if at is None or self.segments[at].digest != digest:
            raise OSError(errno.ESTALE, "no such checkpoint")
        if at == 0:
            return
        freed = self.segments[:at]
        records, size = sum(segment.records for segment in freed), sum(len(segment.data) for segment in freed)
        data = struct.pack("<8sHHI16sQ32sQQ", b"IMA-TRUN", 1, 1, 88, self.log_id, seq, digest, records, size)
        self.add([attested.record(imalog.TRUNCATE_NAME[:-1].decode(), hashlib.sha256(data).digest(), buffer=data)])
        self.segments = self.segments[at:]
        self.freed += records

    def kexec(self):
        """The next kernel goes on with the list. It started later."""
        with self.lock:
            self.seal(BEFORE_KEXEC)
            self.generation += 1
            self.started = time.time_ns()
            self.wrapper = []
        self.measure("boot_aggregate", hashlib.sha256(bytes(32 * 10)).digest())

    @property
    def records(self):
        """How many since cold boot."""
        return self.segments[-1].first + self.segments[-1].records

    @property
    def live(self):
        return self.records - self.segments[0].first

    # what its files show

    def status(self):
        first = self.segments[0]
        size = sum(len(segment.data) for segment in self.segments)
        return (f"log_id={self.log_id.hex()}\ngeneration={self.generation}\ntpm=1\n"
                f"records_total={self.records}\nbytes_total={first.offset + size}\n"
                f"records_live={self.live}\nbytes_live={size}\n"
                f"records_freed={first.first}\nbytes_freed={first.offset}\nsegments_live={len(self.segments)}\n"
                f"checkpoints={self.segments[-1].seq}\nviolations=0\nsuspended=0\nlast_error=none\n").encode()

    def table(self):
        return "".join(
            f"seq={segment.seq} state={'active' if segment is self.segments[-1] else 'sealed'} first={segment.first} "
            f"records={segment.records} bytes={len(segment.data)} digest={segment.digest.hex()} broken=0 "
            + " ".join(f"base_{bank}={value.hex()}" for bank, value in segment.base.items()) + "\n"
            for segment in self.segments).encode()

    # what runs on it

    def tool(self, *words):
        """What ima-checkpoint says."""
        done = subprocess.run([self.binaries / "ima-checkpoint", *words, "--ima", self.ima], capture_output=True, text=True, check=False,
                              timeout=120)
        if done.returncode:
            raise RuntimeError(f"ima-checkpoint {' '.join(map(str, words))}: {done.stderr}")
        return done.stdout

    def archive_sealed(self):
        """Makes a checkpoint, archives what precedes it, and frees that in the kernel."""
        with self.lock:
            self.seal()
        self.archive.mkdir(mode=0o700, exist_ok=True)
        return self.tool("archive", "--archive", self.archive, "--host", "simulated", "--keep-segments", "0")


class Mount:
    """The files, as long as it is not ended."""

    def __init__(self, kernel):
        self.folder = kernel.ima
        ready = threading.Event()
        self.thread = threading.Thread(target=self.serve, args=(kernel, ready), daemon=True)
        self.failed = None
        self.thread.start()
        ready.wait(30)
        if self.failed:
            raise tap.Skip(f"cannot mount a file system: {self.failed}")

    def serve(self, kernel, ready):
        try:
            pyfuse3.init(Files(kernel), str(self.folder), {*pyfuse3.default_options, "fsname=simulated"})
        except RuntimeError as error:
            self.failed = error
            return
        finally:
            ready.set()
        trio.run(pyfuse3.main)
        pyfuse3.close(unmount=False)

    def end(self):
        subprocess.run(["fusermount3", "-u", "-z", self.folder], check=False)
        self.thread.join(10)


class Files(pyfuse3.Operations if pyfuse3 else object):
    """The directory `checkpoint`, with what programs use of it."""

    ROOT, FOLDER = 1, 2
    NAMES = {b"status": (3, 0o440), b"segments": (4, 0o440), b"create": (5, 0o600), b"export": (6, 0o600), b"truncate": (7, 0o200)}

    def __init__(self, kernel):
        super().__init__()
        self.kernel = kernel
        self.open_files = {}  # handle -> (name, answer or segment)
        self.handles = 0

    async def getattr(self, inode, ctx=None):
        entry = pyfuse3.EntryAttributes()
        modes = dict(self.NAMES.values())
        entry.st_mode = stat.S_IFREG | modes[inode] if inode in modes else stat.S_IFDIR | 0o755
        entry.st_ino = inode
        return entry

    async def lookup(self, parent_inode, name, ctx=None):
        if parent_inode == self.ROOT and name == b"checkpoint":
            return await self.getattr(self.FOLDER)
        if parent_inode == self.FOLDER and name in self.NAMES:
            return await self.getattr(self.NAMES[name][0])
        raise pyfuse3.FUSEError(errno.ENOENT)

    async def access(self, inode, mode, ctx):
        return True

    async def open(self, inode, flags, ctx):
        name = next((name for name, (number, _) in self.NAMES.items() if number == inode), None)
        if not name:
            raise pyfuse3.FUSEError(errno.EISDIR)
        self.handles += 1
        self.open_files[self.handles] = (name, None)
        return pyfuse3.FileInfo(fh=self.handles, direct_io=True)

    async def release(self, fh):
        self.open_files.pop(fh, None)

    async def read(self, fh, off, size):
        name, answer = self.open_files[fh]
        with self.kernel.lock:
            if name in (b"status", b"segments") and off == 0:
                answer = self.kernel.status() if name == b"status" else self.kernel.table()
                self.open_files[fh] = (name, answer)
            if answer is None:
                raise pyfuse3.FUSEError(errno.EINVAL)
            data = answer.data if isinstance(answer, Segment) else answer
            return bytes(data[off:off + size])

    async def write(self, fh, off, buf):
        name, _ = self.open_files[fh]
        words = buf.decode().split()
        with self.kernel.lock:
            try:
                if name == b"create":
                    self.open_files[fh] = (name, self.kernel.seal())
                elif name == b"truncate":
                    self.kernel.truncate(int(words[0]), bytes.fromhex(words[1]))
                elif name == b"export" and words[1:] == ["binary", "sha1"]:
                    self.open_files[fh] = (name, self.segment(int(words[0])))
                else:
                    raise OSError(errno.EINVAL, "not simulated")
            except OSError as error:
                raise pyfuse3.FUSEError(error.errno) from None
        return len(buf)

    def segment(self, seq):
        """It stays, even if it is freed."""
        for segment in self.kernel.segments:
            if segment.seq == seq:
                return segment
        raise OSError(errno.ESTALE if seq < self.kernel.segments[0].seq else errno.ENOENT, "no such segment")
