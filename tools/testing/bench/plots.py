# SPDX-License-Identifier: GPL-2.0
"""Plots that show the point without the table."""

import logging
import statistics

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter

from figures import ASCII, BINARY, RECORD, Stat

OURS, THEIRS, STAGING, OTHER = "#0072b2", "#d55e00", "#cc79a7", "#777777"
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # the viewer's fonts may not be here
plt.rcParams |= {
    "svg.fonttype": "none", "svg.hashsalt": "ima-checkpoint", "font.family": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 11, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 13,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.grid": True, "grid.color": "#e5e5e5",
    "axes.axisbelow": True, "figure.facecolor": "white", "lines.linewidth": 2, "lines.markersize": 6,
    "axes.edgecolor": "#555555", "figure.constrained_layout.use": True}


def short(number, _=None):
    for size, unit in (1_000_000, "M"), (1000, "k"):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"


def seconds(value, _=None):
    for size, unit in (1, "s"), (1e-3, "ms"), (1e-6, "µs"):
        if value >= size * 0.999:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def lengths(axes, sizes):
    axes.set_xscale("log")
    axes.set_xticks(sizes, [short(size) for size in sizes])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.set_xlabel("records in the list")


def line(axes, points, color, label, style="-", above=True):
    """Medians with their spread; the label stands at the last point."""
    points = [(x, stat) for x, stat in points if stat]
    if not points:
        return []
    xs, medians = [x for x, _ in points], [stat.median for _, stat in points]
    low = [stat.median - min(stat.values) for _, stat in points]
    high = [max(stat.values) - stat.median for _, stat in points]
    axes.errorbar(xs, medians, yerr=[low, high], color=color, fmt="o", linestyle=style, capsize=3)
    axes.annotate(label, (xs[-1], medians[-1]), xytext=(8, 0), textcoords="offset points", color=color, va="center",
                  fontweight="bold")
    return points


def room(axes, factor):
    """For the labels right of the last points."""
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * factor)


def save(figure, output, name):
    path = output / f"kernel-{name}.svg"
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    head, _, rest = path.read_text().partition("\n")
    text = f"{head}\n<!-- SPDX-License-Identifier: GPL-2.0 -->\n{rest}"
    path.write_text("\n".join(row.rstrip() for row in text.splitlines()) + "\n")


def read(v, output):
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8), sharey=True)
    sizes = list(dict.fromkeys((*v.records, v.big)))
    for axes, file, name in (left, f"{BINARY}_sha1", "binary"), (right, f"{ASCII}_sha1", "ASCII"):
        def points(kernel, what):
            return [(size, Stat(list(v.reading(kernel, what, size).values())).scaled(1e-9)) for size in sizes]

        line(axes, points("off", file), THEIRS, "upstream")
        line(axes, points("on", file), OURS, "ima-checkpoint")
        if axes is left:
            tmpfs = [(x, stat) for x, stat in points("on", "tmpfs") if stat]
            if tmpfs:
                axes.plot([x for x, _ in tmpfs], [stat.median for _, stat in tmpfs], color=OTHER, linestyle=":")
                axes.annotate("a file on tmpfs", (tmpfs[-1][0], tmpfs[-1][1].median), xytext=(8, -14),
                              textcoords="offset points", color=OTHER)
        faster = v.faster(file, v.most)
        axes.set_title(f"{name}: {faster.median:,.0f} times faster at {short(v.most)}" if faster else name)
        axes.set_yscale("log")
        lengths(axes, sizes)
        axes.yaxis.set_major_formatter(FuncFormatter(seconds))
        room(axes, 8)
    left.set_ylabel("to read the list whole")
    save(figure, output, "read")


def memory(v, output):
    bars = []
    for kernel, name, states, color in (
            ("staging", "upstream", {"live": "live"}, THEIRS),
            ("staging", "upstream's staging", {"freed": "deleted"}, STAGING),
            ("staging+flush", "  ima_flush_htable", {"freed": "deleted"}, STAGING),
            ("on", "ima-checkpoint", {"live": "live", "sealed": "sealed", "freed": "freed"}, OURS),
            ("on+live", "  duplicate_scope=live", {"freed": "freed"}, OURS)):
        for state, said in states.items():
            stat = v.held(kernel, state, v.most)
            if stat:
                bars.append((f"{name}, {said}", stat, color))
    figure, axes = plt.subplots(figsize=(9, 0.6 + 0.5 * max(len(bars), 3)))
    for place, (name, stat, color) in enumerate(reversed(bars)):
        axes.barh(place, max(stat.median, 0), color=color, height=0.65)
        axes.annotate(f"{max(stat.median, 0):.0f}", (max(stat.median, 0), place), xytext=(5, 0),
                      textcoords="offset points", va="center", color=color, fontweight="bold")
    axes.set_yticks(range(len(bars)), [name for name, _, _ in reversed(bars)])
    axes.axvline(RECORD, color=OTHER, linestyle=":")
    axes.annotate(f"its {RECORD} bytes in the list", (RECORD, 0), xytext=(5, 0), textcoords="offset points",
                  color=OTHER, va="center")
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("bytes of kernel memory a record")
    live, theirs = v.held("on", "live", v.most), v.held("staging", "live", v.most)
    axes.set_title(f"A live record takes {live.median / theirs.median:.0%} of upstream's memory" if live and theirs
                   else "Memory of a record")
    save(figure, output, "memory")


