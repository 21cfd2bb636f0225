# SPDX-License-Identifier: GPL-2.0
"""Hosts that tests make up, with a software TPM: lists with checkpoints and quotes, and archives of them."""

import hashlib
import json
import struct
import subprocess

import imalog
import records
import tpm

PCR = records.DEFAULT_PCR
BANKS = ("sha1", "sha256")
HANDLE = "0x81010002"
HOUR = 3600 * 10**9
SKIPPABLE = 0x184D2A50


class Machine(tpm.Tpm):
    """A machine whose TPM keeps an attestation key, and can be reset."""

    def __enter__(self):
        super().__enter__()
        self.key("ak", "ecc", "ecdsa", "sha256")
        self.run("evictcontrol", "-C", "o", "-c", "ak.ctx", HANDLE)
        self.name = self.read("ak.name")
        return self

    def reset(self):
        self.run("shutdown", "-c")
        self.restart()

    def extend_all(self, digests):
        """Extends PCR 10 with the digests of each of many records."""
        for start in range(0, len(digests), 50):
            words = [f"{PCR}:" + ",".join(f"{bank}={value.hex()}" for bank, value in one.items())
                     for one in digests[start:start + 50]]
            self.run("pcrextend", *words)

    def sign(self, extra):
        """TPM2B_NAME, TPM2B_ATTEST and TPMT_SIGNATURE of a quote."""
        selection = "+".join(f"{bank}:{PCR}" for bank in BANKS)
        self.run("quote", "-c", HANDLE, "-l", selection, "-g", "sha256", "-q", extra.hex(), "-m", "q.msg", "-s", "q.sig")
        return b"".join(struct.pack(">H", len(part)) + part for part in (self.name, self.read("q.msg"))) + self.read("q.sig")


