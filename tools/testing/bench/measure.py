# SPDX-License-Identifier: GPL-2.0
"""What `make bench` measures: the parts, the guests that each boots, and what runs in them."""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import guest

# An emulator copies with `rep movsb` one byte at a time, which no processor does.
APPEND = "clearcpuid=erms,fsrm"
NO_TPM = "initcall_blacklist=init_tis"
MARK = "bench: mark"


@dataclass
class Sizes:
    """How much is measured."""

    records: list  # lengths of the lists that all kernels have
    big: int  # of the one that only this project's kernel has; 0 for none
    rounds: int
    quick: bool = False  # few guests: shows that everything works

    @property
    def most(self):
        return self.records[-1]

    @property
    def middle(self):
        return self.records[len(self.records) // 2]

    @property
    def freed(self):
        """How many records are freed at once."""
        return self.records if self.quick else sorted({1000, self.records[0], self.most})


@dataclass
class Boot:
    """One guest."""

    part: str
    kernel: str  # "on", "off" or "staging", and what distinguishes its command line
    round: int
    job: str
    kind: str = ""  # tells the guests of a part apart
    icount: bool = False
    tpm: bool = False
    memory: int = 1024
    append: str = ""
    rows: list = field(default_factory=list)
    seconds: float = 0

    @property
    def key(self):
        return "/".join(word for word in (self.part, self.kind, self.kernel, str(self.round)) if word)

    @property
    def built(self):
        """What `build` takes."""
        return self.kernel.split("+")[0].replace("staging", "off")

    def run(self, program, kernel, timeout):
        """Boots the kernel in that folder, and fills in the rows; what went wrong, or None."""
        options = ["--kernel", kernel, "--memory", str(self.memory),
                   "--append", f"{APPEND} {self.append}"]
        options += ["--cpus", "1", "--icount", "0"] if self.icount else []
        options += [] if self.tpm else ["--no-tpm"]

        def prepare(share):
            shutil.copy(program, share / "bench")
            shutil.copy(HERE / "bench.sh", share)

        start = time.monotonic()
        with tempfile.NamedTemporaryFile("w", suffix=".sh") as job:
            job.write(". /mnt/share/bench.sh\nnote linux=$(uname -r)\n" + self.job)
            job.flush()
            run = guest.Run(job.name, *options, prepare=prepare, timeout=timeout)
        self.seconds = round(time.monotonic() - start, 1)
        if run.status:
            return f"exit status {run.status}\n{run.stdout[-500:].decode(errors='replace')}{run.stderr[-1500:]}"
        self.rows = list(parse(run.text("results"))) + list(kernel_log(run.log))
        return None


def build(kernel):
    """Builds a kernel, perhaps without what a patch here leaves out; gives its folder."""
    variant, _, without = kernel.partition("-without-")
    with tempfile.TemporaryDirectory() as directory:
        root = HERE.parents[2]
        if without:
            ours, root = root, Path(directory, "copy")
            shutil.copytree(ours, root, ignore=shutil.ignore_patterns(".git", "target"))
            with (HERE / "without" / f"{without}.patch").open("rb") as patch:
                subprocess.run(["patch", "-p1", "--silent", "-d", root], stdin=patch, check=True)
        done = subprocess.run([root / "scripts/build-kernel", variant], check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout.strip()


def number(text):
    return int(text) if re.fullmatch(r"-?\d+", text) else text


def parse(text):
    """A dictionary for each result; those of the notes before it are in it."""
    notes = {}
    for line in text.splitlines():
        what, _, rest = line.partition(" ")
        pairs = {key: number(value) for key, value in guest.pairs(rest).items()}
        if what == "note":
            notes |= pairs
        else:
            yield {"what": what} | notes | pairs


def kernel_log(log):
    """How long the kernel says that something took: from a mark in its log, or since it started."""
    mark = None
    for line in log.splitlines():
        if not (found := re.match(r"(?:<\d+>)?\[ *(\d+)\.(\d+)\] (.*)", line)):
            continue
        at = int(found[1]) * 10**9 + int(found[2].ljust(9, "0"))
        if found[3].startswith(MARK):
            what, _, rest = found[3][len(MARK):].strip().partition(" ")
            mark = at, {"what": what} | {key: number(value) for key, value in guest.pairs(rest).items()}
            if what == "resumed":
                yield mark[1] | {"wall": at}
        elif "Starting new kernel" in found[3] and mark:
            yield mark[1] | {"wall": at - mark[0]}
            mark = None


# --- the parts ---


def read(sizes):
    """Reading the list at each length: binary and ASCII, in large and small pieces, a page at its
    end, and a tmpfs file as large. On the way: appending, and memory."""
    for turn in range(sizes.rounds):
        for kernel in ("off", "on") if sizes.quick else ("off", "on", "staging"):
            job = "b append 3000 0\nnote measured=0\nb append 3000 0\nnote measured=1\nmeasure_owner\nwarm\nmemory\n"
            for size in sizes.records:
                if kernel == "staging" and size > 40_000:
                    continue  # reads as "off" does
                times = 3 if kernel == "on" or size <= 40_000 else 1
                job += f"grow {size}\nnote size={size}\nmemory\nviews sha1 65536 {times}\n"
                job += f"b pread ${{BINARY}}_sha1 $(bytes) {times}\ntmpfs $(bytes) 65536 3\n"
                if times > 1:
                    # upstream gives a page at most, however large the buffer
                    job += f"views sha1 4096 {3 if kernel == 'on' else 1}\ntmpfs $(bytes) 4096 3\n"
                job += f"note probe=1\nb append {min(2000, size // 10)} 1\nnote probe=0\n"
            yield Boot("read", kernel, turn, job)


def memory(sizes):
    """What records cost: live, sealed or staged, and freed; and how long freeing takes."""
    kernels = {"on": "", "on+live": "ima_checkpoint.duplicate_scope=live", "staging": "",
               "staging+flush": "ima_flush_htable"}
    for turn in range(sizes.rounds):
        for kernel, append in kernels.items():
            if sizes.quick and "+" in kernel:
                continue
            job = "measure_owner\nbench append 500 1 >/dev/null\n"
            if kernel == "on+live":
                job += 'grep -q "duplicate_scope=live" "$CHECKPOINT/config" 2>/dev/null || exit 0\n'
            # the first time translates and allocates what stays
            job += "results=/dev/null\nfree_all\nresults=$SHARE/results\n"
            for size in sizes.freed:
                job += f"note size={size} state=empty\nmemory\nb append {size} 1\n"
                job += "note state=live\nmemory\nfree_all\n"
            yield Boot("memory", kernel, turn, job, append=append)


def append(sizes):
    """The cost of measuring a file: instructions by the length of the list, and time with the TPM.
    And instructions of what "read" and "memory" take the time of."""
    for kernel in ("on",) if sizes.quick else ("off", "on", "staging"):
        job = "note measured=0\n" + "b append 1000 0\n" * 5 + "note measured=1\nmeasure_owner\nwarm\n"
        for size in sizes.records:
            job += f"grow {size}\nnote size={size} probe=1\n"
            job += f"b append {min(1000, size // 10)} 1\n" * 5 + "note probe=0\n"
            if kernel != "staging":  # reads as "off" does
                job += "views sha1 65536 1\ntmpfs $(bytes) 65536 2\n"
                job += f"b pread ${{BINARY}}_sha1 $(bytes) {8 if kernel == 'on' else 2}\n"
                if size == sizes.middle:
                    job += "b profile ${BINARY}_sha1\nb profile ${ASCII}_sha1\n"
            if kernel == "on":
                job += "views sha1 4096 1\ntmpfs $(bytes) 4096 2\n"
        if kernel != "off":
            job += (f"note freed=$(count)\nfree_all\ngrow {sizes.records[0]}\n"
                    f"note size={sizes.records[0]} freed=$(count)\nfree_all\n")
        job += "b profile 5000\n"
        yield Boot("append", kernel, 0, job, "instructions", icount=True)
    for turn in range(sizes.rounds):
        for kernel in ("on",) if sizes.quick else ("off", "on"):
            count = 100 if sizes.quick else 1000
            job = f"note tpm=1 measured=0\nb append {count} 0\nmeasure_owner\nnote measured=1\n"
            yield Boot("append", kernel, turn, job + f"bench append 20 1\nb append {count} 1\n", "tpm", tpm=True)


def hashing(sizes):
    """What the kernel's own hashing adds to measuring a file: kernels that lack a part of it."""
    for kernel in () if sizes.quick else ("off", "on", "on-without-segment-digest", "on-without-shadows"):
        job = "measure_owner\nwarm\n" + "b append 1000 1\n" * 5
        yield Boot("hashing", kernel, 0, job, icount=True)


def latency(sizes):
    """How long an append waits for checkpoints, truncations, configuration and growth."""
    small = [1000, 40_000] if not sizes.quick else sizes.records
    times = 5 if sizes.quick else 30
    for icount in (True,) if sizes.quick else (True, False):
        kind = "instructions" if icount else "time"
        big = [sizes.big] if sizes.big else []
        for kernel, lengths in ("on", [*small, *big]), ("staging", [*small, sizes.most]):
            if sizes.quick and kernel == "staging":
                continue
            job = "measure_owner\nwarm\n"
            for size in lengths:
                job += f"note size={size} operation=growth\n"
                if kernel == "on":
                    job += (f'[ ! -e "$CHECKPOINT/config" ] || config=1\nhave=$(count)\nfor step in $(seq 1 16); do\n'
                            f"grow $((have + ({size} - have) * step / 16))\nseal step >/dev/null\ndone\n")
                    job += "b pread ${BINARY}_sha1 $(bytes) 8\n"
                    operations = {"none": "none", "truncate": "$CHECKPOINT/truncate=@",
                                  "checkpoint": "$CHECKPOINT/create=bench",
                                  "config": "$CHECKPOINT/config=checkpoint_records=10000000|checkpoint_records=0",
                                  "scope": "$CHECKPOINT/config=duplicate_scope=live|duplicate_scope=log"}
                else:
                    job += f"grow {size}\n"
                    operations = {"none": "none", "delete": f"${{BINARY}}=$(($(count) / 16))",
                                  "stage": "${STAGED}=A", "delete-staged": "${STAGED}=D"}
                for name, operation in operations.items():
                    count = {"truncate": 10, "delete": 10, "stage": 1, "delete-staged": 1}.get(name, times)
                    guard = '[ -z "${config:-}" ] || ' if "/config=" in operation else ""
                    job += f'note operation={name}\n{guard}b latency "{operation}" {count}\n'
            yield Boot("latency", kernel, 0, job, kind, icount=icount)


def big(sizes):
    """The longest list, which only this project's kernel has: append, read, seal, free."""
    for turn in range(sizes.rounds if sizes.big else 0):
        size = sizes.big
        job = "measure_owner\nwarm\nmemory\n"
        for step in range(1, 11):
            job += f"note size={size * step // 10}\ngrow {size * step // 10}\n"
        job += ("note state=live\nmemory\nviews sha1 65536 3\ntmpfs $(bytes) 65536 3\nviews sha1 4096 3\n"
                "tmpfs $(bytes) 4096 3\nb pread ${BINARY}_sha1 $(bytes) 8\n"
                "note probe=1\nb append 1000 1\nnote probe=0\nfree_all\n")
        yield Boot("big", "on", turn, job, memory=2048)


def kexec(sizes):
    """Handing the list over to the next kernel, which has a TPM: how long that takes; and there,
    reading the other bank's view. The first kernel has no TPM, or it would take too long to append."""
    for icount in (False,) if sizes.quick else (False, True):
        for turn in range(1 if icount else sizes.rounds):
            for kernel in ("on",) if sizes.quick else ("off", "on"):
                for size in 10, sizes.most:
                    job = (f'note size={size}\nif [ "${{1:-}}" = next ]; then\n'
                           f"echo '<0>{MARK} resumed size={size}' >/dev/kmsg\n"
                           "note restored=$(count)\n"
                           + ("views sha256 65536 1\n" if size > 10 and not icount else "memory\n") +
                           "exit\nfi\nmeasure_owner\n"
                           f"grow {size}\n"
                           'kexec -s -l /boot/bzImage --initrd=/boot/initrd --command-line='
                           f'"$(sed "s/{NO_TPM}//" /proc/cmdline) resume=next"\n'
                           f"b exec '<0>{MARK} dump size={size}'\n")
                    yield Boot("kexec", kernel, turn, job, f"{'instructions' if icount else 'time'}-{size}",
                               icount=icount, tpm=not icount, append=NO_TPM)


PARTS = {part.__name__: part for part in (read, memory, append, hashing, latency, big, kexec)}
