#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Read, replay and verify IMA measurement lists with checkpoints.

The tests' own reading of Documentation/record-format.rst: slow, plain, and
sharing no code with the kernel or the tool, so that a fault in either shows.
"""

import argparse
import hashlib
import re
import struct
import sys
from dataclasses import dataclass, field

# all of it, so that a test needs one name
from records import (BANKS, DEFAULT_PCR, Cursor, Fault, ascii_line, extend, hashed, parse, replay,
                     size_of)

BANK_OF_ALG = {alg: bank for bank, alg in BANKS.items()}
CHECKPOINT_NAME = b".ima/checkpoint\0"
TRUNCATE_NAME = b".ima/truncate\0"
CONFIG_NAME = b".ima/config\0"
QUOTE_NAME = b".ima/quote\0"
MAX_BUFFER = 3968

FLAGS = {1: "automatic", 2: "before-kexec", 4: "no-tpm", 8: "log-lost",
         16: "incomplete", 32: "differs"}
MATCH, DIFFERS, UNSHADOWED, UNREADABLE, VIRTUAL = range(5)
VALUE, SHADOW, BEFORE, LABEL = 0x8001, 0x8002, 0x8003, 0x0004
REASONS = {1: "user", 2: "retention", 3: "kexec"}
CONFIG_REASONS = {1: "boot", 2: "user"}


# ---- our records ---------------------------------------------------------------

@dataclass
class Checkpoint:
    raw: bytes
    flags: int
    log_id: bytes
    seq: int
    generation: int
    pcr: int
    index: int
    offset: int
    violations: int
    wall_ns: int
    boot_ns: int
    sealed_records: int
    sealed_bytes: int
    sealed_digest: bytes
    previous: bytes
    values: dict = field(default_factory=dict)   # (bank, pcr) -> (state, value)
    shadows: dict = field(default_factory=dict)  # (bank, pcr) -> (state, value)
    before: dict = field(default_factory=dict)   # (bank, pcr) -> (state, value)
    label: bytes = b""

    @property
    def digest(self):
        return hashed("sha256", self.raw)

    def has(self, flag):
        return flag in (name for bit, name in FLAGS.items() if self.flags & bit)


@dataclass
class Truncate:
    reason: str
    log_id: bytes
    seq: int
    digest: bytes
    records: int
    bytes: int


@dataclass
class Change:
    """Settings that were changed at once."""

    reason: str
    log_id: bytes
    settings: list  # (name, old value, new value)


@dataclass
class Quote:
    """What a TPM signed over a checkpoint."""

    log_id: bytes
    seq: int
    digest: bytes  # of the checkpoint's buffer
    key_name: bytes
    message: bytes  # TPMS_ATTEST
    signature: bytes  # TPMT_SIGNATURE


def parse_item_value(payload):
    if len(payload) < 4:
        raise Fault(f"a PCR item of {len(payload)} bytes")
    pcr, state, alg = struct.unpack_from("<BBH", payload)
    bank = BANK_OF_ALG.get(alg, f"tpm_alg_{alg:x}")
    if bank in BANKS and len(payload) != 4 + size_of(bank):
        raise Fault(f"a {bank} value of {len(payload) - 4} bytes")
    if state > VIRTUAL:
        raise Fault(f"unknown PCR state {state}")
    return (bank, pcr), (state, payload[4:])


def parse_checkpoint(data):
    if len(data) > MAX_BUFFER:
        raise Fault(f"checkpoint of {len(data)} bytes, at most {MAX_BUFFER} are allowed")
    if len(data) < 168:
        raise Fault(f"checkpoint of {len(data)} bytes, its fixed part needs 168")
    (magic, version, length, flags, log_id, seq, generation, pcr, index, offset, violations,
     wall, boot, records, size, sealed, previous) = struct.unpack_from(
         "<8sHHI16sQIIQQQQQQQ32s32s", data)
    if magic != b"IMA-CKPT" or version != 1 or length != 168:
        raise Fault(f"checkpoint with magic {magic!r}, version {version}, length {length}")
    if max(seq, index, offset, violations, records, size) >= 2**63:
        raise Fault("checkpoint with a count of 2^63 or more")
    if flags & ~sum(FLAGS):
        raise Fault(f"unknown checkpoint flags {flags:#x}")
    checkpoint = Checkpoint(data, flags, log_id, seq, generation, pcr, index, offset,
                            violations, wall, boot, records, size, sealed, previous)
    tables = {VALUE: checkpoint.values, SHADOW: checkpoint.shadows, BEFORE: checkpoint.before}
    cursor = Cursor(data)
    cursor.at = length
    while cursor.at < len(data):
        kind, size = struct.unpack("<HH", cursor.take(4, "item header"))
        payload = cursor.take(size, "item")
        if kind in tables:
            key, entry = parse_item_value(payload)
            if key in tables[kind]:
                raise Fault(f"two items {kind:#x} for PCR {key[1]} in {key[0]}")
            tables[kind][key] = entry
        elif kind == LABEL:
            if size > 64 or any(not 0x20 <= byte <= 0x7E for byte in payload):
                raise Fault(f"bad label {payload!r}")
            checkpoint.label = payload
        elif kind & 0x8000:
            raise Fault(f"unknown item {kind:#x} that must be understood")
    return checkpoint


def parse_truncate(data):
    if len(data) < 88:
        raise Fault(f"truncate record of {len(data)} bytes, it needs 88")
    magic, version, reason, length, log_id, seq, digest, records, size = struct.unpack_from(
        "<8sHHI16sQ32sQQ", data)
    if magic != b"IMA-TRUN" or version != 1 or length != 88 or reason not in REASONS:
        raise Fault(f"truncate record with magic {magic!r}, version {version}, "
                    f"length {length}, reason {reason}")
    return Truncate(REASONS[reason], log_id, seq, digest, records, size)


def parse_config(data):
    if not 32 < len(data) <= MAX_BUFFER:
        raise Fault(f"config record of {len(data)} bytes, it has 33 to {MAX_BUFFER}")
    magic, version, reason, length, log_id = struct.unpack_from("<8sHHI16s", data)
    if magic != b"IMA-CONF" or version != 1 or length != 32 or reason not in CONFIG_REASONS:
        raise Fault(f"config record with magic {magic!r}, version {version}, "
                    f"length {length}, reason {reason}")
    word = rb"([a-z0-9_]{1,64})"
    if not re.fullmatch(rb"(%s=%s->%s\n)+" % (word, word, word), data[length:]):
        raise Fault(f"config record with the changes {data[length:]!r}")
    changes = re.findall(rb"%s=%s->%s\n" % (word, word, word), data[length:])
    return Change(CONFIG_REASONS[reason], log_id, [tuple(part.decode() for part in change) for change in changes])


def parse_quote(data):
    if not 72 < len(data) <= MAX_BUFFER:
        raise Fault(f"quote record of {len(data)} bytes, it has 73 to {MAX_BUFFER}")
    magic, version, _, length, log_id, seq, digest = struct.unpack_from("<8sHHI16sQ32s", data)
    if magic != b"IMA-QUOT" or version != 1 or length != 72 or seq == 0:
        raise Fault(f"quote record with magic {magic!r}, version {version}, "
                    f"length {length}, checkpoint {seq}")
    cursor = Cursor(data)
    cursor.at = length
    name, message = (cursor.take(int.from_bytes(cursor.take(2, "size"), "big"), "TPM2B") for _ in range(2))
    if message[:6] != b"\xffTCG\x80\x18":
        raise Fault(f"a quote that starts with {message[:6].hex()}")
    return Quote(log_id, seq, digest, name, message, data[cursor.at:])


def checkpoint_of(record):
    """The checkpoint in this record, or None."""
    data = record.buffer(CHECKPOINT_NAME)
    return data and decode(record, data, parse_checkpoint)


def truncate_of(record):
    """The truncation that this record announces, or None."""
    data = record.buffer(TRUNCATE_NAME)
    return data and decode(record, data, parse_truncate)


def config_of(record):
    """The change of settings that this record announces, or None."""
    data = record.buffer(CONFIG_NAME)
    return data and decode(record, data, parse_config)


def quote_of(record):
    """The quote in this record, or None. Nobody has checked its signature."""
    data = record.buffer(QUOTE_NAME)
    return data and decode(record, data, parse_quote)


def decode(record, data, parser):
    algorithm, _, digest = record.fields[0].partition(b":\0")
    if hashed(algorithm.decode(), data) != digest:
        raise record.fault("the digest field is not that of the buffer")
    try:
        return parser(data)
    except Fault as error:
        raise record.fault(str(error)) from None


# ---- a chain of segments -------------------------------------------------------

@dataclass
class Segment:
    """A segment as the list shows it; counts are those seen so far."""

    seq: int
    first: int
    base: dict
    digest: bytes = bytes(32)
    records: int = 0
    bytes: int = 0
    broken: bool = False
    sha256: object = field(default_factory=hashlib.sha256)


class Chain:
    """Walks a list from its first record, checking all that can be checked."""

    def __init__(self, data, base=None, expected=None):
        self.records = parse(data)
        if not self.records:
            raise Fault("the list is empty")
        self.checkpoints = {r.number: c for r in self.records if (c := checkpoint_of(r))}
        self.truncations = {r.number: t for r in self.records if (t := truncate_of(r))}
        self.changes = {r.number: c for r in self.records if (c := config_of(r))}
        self.base = base or {}
        self.banks = {bank for bank, _ in [*self.base, *(expected or {})]}
        for checkpoint in self.checkpoints.values():
            self.banks |= {bank for bank, _ in checkpoint.values if bank in BANKS}
        self.banks = self.banks or {"sha1", "sha256"}
        self.violations = 0
        self.segments = []
        self.values = {}
        self.freed = None  # (records, bytes) that the newest truncation known left behind
        self.start()
        for record in self.records:
            self.step(record)
        for (bank, pcr), value in (expected or {}).items():
            if self.values.get((bank, pcr), bytes(size_of(bank))) != value:
                raise Fault(f"PCR {pcr} in {bank} is {value.hex()}, the list replays to "
                            f"{self.values.get((bank, pcr), b'').hex() or 'nothing'}")

    @property
    def proven(self):
        """The base is known from elsewhere, not only claimed by a checkpoint."""
        zeros = not any(any(value) for value in self.segments[0].base.values())
        return (zeros and 0 not in self.checkpoints
                or all((bank, DEFAULT_PCR) in self.base for bank in self.banks))

    @property
    def broken(self):
        return [segment.seq for segment in self.segments if segment.broken]

    def start(self):
        head = self.checkpoints.get(0)
        self.index, self.offset = (head.index, head.offset) if head else (0, 0)
        if head:
            self.values.update({key: value for key, (_, value) in head.values.items()})
            for (bank, pcr), value in self.base.items():
                if self.values.get((bank, pcr)) != value:
                    raise self.records[0].fault(
                        f"the checkpoint does not start from the base given for PCR {pcr} in {bank}")
            self.violations = head.violations
        else:
            for bank in self.banks:
                self.values[bank, DEFAULT_PCR] = self.before(self.records[0], (bank, DEFAULT_PCR))
            self.segments.append(Segment(0, 0, dict(self.values)))

    def step(self, record):
        checkpoint = self.checkpoints.get(record.number)
        if checkpoint:
            if self.segments:
                self.seal(record, checkpoint)
            self.values.update({key: value for key, (_, value) in checkpoint.values.items()})
            self.segments.append(Segment(checkpoint.seq, checkpoint.index, dict(self.values),
                                         checkpoint.digest))
        if record.number in self.truncations:
            self.truncated(record, self.truncations[record.number])
        self.violations += record.violation
        for bank in self.banks:
            key = bank, record.pcr
            if key not in self.values:
                self.values[key] = self.before(record, key)
            self.values[key] = extend(bank, self.values[key], record.extended(bank))
        segment = self.segments[-1]
        segment.records += 1
        segment.bytes += len(record.raw)
        segment.sha256.update(record.raw)

    def before(self, record, key):
        """What a PCR held before its first use: the next checkpoint says so."""
        zeros = bytes(size_of(key[0]))
        if key in self.base:
            return self.base[key]
        for number, checkpoint in self.checkpoints.items():
            if number > record.number:
                return checkpoint.before.get(key, (MATCH, zeros))[1]
        return zeros

    def seal(self, record, checkpoint):
        """A checkpoint against the segment before it."""
        segment = self.segments[-1]
        previous = list(self.checkpoints.values())
        at = previous.index(checkpoint)
        previous = previous[at - 1] if at else None

        def demand(what, claimed, seen):
            if claimed != seen:
                raise record.fault(f"checkpoint {checkpoint.seq}: {what} is {claimed}, "
                                   f"the list has {seen}")

        demand("sequence number", checkpoint.seq, segment.seq + 1)
        demand("record index", checkpoint.index, self.index + record.number)
        demand("byte offset", checkpoint.offset, self.offset + record.offset)
        demand("sealed record count", checkpoint.sealed_records, segment.records)
        demand("sealed byte count", checkpoint.sealed_bytes, segment.bytes)
        demand("sealed digest", checkpoint.sealed_digest.hex(), segment.sha256.hexdigest())
        demand("previous checkpoint's digest", checkpoint.previous.hex(),
               (previous.digest if previous else bytes(32)).hex())
        demand("default PCR", checkpoint.pcr, DEFAULT_PCR)
        if previous:
            demand("log id", checkpoint.log_id.hex(), previous.log_id.hex())
            if checkpoint.generation < previous.generation:
                raise record.fault(f"checkpoint {checkpoint.seq}: generation went back")
        if checkpoint.violations != self.violations:
            raise record.fault(f"checkpoint {checkpoint.seq}: {checkpoint.violations} violations, "
                               f"the list has {self.violations}")
        states = {state for state, _ in checkpoint.values.values()}
        demand("flag differs", checkpoint.has("differs"), DIFFERS in states)
        demand("flag no-tpm", checkpoint.has("no-tpm"), states == {VIRTUAL})
        for key, seen in self.values.items():
            if key not in checkpoint.values:
                if not checkpoint.has("incomplete"):
                    raise record.fault(f"checkpoint {checkpoint.seq}: no value of PCR {key[1]} "
                                       f"in {key[0]}")
                continue
            state, value = checkpoint.values[key]
            if (state == DIFFERS) != (key in checkpoint.shadows):
                raise record.fault(f"checkpoint {checkpoint.seq}: state {state} of PCR {key[1]} in "
                                   f"{key[0]} does not fit its shadow")
            if state == DIFFERS:
                if value == seen:
                    raise record.fault(f"checkpoint {checkpoint.seq}: differs, but does not")
                segment.broken |= key[1] == DEFAULT_PCR
                value = checkpoint.shadows[key][1]
            demand(f"PCR {key[1]} in {key[0]}", value.hex(), seen.hex())

    def truncated(self, record, truncate):
        target = next((c for c in self.checkpoints.values() if c.seq == truncate.seq), None)
        if not target:
            return
        if target.digest != truncate.digest or target.log_id != truncate.log_id:
            raise record.fault(f"truncation to another checkpoint {truncate.seq}")
        start = self.freed
        if start is None and 0 not in self.checkpoints:
            start = 0, 0
        self.freed = target.index, target.offset
        if start and (truncate.records, truncate.bytes) != (self.freed[0] - start[0],
                                                            self.freed[1] - start[1]):
            raise record.fault(f"truncation of {truncate.records} records, {truncate.bytes} bytes, "
                               f"not {self.freed[0] - start[0]}, {self.freed[1] - start[1]}")


# ---- command line ----------------------------------------------------------------

def pcr_argument(text):
    """BANK:PCR=HEX"""
    try:
        key, value = text.split("=")
        bank, pcr = key.split(":")
        value = bytes.fromhex(value)
        if len(value) != size_of(bank) or bank not in BANKS:
            raise ValueError
        return (bank, int(pcr)), value
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: write BANK:PCR=HEX, as in sha256:10=00ff... (a whole digest)") from None


def verify(arguments):
    chain = Chain(b"".join(arguments.contents), dict(arguments.base), dict(arguments.pcr))
    for segment in chain.segments:
        note = "  BROKEN: something else extended the PCR" if segment.broken else ""
        print(f"segment {segment.seq}: {segment.records} records, {segment.bytes} bytes{note}")
    if not chain.proven:
        print("the base is what a checkpoint claims: give --base to prove it")
    if chain.broken:
        raise Fault(f"segments {chain.broken} do not replay")
    reached = ", ".join(f"PCR {pcr} in {bank}" for (bank, pcr), _ in arguments.pcr)
    print(f"VERIFIED: {len(chain.records)} records in {len(chain.segments)} segments"
          + (f" replay to {reached}" if reached else ""))


def show(arguments):
    for record in parse(b"".join(arguments.contents)):
        sys.stdout.buffer.write(ascii_line(record))
        sys.stdout.flush()
        special = checkpoint_of(record) or truncate_of(record)
        if special:
            print("  ", special)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for name, function, text in (
            ("verify", verify, "check a list, or exported segments followed by the live list"),
            ("show", show, "print the records")):
        command = commands.add_parser(name, help=text)
        command.set_defaults(function=function)
        command.add_argument("files", nargs="+", metavar="FILE",
                             help="binary lists (sha1 view), in order")
        if function is verify:
            command.add_argument("--pcr", type=pcr_argument, action="append", default=[],
                                 help="BANK:PCR=HEX that the list must replay to")
            command.add_argument("--base", type=pcr_argument, action="append", default=[],
                                 help="BANK:PCR=HEX that the list starts from")
    arguments = parser.parse_args()
    try:
        arguments.contents = [open(name, "rb").read() for name in arguments.files]
        arguments.function(arguments)
    except OSError as error:
        sys.exit(f"cannot read {error.filename}: {error.strerror}")
    except Fault as fault:
        sys.exit(f"FAILED: {fault}")


if __name__ == "__main__":
    main()