def append(v, output):
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.8))
    sizes = v.records
    for axes, name, unit, factor, cost in (
            (panels[0], "CPU time", "µs", 1e-3, lambda kernel, size: v.costs(kernel, size, False, "cpu")),
            (panels[1], "instructions", "thousand instructions", 1e-3, lambda kernel, size: v.costs(kernel, size, True))):
        theirs = line(axes, [(s, cost("off", s).scaled(factor)) for s in sizes], THEIRS, "upstream")
        ours = line(axes, [(s, cost("on", s).scaled(factor)) for s in sizes], OURS, "ima-checkpoint")
        idle = cost("off", 0).scaled(factor)
        if idle:
            axes.axhline(idle.median, color=OTHER, linestyle=":")
            axes.annotate("the same without measuring", (sizes[0], idle.median), xytext=(0, 5),
                          textcoords="offset points", color=OTHER)
        axes.set_ylim(0)
        lengths(axes, sizes)
        room(axes, 5)
        axes.set_ylabel(f"to measure a file, {unit}")
        title = name
        if ours and theirs:
            first, last = (ours[at][1].median / theirs[at][1].median for at in (0, -1))
            title = f"{name}: {first:.2f} times upstream's at {short(sizes[0])}, {last:.2f} at {short(sizes[-1])}"
        axes.set_title(title, fontsize=11)
    save(figure, output, "append")


def latency(v, output):
    figure, axes = plt.subplots(figsize=(8, 4.8))
    sizes = v.latency_sizes("on")
    names = {"none": ("nothing", OTHER, ":"), "checkpoint": ("a checkpoint", OURS, "-"),
             "truncate": ("a truncation", "#009e73", "-"), "config": ("a setting", STAGING, "-")}
    ends = []
    for operation, (name, color, style) in names.items():
        points = [(size, v.longest("on", size, [operation])) for size in sizes]
        points = [(size, stat.median / 1e3) for size, stat in points if stat]
        if points:
            axes.plot(*zip(*points), color=color, linestyle=style, marker="o")
            ends.append([points[-1][1], name, color, points[-1][0]])
    axes.set_ylim(0)
    apart, last = axes.get_ylim()[1] * 0.055, None
    for end in sorted(ends):
        end[0] = end[0] if last is None else max(end[0], last + apart)
        last = end[0]
        axes.annotate(f"during {end[1]}", (end[3], end[0]), xytext=(8, 0), textcoords="offset points",
                      color=end[2], va="center", fontweight="bold")
    if sizes:
        lengths(axes, sizes)
        room(axes, 30)
    axes.set_ylabel("longest append, thousand instructions")
    few, many = (v.longest("on", size, ["checkpoint"]) for size in ((sizes[0], sizes[-1]) if sizes else (0, 0)))
    axes.set_title(f"Longest append during a checkpoint: {many.median / few.median:.2f} times as long at "
                   f"{short(sizes[-1])} as at {short(sizes[0])}" if few and many else "Longest append")
    save(figure, output, "latency")


def free(v, output):
    figure, axes = plt.subplots(figsize=(8, 4.8))
    sizes = v.freed()
    for kernel, color, name in ("staging", STAGING, "upstream's staging"), ("on", OURS, "ima-checkpoint"):
        line(axes, [(size, v.freeing(kernel, size).scaled(1e-9)) for size in sizes], color, name)
    axes.set_yscale("log")
    lengths(axes, sizes)
    axes.yaxis.set_major_formatter(FuncFormatter(seconds))
    room(axes, 8)
    axes.set_xlabel("records freed")
    axes.set_ylabel("the write that frees them")
    ours, theirs = v.freeing("on", v.most), v.freeing("staging", v.most)
    axes.set_title(f"Freeing {short(v.most)} records: {theirs.median / ours.median:.1f} times faster than upstream"
                   if ours and theirs else "Freeing records")
    save(figure, output, "free")


def draw(v, output):
    for plot in (read, memory, append, latency, free):
        plot(v, output)
