# SPDX-License-Identifier: GPL-2.0
"""Tables (reStructuredText) and plots of what was measured."""

import re

import plots
from figures import ASCII, BINARY, CHUNK, NAMES, RECORD, Stat, Values, goals

BEGIN, END = ".. generated: begin", ".. generated: end"
FRAME = f""".. SPDX-License-Identifier: GPL-2.0

==========================
What the kernel side costs
==========================

{BEGIN}
{END}
"""


def table(head, rows):
    rows = [[str(cell) or "\\" for cell in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule, ""])


def heading(text):
    return f"{text}\n{'=' * len(text)}\n"


def image(name, alt):
    return f".. image:: {name}\n   :alt: {alt}\n"


def machine(v):
    data = v.data
    linux = sorted({row["linux"] for row in v.rows if "linux" in row})
    return (f"{data['date']}, ``{data['command']}``: Linux {', '.join(linux)} in QEMU {data['qemu']} on\n"
            f"{data['cores']} cores of {data['processor']}. Rounds: {data['rounds']}. Median (least to most).\n")


def goal_table(v):
    said = {True: "yes", False: "**no**", None: "\\"}
    return table(("goal", "wanted", "measured", "met"),
                 [(goal.name, goal.wanted, goal.measured, said[goal.met]) for goal in goals(v)])


def present(*rows):
    """Rows without those of which nothing was measured."""
    return [row for row in rows if any(cell != "not measured" for cell in row[1:])]


def by_length(v, kernels, sizes, figure, digits=None):
    """A row for each kernel, a column for each length."""
    return table(["", *(f"{size:,}" for size in sizes)],
                 [row for kernel in kernels for row in
                  present((NAMES[kernel], *(figure(kernel, size).text(digits) for size in sizes)))])


def reading(v):
    sizes = list(dict.fromkeys((*v.records, v.big)))
    rows = []
    for name, file in (("binary", f"{BINARY}_sha1"), ("ASCII", f"{ASCII}_sha1"), ("binary sha256", f"{BINARY}_sha256"),
                       ("ASCII sha256", f"{ASCII}_sha256"), ("tmpfs", "tmpfs")):
        for buffer in 65536, 4096:
            for kernel in ("on",) if file == "tmpfs" else ("off", "on"):
                times = [Stat(list(v.reading(kernel, file, size, buffer).values())).scaled(1e-6).text()
                         for size in sizes]
                label = name if file == "tmpfs" else f"{name}, {NAMES[kernel]}"
                rows += present((label, f"{buffer // 1024} KiB", *times))
    rows = [row for row in rows if any(cell != "not measured" for cell in row[2:])]
    def a_record(view):
        return profile(v, f"{view}_sha1", lambda kernel: Stat(list(v.reading(
            kernel, f"{view}_sha1", v.middle, instructions=True).values())).scaled(1 / v.middle))

    counts = []
    for name, file in ("binary", f"{BINARY}_sha1"), ("ASCII", f"{ASCII}_sha1"), ("tmpfs", "tmpfs"):
        for kernel in ("on",) if file == "tmpfs" else ("off", "on"):
            label = name if file == "tmpfs" else f"{name}, {NAMES[kernel]}"
            counts += present((label, *(Stat(list(v.reading(kernel, file, size, instructions=True).values())).scaled(
                1e-6).text() for size in v.records)))
    pages = []
    for kernel in "off", "on":
        lengths = list(dict.fromkeys((*v.records, v.big)))
        pages += present((NAMES[kernel], *(v.pread(kernel, size, True).scaled(1e-3).text() for size in lengths)))
    return "\n".join([
        heading("Reading"), image("kernel-read.svg", "reading time by the length of the list"),
        "Milliseconds to read a whole list, by its length and the size of a read:\n",
        table(["view", "at once", *(f"{size:,}" for size in sizes)],
              [[cell.replace("not measured", "") for cell in row] for row in rows]),
        "A page at the end of the list (``pread``), thousand instructions:\n",
        table(["", *(f"{size:,}" for size in sizes)], pages),
        "Million instructions to read a whole list, 64 KiB at once:\n",
        table(["view", *(f"{size:,}" for size in v.records)], counts),
        f"Where they go, by sampling, for each of {v.middle:,} records, binary:\n", a_record(BINARY),
        "ASCII:\n", a_record(ASCII)])


