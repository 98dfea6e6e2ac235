# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""What samples amount to: ratios with intervals, and whether they are what is asked.

A series is what was measured at one point (figure, operation, size) of one side: a list of runs, each a list of
samples. Sides that were sampled in turn, in one run, are compared round by round, so that what slows this machine
down for a while slows both. Where each side wants a boot of its own, boots take turns and their medians are compared.
"""

import math
import random
import re
import statistics

RESAMPLES = 2000
CONFIDENCE = 0.95
MIB = 1 << 20


class Comparison:
    """A figure, its baseline, how a ratio is made of it and what is asked of that.

    speed: the baseline's time over the side's, so more is better. share: the side's over the baseline's; less is.
    """

    def __init__(self, figure, what, kind, baseline, asked="", sides=(), sizes=(), operations=()):
        self.figure = figure
        self.what = what
        self.kind = kind
        self.baseline = baseline  # where there are several, the best of them
        self.asked = asked
        self.sides = sides  # of which it is asked; all, if none is named
        self.sizes = sizes
        self.operations = operations

    def asked_of(self, operation, size, side):
        """Empty where nothing is asked."""
        for wanted, this in ((self.operations, operation), (self.sizes, size), (self.sides, side)):
            if wanted and this not in wanted:
                return ""
        return self.asked


COMPARISONS = [
    Comparison("bandwidth", "RDMA bandwidth, to a region of host memory's", "speed", ("host",), ">= 0.97", ("bar-nc", "bar-wc")),
    Comparison("delivery-latency", "one message until it is in the device: receive and copy, to RDMA straight there", "speed",
               ("staged",), "> 1"),
    Comparison("delivery-bandwidth", "eight messages until they are in the device: receive and copy, to RDMA straight there",
               "speed", ("staged",), "> 1"),
    Comparison("delivery-bytes", "bytes copied at the receiving side", "share", ("staged",)),
    Comparison("register", "time to register, to host memory's", "share", ("host",), "<= 0.05", sizes=(64 * MIB,)),
    Comparison("memory", "memory held for a registered gigabyte, to host memory's", "share", ("host",), "<= 0.01",
               operations=("all",)),
    Comparison("host", "host memory only: the kernel without the series, to the one with it", "speed", ("plain",), ">= 0.97"),
    Comparison("faults", "faults to touch 64 MiB, to the mmap of the region", "share", ("region",), "<= 32/16384"),
    Comparison("map", "time to map, and to touch, 64 MiB: the mmap of the region, to a buffer's", "speed", ("region",)),
    Comparison("copy", "copies into a mapping: the better of memcpy and a streaming loop, to peerbar_copy_to()", "speed",
               ("memcpy", "streaming-loop"), ">= 1"),
    Comparison("doorbell", "instructions of a 64-byte doorbell, to four stores between two fences", "share", ("four-stores",),
               "<= 1"),
]


class Growth:
    """How a side's cost grows from one size to a larger one: the ratio of the costs, or of the costs per item."""

    def __init__(self, figure, what, sides, sizes, asked, per_item=False):
        self.figure = figure
        self.what = what
        self.sides = sides
        self.sizes = sizes  # small, large
        self.asked = asked
        self.per_item = per_item


GROWTHS = [
    Growth("register", "time to register a part of a BAR, to a small one: flat", ("bar",), (MIB, 64 * MIB), "<= 2"),
    Growth("register", "time to register a part of a BAR, to a small one: flat", ("bar",), (MIB, 1024 * MIB), "<= 2"),
    Growth("revoke", "time of a revoke per user of the buffer: 1000 users, to 100: linear", ("revoke",), (100, 1000), "<= 2",
           per_item=True),
]


def limit_of(asked):
    """("<=", 0.002) of "<= 32/16384"."""
    sign, number = asked.split()
    above, _, below = number.partition("/")
    return sign, float(above) / float(below or 1)


def holds(asked, value):
    sign, limit = limit_of(asked)
    return {">=": value >= limit, ">": value > limit, "<=": value <= limit}[sign]


def verdict(asked, ratio):
    """Missed only when no value of the interval would do."""
    if not asked:
        return ""
    if holds(asked, ratio["median"]):
        return "met"
    within_reach = holds(asked, ratio["high"]) or holds(asked, ratio["low"])
    return "unclear" if within_reach else "missed"


# Statistics.


def summary(samples):
    if len(samples) < 2:
        return {"median": samples[0], "quartiles": [samples[0], samples[0]]}
    quartiles = statistics.quantiles(samples, n=4, method="inclusive")
    return {"median": quartiles[1], "quartiles": [quartiles[0], quartiles[2]]}


def interval(estimates):
    estimates.sort()
    cut = int(len(estimates) * (1 - CONFIDENCE) / 2)
    return estimates[cut], estimates[-1 - cut]


def resampled(samples, chance):
    return [samples[chance.randrange(len(samples))] for _ in samples]


def bootstrap(estimate, *groups):
    """The estimate, and its interval by drawing each group of samples again and again. Repeatable."""
    chance = random.Random(1)
    low, high = interval([estimate(*(resampled(g, chance) for g in groups)) for _ in range(RESAMPLES)])
    return {"median": estimate(*groups), "low": low, "high": high}