class Boot:
    """One boot of a machine: its list since the cold boot. Without a machine nothing can be quoted."""

    def __init__(self, machine, log_id, wall_ns):
        self.machine, self.log_id, self.wall_ns = machine, log_id, wall_ns
        self.raw = []
        self.offsets = [0]     # bytes before each record
        self.checkpoints = []  # (record, buffer)
        self.pending = []      # what the TPM was not extended with yet
        self.values = {bank: bytes(records.size_of(bank)) for bank in BANKS}
        self.shadow = dict(self.values)
        self.generation = self.violations = 0
        self.freed = 0
        self.start_ns = wall_ns
        if machine:
            machine.reset()
        self.file(b"boot_aggregate")

    def append(self, template, fields, violation=False):
        data = b"".join(struct.pack("<I", len(part)) + part for part in fields)
        digest = bytes(20) if violation else hashlib.sha1(data).digest()
        self.raw.append(struct.pack("<I", PCR) + digest + struct.pack("<I", len(template)) + template +
                        struct.pack("<I", len(data)) + data)
        self.offsets.append(self.offsets[-1] + len(self.raw[-1]))
        extended = {bank: b"\xff" * records.size_of(bank) if violation else hashlib.new(bank, data).digest() for bank in BANKS}
        for bank, value in extended.items():
            self.values[bank] = records.extend(bank, self.values[bank], value)
            self.shadow[bank] = records.extend(bank, self.shadow[bank], value)
        self.pending.append(extended)
        self.violations += violation

    def file(self, name, content=b""):
        self.append(b"ima-ng", [b"sha256:\0" + hashlib.sha256(name + content).digest(), name + b"\0"])

    def files(self, count, folder=b"/usr/bin"):
        for number in range(count):
            self.file(b"%s/program-%d-%d" % (folder, len(self.raw), number))

    def violation(self, name):
        self.append(b"ima-ng", [b"sha256:\0" + bytes(32), name + b"\0"], violation=True)

    def own(self, name, buffer):
        self.append(b"ima-buf", [b"sha256:\0" + hashlib.sha256(buffer).digest(), name, buffer])

    def foreign(self):
        """Something else than IMA extends the PCR."""
        extended = {bank: hashlib.new(bank, b"foreign").digest() for bank in BANKS}
        for bank, value in extended.items():
            self.values[bank] = records.extend(bank, self.values[bank], value)
        self.pending.append(extended)

    def kexec(self):
        self.generation += 1
        self.file(b"boot_aggregate", b"%d" % self.generation)

    def wait(self, nanoseconds):
        self.wall_ns += nanoseconds

    def bytes_before(self, record):
        return self.offsets[record]

    def checkpoint(self, label=b""):
        start = self.checkpoints[-1][0] if self.checkpoints else 0
        sealed = b"".join(self.raw[start:])
        previous = hashlib.sha256(self.checkpoints[-1][1]).digest() if self.checkpoints else bytes(32)
        states = {bank: imalog.MATCH if self.values[bank] == self.shadow[bank] else imalog.DIFFERS for bank in BANKS}
        differs = imalog.DIFFERS in states.values()
        buffer = struct.pack(
            "<8sHHI16sQIIQQQQQQQ32s32s", b"IMA-CKPT", 1, 168, 32 if differs else 0, self.log_id, len(self.checkpoints) + 1,
            self.generation, PCR, len(self.raw), self.bytes_before(len(self.raw)), self.violations, self.wall_ns,
            self.wall_ns - self.start_ns, len(self.raw) - start, len(sealed), hashlib.sha256(sealed).digest(), previous)

        def item(kind, state, bank, value):
            payload = struct.pack("<BBH", PCR, state, records.BANKS[bank]) + value
            return struct.pack("<HH", kind, len(payload)) + payload

        for bank in BANKS:
            buffer += item(imalog.VALUE, states[bank], bank, self.values[bank])
            if states[bank] == imalog.DIFFERS:
                buffer += item(imalog.SHADOW, states[bank], bank, self.shadow[bank])
            if not self.checkpoints:
                buffer += item(imalog.BEFORE, imalog.MATCH, bank, bytes(records.size_of(bank)))
        if label:
            buffer += struct.pack("<HH", imalog.LABEL, len(label)) + label
        self.shadow = dict(self.values)
        self.checkpoints.append((len(self.raw), buffer))
        self.own(imalog.CHECKPOINT_NAME, buffer)

    def newest(self):
        return len(self.checkpoints), hashlib.sha256(self.checkpoints[-1][1]).digest()

    def quote(self):
        """Has the TPM sign what the newest checkpoint ends with, and appends that."""
        seq, digest = self.newest()
        self.machine.extend_all(self.pending)
        self.pending = []
        evidence = self.machine.sign(digest)
        head = struct.pack("<8sHHI16sQ32s", b"IMA-QUOT", 1, 0, 72, self.log_id, seq, digest)
        self.own(imalog.QUOTE_NAME, head + evidence)

    def truncate(self, to, reason="user"):
        record, buffer = self.checkpoints[to - 1]
        first = self.checkpoints[self.freed - 1][0] if self.freed else 0
        number = {name: number for number, name in imalog.REASONS.items()}[reason]
        size = self.bytes_before(record) - self.bytes_before(first)
        data = struct.pack("<8sHHI16sQ32sQQ", b"IMA-TRUN", 1, number, 88, self.log_id, to, hashlib.sha256(buffer).digest(),
                           record - first, size)
        self.freed = to
        self.own(imalog.TRUNCATE_NAME, data)

    def list(self):
        return b"".join(self.raw)

    def pcr(self, bank="sha256"):
        """For the option --pcr."""
        return f"{bank}:{PCR}={self.values[bank].hex()}"

    def segments(self):
        """(number, index of the first record, records, checkpoint's buffer) of each segment."""
        starts = [(0, b""), *self.checkpoints]
        ends = [record for record, _ in self.checkpoints] + [len(self.raw)]
        return [(seq, start, self.raw[start:end], buffer) for seq, ((start, buffer), end) in enumerate(zip(starts, ends))]

    def archive(self, folder, host, without=(), change=lambda seq, data: data):
        """Writes the segments, but for some, into an archive. The last one is a tail."""
        place = folder / host / self.log_id.hex()
        place.mkdir(parents=True)
        (place.parent).chmod(0o700)
        segments = self.segments()
        for seq, first, raw, buffer in segments:
            if seq in without:
                continue
            data = change(seq, b"".join(raw))
            tail = seq == len(segments) - 1
            claimed = imalog.parse_checkpoint(buffer) if buffer else None
            shown = b"".join(map(records.ascii_line, records.parse(b"".join(raw))))
            meta = {
                "format": "ima-checkpoint/segment/1", "host": host, "log_id": self.log_id.hex(), "seq": seq,
                "state": "tail" if tail else "sealed", "generation": claimed.generation if claimed else 0, "first": first,
                "offset": self.bytes_before(first), "records": len(raw), "bytes": len(data), "ascii_bytes": len(shown),
                "sha256": hashlib.sha256(data).hexdigest(), "checkpoint": hashlib.sha256(buffer).hexdigest() if buffer else "00" * 32,
                "byte_order": "little", "broken": False,
                "archived_ns": (claimed.wall_ns if claimed else self.start_ns) + HOUR,
            }
            text = json.dumps(meta).encode()
            packed = subprocess.run(["zstd", "-qc", "--check", f"--stream-size={len(data)}"], input=data, check=True,
                                    capture_output=True).stdout
            name = f"{seq:010}{'.tail' if tail else ''}.zst"
            (place / name).write_bytes(struct.pack("<II", SKIPPABLE, len(text)) + text + packed)
        return place
