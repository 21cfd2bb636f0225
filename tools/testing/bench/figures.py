# SPDX-License-Identifier: GPL-2.0
"""Figures from the values that were measured, and which goals they meet."""

import math
import statistics
from dataclasses import dataclass

RECORD = 158  # bytes of a record in the sha1 view
CHUNK = 65536
NAMES = {"on": "ima-checkpoint", "on+live": "ima-checkpoint, duplicate_scope=live", "off": "upstream",
         "staging": "upstream, staging", "staging+flush": "upstream, staging, ima_flush_htable"}
BINARY, ASCII = "binary_runtime_measurements", "ascii_runtime_measurements"


@dataclass
class Stat:
    """Median, and least to most."""

    values: list

    def __bool__(self):
        return bool(self.values)

    @property
    def median(self):
        return statistics.median(self.values)

    def scaled(self, factor):
        return Stat([value * factor for value in self.values])

    def text(self, digits=None):
        if not self.values:
            return "not measured"
        if digits is None:
            digits = max(0, 2 - int(math.floor(math.log10(abs(self.median) or 1))))
        median, low, high = (f"{value:,.{digits}f}" for value in (self.median, min(self.values), max(self.values)))
        return median if low == high else f"{median} ({low} to {high})"


class Values:
    """The rows of all guests, each with what is known of its guest."""

    def __init__(self, data):
        self.data = data
        self.rows = []
        for boot in data["boots"].values():
            about = {name: value for name, value in boot.items() if name not in ("rows", "seconds", "tpm")}
            self.rows += [about | row for row in boot["rows"]]
        self.records = data.get("records", [])
        self.most = self.records[-1] if self.records else 0
        self.big = data.get("big") or self.most

    def of(self, value, **wanted):
        """The values by round; of several in a round the median."""
        found = {}
        for row in self.rows:
            if value in row and all(row.get(name, default(name)) == want for name, want in wanted.items()):
                found.setdefault(row["round"], []).append(row[value])
        return {turn: statistics.median(values) for turn, values in found.items()}

    def all(self, value, **wanted):
        return [row[value] for row in self.rows
                if value in row and all(row.get(name, default(name)) == want for name, want in wanted.items())]

    def each(self, function, *series):
        """A figure of each round that has all values."""
        rounds = set.intersection(*(set(values) for values in series))
        return Stat([function(*(values[turn] for values in series)) for turn in sorted(rounds)])

    # --- reading ---

    def reading(self, kernel, file, size, buffer=65536, value="wall", instructions=False):
        part = "kexec" if file.endswith("sha256") else "append" if instructions else "read"
        if size not in self.records:
            part = "big"
        return self.of(value, what="read", part=part, kernel=kernel, file=file, size=size, buffer=buffer,
                       instructions=instructions)

    def faster(self, file, size, instructions=False):
        return self.each(lambda off, on: off / on, self.reading("off", file, size, instructions=instructions),
                         self.reading("on", file, size, instructions=instructions))

    def against_tmpfs(self, size, buffer, instructions=False):
        return self.each(lambda list_, tmpfs: list_ / tmpfs,
                         self.reading("on", f"{BINARY}_sha1", size, buffer, instructions=instructions),
                         self.reading("on", "tmpfs", size, buffer, instructions=instructions))

    def exponent(self, file):
        """Of the length, as which reading time grows."""
        small, large = self.records[-2] if len(self.records) > 1 else 0, self.big
        if not small or small == large:
            return Stat([])
        return self.each(lambda a, b: math.log(b / a) / math.log(large / small),
                         self.reading("on", file, small), self.reading("on", file, large))

    def pread(self, kernel, size, instructions):
        part = "big" if size not in self.records and not instructions else None
        rows = [row["wall"] for row in self.rows if row["what"] == "pread" and row["kernel"] == kernel
                and row.get("size") == size and row["instructions"] == instructions and part in (None, row["part"])]
        return Stat(rows)

    # --- memory ---

    def live(self, kernel, size):
        """Bytes a live record."""
        part = "read" if size in self.records else "big"
        empty, live = ({row["round"]: row for row in self.rows
                        if row["what"] == "memory" and row["part"] == part and row["kernel"] == kernel
                        and row.get("size") == at and row.get("state", "live") == "live"} for at in (None, size))
        return self.each(lambda a, b: (a["free"] - b["free"]) / (b["records"] - a["records"]), empty, live)

    def held(self, kernel, state, size):
        """Bytes a record when `size` records are in that state. What is freed may stay from before."""
        states = {}
        for row in self.rows:
            if row["what"] == "memory" and row["part"] == "memory" and row["kernel"] == kernel and row["size"] == size:
                states.setdefault(row["state"], {})[row["round"]] = row["free"]
        return self.each(lambda empty, now: (empty - now) / size, states.get("empty", {}), states.get(state, {}))

    # --- appending ---

    def cost(self, kernel, size, instructions, value="wall"):
        """Of measuring a file once, with a list of that length; 0 for what is not measured."""
        part = "append" if instructions else "read"
        wanted = {"measured": 0} if size == 0 else {"size": size, "probe": 1}
        rows = {}
        for row in self.rows:
            if (row["what"] == "append" and row["part"] == part and row["kernel"] == kernel
                    and row["instructions"] == instructions and row["kind"] != "tpm"
                    and all(row.get(name) == want for name, want in wanted.items())):
                rows.setdefault(row["round"], []).append(row[value] / row["count"])
        return rows

    def costs(self, kernel, size, instructions, value="wall"):
        return Stat([one for values in self.cost(kernel, size, instructions, value).values() for one in values])

    def tpm(self, kernel, value):
        rows = {row["round"]: row[value] / row["count"] for row in self.rows
                if row["what"] == "append" and row["kind"] == "tpm" and row["kernel"] == kernel and row["measured"]}
        return rows

    def waits(self, kernel, size, operation, instructions=True, value="longest"):
        """Of the appends at each operation, the longest."""
        if operation == "growth":
            return Stat([row["max"] for row in self.rows
                         if row["what"] == "append" and row["part"] == "latency" and row["kernel"] == kernel
                         and row.get("size") == size and row["instructions"] == instructions
                         and row.get("operation") == operation])
        return Stat(self.all(value, what="operation", kernel=kernel, size=size, operation=operation,
                             instructions=instructions))

    def latency_sizes(self, kernel):
        return sorted({row["size"] for row in self.rows
                       if row["part"] == "latency" and row["kernel"] == kernel and "size" in row})

    # --- freeing, kexec ---

    def freeing(self, kernel, size, instructions=False, what="write"):
        part = "append" if instructions else "memory" if size in [1000, *self.records] else "big"
        return Stat(list(self.of("wall", what=what, part=part, kernel=kernel, size=size, state="sealed",
                                 instructions=instructions).values()))

    def freeing_a_record(self, kernel):
        """Instructions."""
        points = sorted((row["freed"], row["wall"]) for row in self.rows
                        if row["what"] == "write" and row["part"] == "append" and row["kernel"] == kernel
                        and row.get("state") == "sealed" and "freed" in row)
        if len(points) < 2 or points[0][0] == points[-1][0]:
            return Stat([])
        return Stat([(points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0])])

    def handover(self, what, kernel, instructions):
        """Of the whole list, without what an empty one takes."""
        few, many = (self.of("wall", what=what, part="kexec", kernel=kernel, size=size, instructions=instructions)
                     for size in (10, self.most))
        return few, many

    def handing(self, what, kernel, instructions):
        return self.each(lambda a, b: b - a, *self.handover(what, kernel, instructions))


