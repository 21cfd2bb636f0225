# SPDX-License-Identifier: GPL-2.0
"""Run a script in the test guest and read what it left in the share."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import imalog
import tap

TESTING = Path(__file__).resolve().parent
RUN_GUEST = TESTING.parents[1] / "scripts" / "run-guest"
SCRIPTS = TESTING / "guest"

# Beds that a case can use, the best first. QEMU has kexec, disks, a TPM that can be held, systemd, and
# kernels without the extension; User-Mode Linux has none of these, and the speed of this machine.
QEMU = ("qemu",)
ANY = ("uml", "qemu")


def choose_bed(beds):
    """The variable GUEST_BED says which, where a case can use it."""
    wanted = os.environ.get("GUEST_BED")
    return wanted if wanted in beds else beds[0]


def need(*programs):
    missing = [name for name in programs if not shutil.which(name)]
    if missing:
        raise tap.Skip(f"needs {', '.join(missing)}")


def build(program, directory):
    """Build a helper that runs in the guest (static: the guest has no libc)."""
    compiler = next((name for name in ("gcc", "cc", "clang", "clang-19") if shutil.which(name)), None)
    if not compiler:
        raise tap.Skip("needs a C compiler")
    subprocess.run([compiler, "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o",
                    Path(directory) / Path(program).name, SCRIPTS / f"{program}.c"], check=True)


class Run:
    """One run of a guest script; its share lives as long as this object."""

    def __init__(self, script, *options, programs=(), prepare=None, timeout=120, beds=QEMU):
        self.directory = tempfile.TemporaryDirectory(prefix="ima-checkpoint-")
        self.share = Path(self.directory.name)
        shutil.copy(SCRIPTS / "lib.sh", self.share)
        for program in programs:
            build(program, self.share)
        if prepare:
            prepare(self.share)
        done = subprocess.run(
            [RUN_GUEST, "--bed", choose_bed(beds), "--share", self.share, "--timeout", str(timeout), *options,
             SCRIPTS / script], capture_output=True, check=False)
        self.status, self.stdout = done.returncode, done.stdout
        self.stderr = done.stderr.decode(errors="replace")
        path = re.search(r"kernel messages: (.*)", self.stderr)
        self.log = Path(path[1]).read_text(errors="replace") if path else ""

    def text(self, name):
        return (self.share / name).read_text(errors="replace")

    def bytes(self, name):
        return (self.share / name).read_bytes()

    def words(self, name):
        """The results that `fileop` printed, a list of words a line."""
        return [line.split() for line in self.text(name).splitlines()]

    def ended_well(self, tap_):
        return tap_.check(self.status == 0, "the guest script ends with 0",
                          f"exit status {self.status}", self.stdout[-1500:].decode(errors="replace"),
                          self.stderr[-1500:], self.log[-1500:])

    def snapshot(self, name):
        return Snapshot(self.share / name)


def pairs(line):
    """key=value pairs of a line."""
    return dict(word.split("=", 1) for word in line.split())


class Snapshot:
    """What `snapshot` of lib.sh saved at one moment."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.files = sorted(path.name for path in self.directory.iterdir())

    def read(self, name):
        return (self.directory / name).read_bytes()

    def list(self, bank="sha1", kind="binary"):
        return self.read(f"{kind}_runtime_measurements_{bank}")

    @property
    def pcrs(self):
        """(bank, pcr) -> value, as the TPM has it."""
        return {(bank, int(pcr)): bytes.fromhex(self.read(f"pcr-{bank}-{pcr}").decode())
                for _, bank, pcr in (name.split("-") for name in self.files
                                     if name.startswith("pcr-"))}

    def pcr(self, number):
        return {key: value for key, value in self.pcrs.items() if key[1] == number}

    @property
    def segments(self):
        return [pairs(line) for line in self.read("segments").decode().splitlines()]

    @property
    def status(self):
        return pairs(self.read("status").decode())

    def chain(self, history=b"", base=None, pcrs=None):
        """Verify the exported history followed by the live list, and the
        kernel's table of segments against both."""
        chain = imalog.Chain(history + self.list(), base,
                             self.pcr(10) if pcrs is None else pcrs)
        seen = {segment.seq: segment for segment in chain.segments}
        for row in self.segments:
            segment = seen[int(row["seq"])]
            last = segment is chain.segments[-1]
            wanted = {"state": "active" if last else "sealed", "first": str(segment.first),
                      "records": str(segment.records), "bytes": str(segment.bytes),
                      "digest": segment.digest.hex(), "broken": str(int(segment.broken))}
            wanted |= {f"base_{bank}": segment.base[bank, 10].hex() for bank in chain.banks}
            for key, value in wanted.items():
                if row.get(key) != value:
                    raise imalog.Fault(f"segments file, segment {row['seq']}: {key} is "
                                       f"{row.get(key)}, the list has {value}")
        return chain
