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
        self.middle = self.records[len(self.records) // 2] if self.records else 0
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

    def hashing(self, kernel):
        """Instructions of measuring a file with a short list."""
        return Stat([row["wall"] / row["count"] for row in self.rows
                     if row["part"] == "hashing" and row["kernel"] == kernel and row["what"] == "append"])

    def waits(self, kernel, size, operation, instructions=True, value="longest"):
        """Of the appends at each operation, the longest. If the operation was too short for any to meet it,
        no append was longer than without."""
        if operation == "growth":
            return Stat([row["max"] for row in self.rows
                         if row["what"] == "append" and row["part"] == "latency" and row["kernel"] == kernel
                         and row.get("size") == size and row["instructions"] == instructions
                         and row.get("operation") == operation])
        wanted = {"kernel": kernel, "size": size, "operation": operation, "instructions": instructions}
        alone = max(self.all("p50", what="quiet", **wanted), default=0)
        return Stat([max(one, alone) for one in self.all(value, what="operation", **wanted)])

    def longest(self, kernel, size, operations, instructions=True):
        """The longest append, of each of five parts of the times that something was done: softirqs, which
        come when they like, lengthen one now and then."""
        parts = []
        for operation in operations:
            values = self.waits(kernel, size, operation, instructions).values
            parts.append([max(values[start::5]) for start in range(5) if values[start::5]])
        return Stat([max(part[at] for part in parts if len(part) > at) for at in range(max(map(len, parts)))])

    def growth(self, kernel, size):
        """The longest append of the last quarter of a list that grows, by that of the first, which has as many."""
        values = self.waits(kernel, size, "growth").values
        quarter = len(values) // 4
        return Stat([max(values[-quarter:]) / max(values[:quarter])]) if quarter else Stat([])

    def latency_sizes(self, kernel):
        return sorted({row["size"] for row in self.rows
                       if row["part"] == "latency" and row["kernel"] == kernel and "size" in row})

    # --- freeing, kexec ---

    def freed(self):
        """Numbers of records that were freed at once."""
        return sorted({row["size"] for row in self.rows if row["what"] == "write" and not row["instructions"]})

    def freeing(self, kernel, size, instructions=False, what="write"):
        part = "append" if instructions else "big" if size == self.big and size not in self.records else "memory"
        return Stat(list(self.of("wall", what=what, part=part, kernel=kernel, size=size, state="sealed",
                                 instructions=instructions).values()))

    def freeing_a_record(self, kernel):
        """Instructions of the write; on one processor, others run in between."""
        points = sorted((row["freed"], row["cpu"]) for row in self.rows
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

    few, most, big = (f"{size:,}" for size in (v.records[0], v.most, v.big))
    for name, file, limit in ("binary", f"{BINARY}_sha1", 100), ("ASCII", f"{ASCII}_sha1", 30):
        yield at_least(f"read the {name} list, {most}: faster than upstream", limit, v.faster(file, v.most))
        yield at_most(f"read the {name} list, up to {big}: time grows as the length to the power of", 1.1,
                      v.exponent(file))
    for size in dict.fromkeys((v.most, v.big)):
        for buffer in 65536, 4096:
            yield at_most(f"read the binary list, {size:,}, {buffer // 1024} KiB at once: time, by a tmpfs file's", 2,
                          v.against_tmpfs(size, buffer))
    for view, name in (BINARY, "binary"), (ASCII, "ASCII"):
        yield at_least(f"read the sha256 view, {name}, {most}: faster than upstream", 20,
                       v.faster(f"{view}_sha256", v.most))
    yield at_most(f"a page at the end of {big}: instructions, by those at {few}", 1.25,
                  ratio(v.pread("on", v.big, True), v.pread("on", v.records[0], True)))
    for size in dict.fromkeys((v.most, v.big)):
        yield at_most(f"memory of a live record, {size:,}: by its bytes", 1.25, v.live("on", size).scaled(1 / RECORD))
    yield at_most("memory held of a freed record, scope log", 48, v.held("on", "freed", v.most), "bytes", 1)
    live = v.held("on+live", "freed", v.most)
    yield Goal("memory held of a freed record, scope live", "0, to within 1 byte", live.text(1),
               live.median < 1 if live else None)
    for size in v.records[0], v.most:
        yield at_most(f"measure a file, list of {size:,}: CPU time, by upstream's", 1,
                      v.each(lambda on, off: statistics.median(on) / statistics.median(off),
                             v.cost("on", size, False, "cpu"), v.cost("off", size, False, "cpu")))
        yield at_most(f"measure a file, list of {size:,}: instructions, by upstream's", 1,
                      ratio(v.costs("on", size, True), v.costs("off", size, True)))
    yield at_most("measure a file, with the TPM: CPU time, by upstream's", 1,
                  v.each(lambda on, off: on / off, v.tpm("on", "cpu"), v.tpm("off", "cpu")))
    sizes = v.latency_sizes("on") or [0]
    for name, operations in (("a checkpoint", ["checkpoint"]), ("a truncation", ["truncate"]),
                             ("a change of configuration", ["config", "scope"])):
        few, many = (v.longest("on", size, operations) for size in (sizes[0], sizes[-1]))
        stat = many.scaled(1 / few.median) if few and len(sizes) > 1 else Stat([])
        yield at_most(f"longest append at {name}, list of {sizes[-1]:,}: instructions, by those at {sizes[0]:,}", 1.25,
                      stat)
    yield at_most(f"longest append at growth, last quarter of {sizes[-1]:,}: instructions, by those of the first", 1.25,
                  v.growth("on", sizes[-1]))
    yield at_most("free a record: instructions", 10, v.freeing_a_record("on"), digits=3)
    yield at_most(f"kexec, {most}: instructions of the dump, by upstream's", 0.1,
                  ratio(v.handing("dump", "on", True), v.handing("dump", "off", True)), digits=3)
    yield at_most(f"kexec, {most}: time of the dump, by upstream's", 0.1,
                  v.each(lambda a, b, c, d: (b - a) / (d - c), *v.handover("dump", "on", False),
                         *v.handover("dump", "off", False)), digits=3)