def default(name):
    return {"measured": 1}.get(name)


@dataclass
class Goal:
    name: str
    wanted: str
    measured: str
    met: object  # or None: not measured


def ratio(above, below):
    """Of medians, for what is exact, or not measured in the same rounds."""
    return Stat([above.median / below.median]) if above and below and below.median else Stat([])


def goals(v):
    """All goals; the limits are those of the issue."""

    def at_least(name, limit, stat, unit="times"):
        return Goal(name, f"at least {limit} {unit}", stat.text(), stat.median >= limit if stat else None)

    def at_most(name, limit, stat, unit="", digits=2):
        return Goal(name, f"at most {limit} {unit}".rstrip(), stat.text(digits),
                    round(stat.median, digits) <= limit if stat else None)

    most, big = f"{v.most:,}", f"{v.big:,}"
    sha1, ascii_ = f"{BINARY}_sha1", f"{ASCII}_sha1"
    yield at_least(f"read the binary list, {most}: faster than upstream", 100, v.faster(sha1, v.most))
    yield at_most(f"its time grows as the length to the power of, up to {big}", 1.1, v.exponent(sha1))
    for size in dict.fromkeys((v.most, v.big)):
        for buffer in 65536, 4096:
            yield at_most(f"its time, {size:,}, {buffer // 1024} KiB at once: times a tmpfs file", 2,
                          v.against_tmpfs(size, buffer))
    yield at_least(f"read the ASCII list, {most}: faster than upstream", 30, v.faster(ascii_, v.most))
    yield at_most(f"its time grows as the length to the power of, up to {big}", 1.1, v.exponent(ascii_))
    for view, name in (BINARY, "binary"), (ASCII, "ASCII"):
        yield at_least(f"read the sha256 view, {name}, {most}: faster than upstream", 20,
                       v.faster(f"{view}_sha256", v.most))
    few = v.records[0]
    yield at_most(f"a page at the end of {big}: instructions, times those at {few:,}", 1.25,
                  ratio(v.pread("on", v.big, True), v.pread("on", few, True)))
    yield at_most(f"memory a live record, {most}: times its bytes", 1.25, v.live("on", v.most).scaled(1 / RECORD))
    if v.big != v.most:
        yield at_most(f"memory a live record, {big}: times its bytes", 1.25, v.live("on", v.big).scaled(1 / RECORD))
    yield at_most("held of a freed record, scope log", 48, v.held("on", "freed", v.most), "bytes", 1)
    yield at_most("held of a freed record, scope live", 0.5, v.held("on+live", "freed", v.most), "bytes", 1)
    for size in few, v.most:
        yield at_most(f"CPU time to measure a file, list of {size:,}: times upstream's", 1,
                      v.each(lambda on, off: statistics.median(on) / statistics.median(off),
                             v.cost("on", size, False, "cpu"), v.cost("off", size, False, "cpu")))
        yield at_most(f"instructions to measure a file, list of {size:,}: times upstream's", 1,
                      ratio(v.costs("on", size, True), v.costs("off", size, True)))
    yield at_most("CPU time to measure a file, with the TPM: times upstream's", 1,
                  v.each(lambda on, off: on / off, v.tpm("on", "cpu"), v.tpm("off", "cpu")))
    sizes = v.latency_sizes("on")
    for operation in "checkpoint", "truncate", "config", "growth":
        waits = [max(v.waits("on", size, operation).values, default=0) for size in sizes]
        stat = Stat([waits[-1] / waits[0]]) if len(sizes) > 1 and waits[0] else Stat([])
        name = {"truncate": "truncation", "config": "change of configuration", "growth": "growth of the index"}
        yield at_most(f"longest append at a {name.get(operation, operation)}, list of {sizes[-1] if sizes else 0:,}: "
                      f"instructions, times those at {sizes[0] if sizes else 0:,}", 1.25, stat)
    yield at_most("freeing a record: instructions", 10, v.freeing_a_record("on"), digits=1)
    yield at_most(f"kexec, {most}: instructions of the dump, times upstream's", 0.1,
                  ratio(v.handing("dump", "on", True), v.handing("dump", "off", True)))