def memory(v):
    rows = []
    for kernel in "off", "staging", "staging+flush", "on", "on+live":
        live = v.live("off", v.most) if kernel == "off" else v.held(kernel, "live", v.most)
        rows += present((NAMES[kernel], live.text(1), v.held(kernel, "sealed", v.most).text(1),
                         v.held(kernel, "freed", v.most).text(1)))
    shares = []
    for row in v.rows:
        if row["what"] == "memory" and row.get("state") == "live" and "memory_chunks" in row and row["round"] == 0 \
                and row["kernel"] == "on" and row.get("size") in (v.most, v.big):
            kinds = {name: value for name, value in row.items() if name.startswith("memory_")}
            live = row["records_live"]
            shares.append((f"{live:,}", *(f"{value / live:.1f}" for value in kinds.values())))
            head = ("live records", *(f"``{name}``" for name in kinds))
    return "\n".join([
        heading("Memory"), image("kernel-memory.svg", "memory that a record costs"),
        f"Bytes of memory a record, {v.most:,} records. A record has {RECORD} bytes in the sha1 view:\n",
        table(("", "live", "sealed, staged", "freed"), rows),
        *(["What ``status`` shows for this, bytes a record:\n", table(head, shares)] if shares else [])])


def appending(v):
    sizes = [0, *v.records]
    rows = []
    for kernel in "off", "staging", "on":
        name = NAMES[kernel]
        rows += present((f"{name}, instructions", *(v.costs(kernel, size, True).text(0) for size in sizes)))
        rows += present((f"{name}, CPU ns", *(v.costs(kernel, size, False, "cpu").text(0) for size in sizes)))
    tpm = present(*((NAMES[kernel], Stat(list(v.tpm(kernel, "wall").values())).scaled(1e-3).text(0),
                     Stat(list(v.tpm(kernel, "cpu").values())).scaled(1e-3).text(0)) for kernel in ("off", "on")))
    return "\n".join([
        heading("Measuring a file"), image("kernel-append.svg", "instructions to measure a file"),
        "To rewrite, open, measure and read one small file, by the length of the list (nothing is measured in "
        "the first column):\n",
        table(["", "not measured", *(f"{size:,}" for size in v.records)], rows),
        "With a software TPM, microseconds:\n", table(("", "clock", "CPU"), tpm),
        "What the hashing of this project costs, with a list of 300 to 5,300 records:\n", hashing(v),
        "Where the instructions to measure a file go, by sampling:\n",
        profile(v, "append", lambda kernel: v.costs(kernel, v.most, True))])


def plain(symbol):
    """A Rust symbol as the path that it is, nearly."""
    if not symbol.startswith("_R"):
        return symbol
    symbol = re.sub(r"(?<=[CM])s[0-9A-Za-z]*_|B[0-9A-Za-z]{0,3}_", "", symbol)
    words = []
    while found := re.search(r"(\d+)_?(\w*)", symbol):
        words.append(found[2][:int(found[1])])
        symbol = found[2][int(found[1]):]
    path = "::".join(words)
    return path if len(path) <= 60 else path[:57] + "..."


def profile(v, of, cost):
    """Where the instructions go: of each kernel, and of the functions that take most."""
    columns = []
    for kernel in "off", "on":
        rows = [row for row in v.rows if row["what"] == "profile" and row["kernel"] == kernel and row.get("of") == of]
        total = cost(kernel)
        columns.append({plain(row["symbol"]): row["samples"] / row["total"] * (total.median if total else 0)
                        for row in rows})
    names = sorted(set(columns[0]) | set(columns[1]), key=lambda name: (-max(c.get(name, 0) for c in columns), name))
    return table(("function", NAMES["off"], NAMES["on"]),
                 [(f"``{name}``", *(f"{column[name]:,.0f}" if name in column else "" for column in columns))
                  for name in names[:12]])