def divide(a, b):
    return a / b if b else math.inf if a else 1.0


def flat(runs):
    return [sample for run in runs for sample in run]


def paired_ratio(above, below):
    """Of each round, if the sides took turns; of each pair of boots, if those did."""
    if min(len(above), len(below)) > 1:
        pairs = [divide(statistics.median(a), statistics.median(b)) for a, b in zip(above, below)]
    else:
        pairs = [divide(a, b) for a, b in zip(above[0], below[0])]
    return bootstrap(statistics.median, pairs)


# From series to results.


class Series:
    def __init__(self):
        self.runs = {}
        self.units = {}

    def add(self, suite, line):
        """A line of a benchmark program."""
        key = (suite, line["figure"], line["operation"], line["size"], line["side"])
        self.runs.setdefault(key, []).append(line["samples"])
        self.units[key] = line["unit"]

    def order(self, entry):
        """Results of a suite stand together, suites in the order in which they ran."""
        return [key[0] for key in self.runs].index(entry["suite"])

    def points(self, figure):
        """{(suite, operation, size): {side: runs}}"""
        points = {}
        for (suite, name, operation, size, side), runs in self.runs.items():
            if name == figure:
                points.setdefault((suite, operation, size), {})[side] = runs
        return points

    def dump(self):
        names = ("suite", "figure", "operation", "size", "side")
        return [{**dict(zip(names, key)), "unit": self.units[key], "runs": runs} for key, runs in self.runs.items()]

    def load(self, entries):
        for entry in entries:
            for run in entry["runs"]:
                self.add(entry["suite"], {**entry, "samples": run})


def result(suite, figure, what, operation, size, side, baseline, ratio, asked):
    return {
        "suite": suite,
        "figure": figure,
        "what": what,
        "operation": operation,
        "size": size,
        "side": side,
        "baseline": baseline,
        "ratio": ratio,
        "asked": asked,
        "verdict": verdict(asked, ratio),
    }


def compare(comparison, suite, operation, size, sides):
    there = [b for b in comparison.baseline if b in sides]
    if not there:
        return
    best = min(there, key=lambda b: statistics.median(flat(sides[b])))
    for side in sides:
        if side in comparison.baseline:
            continue
        above, below = (sides[best], sides[side]) if comparison.kind == "speed" else (sides[side], sides[best])
        asked = comparison.asked_of(operation, size, side)
        yield result(suite, comparison.figure, comparison.what, operation, size, side, best, paired_ratio(above, below), asked)


def growth_ratio(growth, small, large, none):
    """Of medians; per item beyond what it costs with none."""
    if not growth.per_item:
        return bootstrap(lambda s, l: divide(statistics.median(l), statistics.median(s)), small, large)

    def estimate(s, l, n):
        base = statistics.median(n)
        of_small = (statistics.median(s) - base) / growth.sizes[0]
        return divide((statistics.median(l) - base) / growth.sizes[1], of_small)

    return bootstrap(estimate, small, large, none)


def grow(growth, points):
    for suite, operation in sorted({(s, o) for s, o, _ in points}):
        for side in growth.sides:
            small, large, none = (
                flat(points.get((suite, operation, size), {}).get(side, [])) for size in (*growth.sizes, 0)
            )
            if not small or not large or (growth.per_item and not none):
                continue
            ratio = growth_ratio(growth, small, large, none)
            yield result(suite, growth.figure, growth.what, operation, growth.sizes[1], side,
                         (str(growth.sizes[0]) if growth.per_item else size_name(growth.sizes[0])) + "'s", ratio, growth.asked)


def judge(series):
    results = []
    for comparison in COMPARISONS:
        for (suite, operation, size), sides in series.points(comparison.figure).items():
            results += compare(comparison, suite, operation, size, sides)
    for growth in GROWTHS:
        results += grow(growth, series.points(growth.figure))
    return sorted(results, key=series.order)


def lines_through(series, figure):
    """Least squares through the medians of a figure over its sizes, per operation."""
    by_operation = {}
    for (suite, operation, size), sides in series.points(figure).items():
        for side, runs in sides.items():
            by_operation.setdefault((suite, operation, side), []).append((size, statistics.median(flat(runs))))
    fits = []
    for (suite, operation, side), points in by_operation.items():
        if len(points) < 3:
            continue
        xs, ys = zip(*sorted(points))
        slope, intercept = statistics.linear_regression(xs, ys)
        fits.append({"suite": suite, "figure": figure, "operation": operation, "side": side, "points": sorted(points),
                     "slope": slope, "intercept": intercept, "r_squared": statistics.correlation(xs, ys) ** 2})
    return fits


def size_name(size):
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit and size % unit == 0:
            return "%d %s" % (size // unit, name)
    return "%d B" % size


def number_name(value):
    """Four digits, and no more zeros than a reader can count."""
    text = "%.4g" % value
    return re.sub(r"e([+-])0*(\d)", r"e\1\2", text)
