# SPDX-License-Identifier: GPL-2.0
"""Records of IMA measurement lists: read them, show them, replay them."""

import hashlib
import struct
from dataclasses import dataclass

# name of a bank -> its TPM algorithm
BANKS = {"sha1": 0x04, "sha256": 0x0B, "sha384": 0x0C, "sha512": 0x0D}
DEFAULT_PCR = 10
FIELDS = {
    "ima": "d|n",
    "ima-ng": "d-ng|n-ng",
    "ima-sig": "d-ng|n-ng|sig",
    "ima-ngv2": "d-ngv2|n-ng",
    "ima-sigv2": "d-ngv2|n-ng|sig",
    "ima-buf": "d-ng|n-ng|buf",
    "ima-modsig": "d-ng|n-ng|sig|d-modsig|modsig",
    "evm-sig": "d-ng|n-ng|evmsig|xattrnames|xattrlengths|xattrvalues|iuid|igid|imode",
}


class Fault(Exception):
    """What is wrong with a list, and where."""

    def __init__(self, what, record=None, offset=None):
        if record is not None:
            what = f"record {record} at byte {offset}: {what}"
        super().__init__(what)


def size_of(bank):
    return hashlib.new(bank).digest_size


def hashed(bank, data):
    return hashlib.new(bank, data).digest()


@dataclass
class Record:
    """One record of a list. `number` and `offset` count from the list's start."""

    number: int
    offset: int
    raw: bytes
    pcr: int
    digest: bytes
    template: str
    fields: list

    @property
    def violation(self):
        return not any(self.digest)

    @property
    def name(self):
        """The event name, with its NUL if the template keeps one."""
        return self.fields[1] if len(self.fields) > 1 else b""

    def template_digest(self, bank):
        """The digest of the fields in this bank, whatever the list shows."""
        if self.template == "ima":
            digest, name = self.fields
            return hashed(bank, digest + name.ljust(256, b"\0"))
        return hashed(bank, b"".join(struct.pack("<I", len(f)) + f for f in self.fields))

    def extended(self, bank):
        """What the kernel extends into the PCR of this bank."""
        if self.violation:
            return b"\xff" * size_of(bank)
        return self.template_digest(bank)

    def buffer(self, event_name):
        """The buffer of an ima-buf record of this event name, else None."""
        if self.template != "ima-buf" or self.name != event_name or self.violation:
            return None
        return self.fields[2]

    def fault(self, what):
        return Fault(what, self.number, self.offset)


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count, what):
        if self.at + count > len(self.data):
            raise Fault(f"{what} needs {count} bytes, {len(self.data) - self.at} are left")
        self.at += count
        return self.data[self.at - count:self.at]

    def u32(self, what):
        return struct.unpack("<I", self.take(4, what))[0]


def parse_record(cursor, number, digest_size):
    start = cursor.at
    pcr = cursor.u32("PCR number")
    if pcr > 23:
        raise Fault(f"PCR number {pcr} is beyond 23")
    digest = cursor.take(digest_size, "template digest")
    length = cursor.u32("template name's length")
    if not 0 < length < 256:
        raise Fault(f"template name of {length} bytes")
    template = cursor.take(length, "template name").decode("ascii", "strict")
    if template == "ima":
        fields = [cursor.take(20, "digest")]
        fields.append(cursor.take(cursor.u32("event name's length"), "event name"))
    else:
        data = Cursor(cursor.take(cursor.u32("data length"), "template data"))
        fields = []
        while data.at < len(data.data):
            fields.append(data.take(data.u32("field length"), "field"))
        expected = FIELDS.get(template, template).split("|")
        if len(fields) != len(expected):
            raise Fault(f"{len(fields)} fields, template {template} has {len(expected)}")
    return Record(number, start, cursor.data[start:cursor.at], pcr, digest, template, fields)


def parse(data, bank="sha1"):
    """The records of a binary view, whose digests are those of their fields."""
    cursor, records = Cursor(data), []
    while cursor.at < len(data):
        start, number = cursor.at, len(records)
        try:
            record = parse_record(cursor, number, size_of(bank))
        except (Fault, UnicodeDecodeError) as error:
            raise Fault(str(error), number, start) from None
        if not record.violation and record.digest != record.template_digest(bank):
            raise record.fault(f"the {bank} template digest is not that of the fields")
        records.append(record)
    return records


def ascii_field(kind, data):
    text = data.split(b"\0")[0]
    if kind in ("n", "n-ng", "xattrnames"):
        return text
    if kind in ("d-ng", "d-ngv2", "d-modsig") and data:
        return text + data[len(text) + 1:].hex().encode()
    if kind in ("iuid", "igid", "imode") and data:
        return str(int.from_bytes(data, "little")).encode()
    return data.hex().encode()


def ascii_line(record):
    """The line of the ASCII view (lossy: this direction only)."""
    kinds = FIELDS.get(record.template, record.template).split("|")
    shown = [ascii_field(kind, data) for kind, data in zip(kinds, record.fields)]
    head = f"{record.pcr:2d} {record.digest.hex()} {record.template}"
    return b" ".join([head.encode()] + shown) + b"\n"


def extend(bank, value, digest):
    return hashed(bank, value + digest)


def replay(records, bank, base=None, pcr=DEFAULT_PCR):
    """The value of one PCR after these records."""
    value = base or bytes(size_of(bank))
    for record in records:
        if record.pcr == pcr:
            value = extend(bank, value, record.extended(bank))
    return value