def hashing(v):
    whole = v.hashing("on")
    if not whole:
        return ""
    parts = {name: Stat([whole.median - v.hashing(f"on-without-{name}").median]) for name in ("segment-digest", "shadows")}
    rest = whole.median - v.hashing("off").median - sum(part.median for part in parts.values())
    rows = [(NAMES["off"], v.hashing("off")), ("SHA-256 of the segment", parts["segment-digest"]),
            ("shadow PCRs in sha1 and sha256", parts["shadows"]), ("all else, less what is saved", Stat([rest])),
            (NAMES["on"], whole)]
    return table(("", "instructions"), [(name, stat.text(0)) for name, stat in rows])


def latency(v):
    parts = [heading("What an append waits for"), image("kernel-latency.svg", "the longest append during an operation")]
    for instructions, unit, factor in (True, "thousand instructions", 1e-3), (False, "microseconds", 1e-3):
        rows = []
        sizes = sorted({*v.latency_sizes("on"), *v.latency_sizes("staging")})
        for kernel, operations in (("on", ("none", "growth", "checkpoint", "truncate", "config", "scope")),
                                   ("staging", ("none", "growth", "stage", "delete-staged", "delete"))):
            for operation in operations:
                waits = [v.longest(kernel, size, [operation], instructions).scaled(factor) for size in sizes]
                cells = [stat.text(0) if stat else "" for stat in waits]
                if any(cells):
                    rows.append((f"{NAMES[kernel]}, {operation}", *cells))
        if rows:
            parts += [f"The longest append during an operation, {unit}. Its repetitions are divided into fifths, each "
                      "with its longest append:\n", table(["", *(f"{size:,}" for size in sizes)], rows)]
    return "\n".join(parts)


def freeing(v):
    sizes = v.freed()
    rows = []
    for kernel in "staging", "staging+flush", "on", "on+live":
        rows += present((NAMES[kernel], *(v.freeing(kernel, size).scaled(1e-6).text() for size in sizes)))
        rows += present((f"{NAMES[kernel]}, until all is given back",
                         *(v.freeing(kernel, size, what="settle").scaled(1e-6).text() for size in sizes)))
    slopes = [f"{NAMES[kernel]} {v.freeing_a_record(kernel).text()}" for kernel in ("staging", "on")]
    return "\n".join([
        heading("Freeing"), image("kernel-free.svg", "time of the write that frees records"),
        "Milliseconds of the write that frees all records, by their number:\n",
        table(["", *(f"{size:,}" for size in sizes)], [[c.replace("not measured", "") for c in row] for row in rows]),
        f"Instructions a record: {', '.join(slopes)}. A chunk of {CHUNK // 1024} KiB has {CHUNK // RECORD} records.\n"])


def kexec(v):
    rows = []
    for what, name in ("dump", "dump"), ("resumed", "restore"):
        for instructions, unit, factor in (False, "ms", 1e-6), (True, "million instructions", 1e-6):
            cells = [v.handing(what, kernel, instructions).scaled(factor).text() for kernel in ("off", "on")]
            rows += present((f"{name}, {unit}", *cells))
    return "\n".join([
        heading("kexec"),
        f"What {v.most:,} records add to a kexec: writing the list for the next kernel, and its boot there until "
        "user space runs:\n", table(("", NAMES["off"], NAMES["on"]), rows)])


def write(data, output):
    """Puts the generated part into kernel.rst, and makes the plots."""
    v = Values(data)
    parts = [machine(v), heading("Goals"), goal_table(v), reading(v), memory(v), appending(v), latency(v), freeing(v),
             kexec(v)]
    text = "\n".join(parts)
    path = output / "kernel.rst"
    frame = path.read_text() if path.exists() else FRAME
    before, _, rest = frame.partition(BEGIN)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.partition(END)[2]}")
    plots.draw(v, output)
