# SPDX-License-Identifier: GPL-2.0
"""Read an archive: the tests' own reading of Documentation/archive.rst."""

import json
import struct
import subprocess

SKIPPABLE = 0x184D2A50


def files(directory):
    """(metadata, bytes in the sha1 view) of each segment below a directory, in order."""
    found = [read(path) for path in directory.rglob("*.zst")]
    return sorted(found, key=lambda file: file[0]["seq"])


def read(path):
    raw = path.read_bytes()
    magic, size = struct.unpack_from("<II", raw)
    if magic & ~0xF != SKIPPABLE:
        raise ValueError(f"{path} does not start with metadata")
    meta = json.loads(raw[8:8 + size])
    data = subprocess.run(["zstd", "-dcq"], input=raw, capture_output=True, check=True).stdout
    return meta, data
