# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Plots of the results: per suite, a panel for each figure with every ratio, its interval and what is asked."""

import os

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402 # after the choice of what draws

import bench_judge

WIDTH = 10
ROW_INCHES = 0.24
PANEL_INCHES = 1.1
FIT_INCHES = 4
WIDE_RANGE = 8  # beyond it a linear axis shows nothing
COLOURS = {"met": "tab:green", "missed": "tab:red", "unclear": "tab:orange", "": "tab:blue"}
# Text stays text, and two runs over the same samples give the same file.
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "peerbar", "font.size": 8}


def panels_of(results):
    """[(what, [result])], in the order of the results."""
    panels = {}
    for r in results:
        panels.setdefault(r["what"], []).append(r)
    return list(panels.items())


def is_wide(results):
    values = [v for r in results for v in (r["ratio"]["low"], r["ratio"]["high"])]
    return min(values) > 0 and max(values) / min(values) > WIDE_RANGE


def draw_ratios(axes, what, results, point_name):
    axes.set_title(what, loc="left")
    for row, r in enumerate(results):
        ratio = r["ratio"]
        spread = [[max(0, ratio["median"] - ratio["low"])], [max(0, ratio["high"] - ratio["median"])]]
        axes.errorbar(ratio["median"], row, xerr=spread, fmt="o", markersize=4, capsize=3, color=COLOURS[r["verdict"]])
        if r["asked"]:
            limit = bench_judge.limit_of(r["asked"])[1]
            axes.plot([limit, limit], [row - 0.45, row + 0.45], color="black", linewidth=1)
    if is_wide(results):
        axes.set_xscale("log")
    axes.set_yticks(range(len(results)), ["%s: %s" % (point_name(r), r["side"]) for r in results])
    axes.set_ylim(len(results) - 0.4, -0.6)
    axes.set_xlabel("ratio; the bar is what is asked")
    axes.grid(axis="x", linewidth=0.3)


def draw_fits(axes, fits):
    axes.set_title("time of a revoke over how many have the buffer, and straight lines through it", loc="left")
    for fit in fits:
        xs, ys = zip(*[(max(x, 1), y / 1e3) for x, y in fit["points"]])
        points = axes.plot(xs, ys, "o", markersize=4, label=fit["operation"])
        line = [(fit["intercept"] + fit["slope"] * x) / 1e3 for x, _ in fit["points"]]
        axes.plot(xs, line, linewidth=0.7, color=points[0].get_color())
    axes.set_xscale("log")
    axes.set_yscale("log", nonpositive="mask")
    axes.set_xlabel("users (none is drawn at 1)")
    axes.set_ylabel("microseconds")
    axes.legend()
    axes.grid(linewidth=0.3)


def plot_suite(suite, results, fits, folder, point_name):
    panels = panels_of(results)
    heights = [PANEL_INCHES + ROW_INCHES * len(rows) for _, rows in panels] + [FIT_INCHES] * bool(fits)
    figure, axes = pyplot.subplots(
        len(heights), 1, squeeze=False, figsize=(WIDTH, sum(heights)), height_ratios=heights, layout="constrained"
    )
    for (what, rows), ax in zip(panels, axes[:, 0]):
        draw_ratios(ax, what, rows, point_name)
    if fits:
        draw_fits(axes[-1, 0], fits)
    figure.savefig(os.path.join(folder, suite + ".svg"), metadata={"Date": None})
    figure.savefig(os.path.join(folder, suite + ".png"), dpi=120)
    pyplot.close(figure)


def plot(document, folder, point_name):
    with matplotlib.rc_context(STYLE):
        for suite in dict.fromkeys(r["suite"] for r in document["results"]):
            results = [r for r in document["results"] if r["suite"] == suite]
            fits = [f for f in document["fits"] if f["suite"] == suite]
            plot_suite(suite, results, fits, folder, point_name)
