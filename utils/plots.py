"""The course's figures. Colours and marks can be told apart without seeing colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator

from utils.assistant import SYSTEMS
from utils.exam import Interval
from utils.scoreboard import SYSTEMS as ROWS

MARKS = (("o", "#0072B2"), ("s", "#E69F00"), ("D", "0.45"), ("^", "#009E73"))


def resolution(sizes: Sequence[int], paired: Sequence[float], apart: Sequence[float],
               title: str) -> None:
    """How many exams show a difference, by the number of questions."""
    figure, axes = plt.subplots(figsize=(7, 3))
    axes.semilogx(sizes, paired, "o-", color="#0072B2", label="same questions, paired")
    axes.semilogx(sizes, apart, "s--", color="#E69F00", label="separate exams")
    axes.axhline(0.8, color="0.6", linestyle=":", linewidth=1)
    ticks = [n for n in (20, 100, 500, 2000) if sizes[0] <= n <= sizes[-1]]
    axes.set(xlabel="questions in the exam", ylabel="share of exams that show it",
             ylim=(0, 1.02), xticks=ticks, xticklabels=[f"{n:,}" for n in ticks], title=title)
    axes.legend(frameon=False)
    plt.show()


def ladder(rungs: Mapping[str, Mapping[str, Interval]], tokens: Sequence[float],
           milliseconds: Sequence[float], metrics: Sequence[str], titles: tuple[str, str]) -> None:
    """One row a rung: its metrics with their intervals, beside it the price of its prompt."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="tight")
    for shift, (metric, (mark, colour)) in enumerate(zip(metrics, MARKS, strict=False)):
        for place, found in enumerate(rungs.values()):
            cell, row = found[metric], place + shift / 5
            left.plot([cell.low, cell.high], [row, row], color=colour)
            left.plot(cell.value, row, mark, color=colour, label=None if place else metric)
    middle = [place + (len(metrics) - 1) / 10 for place in range(len(rungs))]
    right.barh(middle, tokens, 0.5, color="0.8")
    for row, spent in zip(middle, milliseconds, strict=True):
        right.text(max(tokens) / 50, row, f"{spent:.0f} ms", va="center")
    left.set(yticks=middle, yticklabels=list(rungs), xlim=(-0.03, 1.03), title=titles[0],
             xlabel="share of questions, with 95 % interval")
    right.set(xlabel="prompt tokens a question", title=titles[1])
    left.invert_yaxis()
    left.legend(frameon=False, fontsize=8)
    plt.show()


def budgets(recall: Mapping[int, Mapping[str, float]], title: str) -> None:
    """Recall by the number of words delivered, one line a way of cutting."""
    figure, axes = plt.subplots(figsize=(7.5, 3.6), layout="tight")
    words, lines = list(recall), ("-", "--", ":")
    for place, name in enumerate(recall[words[0]]):
        mark, colour = MARKS[place % len(MARKS)]
        axes.semilogx(words, [recall[w][name] for w in words], mark, color=colour, label=name,
                      linestyle=lines[place // len(MARKS) % len(lines)], markersize=5)
    axes.set(xlabel="words delivered to the model", ylabel="recall of gold characters",
             ylim=(0, 1), xticks=words, xticklabels=[f"{n:,}" for n in words], title=title)
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    plt.show()


def by_kind(cells: Mapping[str, Mapping[str, Interval]], title: str) -> None:
    """One row a way of searching, one column a kind of question; the best of a column is bold."""
    rows, columns = list(cells), list(next(iter(cells.values())))
    values = [[cells[row][column].value for column in columns] for row in rows]
    figure, axes = plt.subplots(figsize=(8.5, 0.5 * len(rows) + 1.2), layout="tight")
    axes.imshow(values, cmap="Greys", vmin=0, vmax=1.6, aspect="auto")
    for j in range(len(columns)):
        best = max(line[j] for line in values)
        for i, line in enumerate(values):
            axes.text(j, i, f"{line[j]:.2f}", ha="center", va="center",
                      weight="bold" if round(line[j], 2) == round(best, 2) else "normal")
    axes.set(xticks=range(len(columns)), yticks=range(len(rows)), yticklabels=rows, title=title)
    axes.set_xticklabels([c.replace("_", "\n") for c in columns], fontsize=9)
    axes.tick_params(length=0)
    plt.show()


def losses(points: Sequence, title: str) -> None:
    """The loss of a training and of its validation examples, by epoch."""
    figure, axes = plt.subplots(figsize=(7, 3), layout="tight")
    for name, key, (mark, colour) in (("training examples", "loss", MARKS[1]),
                                      ("validation examples", "validation", MARKS[0])):
        seen = [(p.epoch, getattr(p, key)) for p in points if getattr(p, key) is not None]
        axes.semilogy(*zip(*seen, strict=True), marker=mark, color=colour, label=name,
                      linestyle="--" if key == "loss" else "-")
    axes.set(xlabel="epoch", ylabel="loss per token (log)", title=title)
    axes.legend(frameon=False)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")  # and not 5 × 10⁰
    axes.yaxis.set_minor_formatter("")
    plt.show()


def by_size(sizes: Sequence[int], curves: Mapping[str, Sequence[Interval]], title: str) -> None:
    """Shares with their intervals by the number of training examples."""
    figure, axes = plt.subplots(figsize=(7, 3.2), layout="tight")
    for shift, (name, found), (mark, colour) in zip(range(len(curves)), curves.items(), MARKS,
                                                    strict=False):
        at = [size * (1 + shift / 25) for size in sizes]
        axes.vlines(at, [f.low for f in found], [f.high for f in found], color=colour)
        axes.semilogx(at, [f.value for f in found], mark, linestyle="-", color=colour, label=name)
    axes.set(xlabel="training examples", ylabel="share of messages, 95 % interval",
             ylim=(-0.03, 1.03), xticks=sizes, xticklabels=[str(n) for n in sizes], title=title)
    axes.minorticks_off()
    axes.legend(frameon=False)
    plt.show()


def differences(gaps: Mapping[str, Interval], title: str, label: str) -> None:
    """One row a variant: its difference from the reference, which is the line at zero."""
    figure, axes = plt.subplots(figsize=(7, 0.4 * len(gaps) + 1.2), layout="tight")
    axes.axvline(0, color="0.6", linestyle=":")
    for row, gap in enumerate(gaps.values()):
        mark, colour = ("o", "0.45") if gap.low <= 0 <= gap.high else (
            ("s", "#E69F00") if gap.value > 0 else ("D", "#0072B2"))
        axes.plot([gap.low, gap.high], [row, row], color=colour)
        axes.plot(gap.value, row, mark, color=colour)
    axes.set(yticks=range(len(gaps)), yticklabels=list(gaps), xlabel=label, title=title)
    axes.invert_yaxis()
    axes.margins(y=0.15)
    plt.show()


def attention(weights: Sequence[Sequence[float]], written: Sequence[str], read: Sequence[str],
              title: str) -> None:
    """What each written token looks at: one row a written token, one column a token read."""
    figure, axes = plt.subplots(figsize=(9, 0.24 * len(written) + 1.6), layout="tight")
    axes.imshow(weights, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    axes.set(xticks=range(len(read)), yticks=range(len(written)), title=title,
             xlabel="tokens of the passages", ylabel="token just written")
    axes.set_xticklabels(read, rotation=90, fontsize=8)
    axes.set_yticklabels(written, fontsize=8)
    axes.tick_params(length=0)
    plt.show()


def training(losses: Mapping[str, tuple[Sequence[float], Sequence[float]]],
             shares: Mapping[str, tuple[Sequence[float], Sequence[float]]],
             titles: tuple[str, str], share: str) -> None:
    """A training as it went, by millions of tokens: losses on the left, shares on the right."""
    figure, both = plt.subplots(1, 2, figsize=(9, 3.2), layout="tight")
    for axes, lines, title, label in zip(both, (losses, shares), titles,
                                         ("loss (nats a token)", share), strict=True):
        for (name, (tokens, values)), (mark, colour) in zip(lines.items(), MARKS, strict=False):
            axes.plot([n / 1e6 for n in tokens], values, f"{mark}-", color=colour, markersize=4,
                      label=name)
        axes.set(xlabel="million tokens seen", ylabel=label, title=title)
        axes.legend(frameon=False, fontsize=8)
    both[0].set_ylim(bottom=0)
    both[1].set_ylim(-0.02, 1.02)
    plt.show()


def years(updates: Sequence[int], hours: Mapping[str, Sequence[float]], title: str) -> None:
    """Hours of computing in a year by the number of updates, one line a system."""
    figure, axes = plt.subplots(figsize=(7.5, 3.4), layout="tight")
    lines = ("-", "--", ":", "-.")
    for name, (mark, colour), line in zip(hours, MARKS, lines, strict=False):
        axes.loglog(updates, hours[name], mark, color=colour, linestyle=line, label=name)
    axes.set(xlabel="updates of the documents in a year", ylabel="hours of computing",
             xticks=updates, xticklabels=[f"{n:,}" for n in updates], title=title)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    plt.show()


def systems(board: Mapping, metrics: Sequence[str], title: str, file: Path | None = None) -> None:
    """The scoreboard: a panel a metric, a row a system with its interval; last what asking costs.

    The mark says which sockets a system has filled. With `file` the figure is kept there, too.
    """
    filled = ("neither socket filled", "retriever", "adapter", "both")
    names = [name for name in ROWS if name in board["systems"]]
    figure, grid = plt.subplots(-(-(len(metrics) + 1) // 4), 4, figsize=(11, 5.4), sharey=True,
                                layout="constrained", squeeze=False)
    for axes, metric in zip(grid.flat, metrics, strict=False):
        for row, name in enumerate(names):
            mark, colour = MARKS[_sockets(name)]
            cell = board["systems"][name].get(metric)
            if cell:
                axes.plot([cell["low"], cell["high"]], [row, row], color=colour)
                axes.plot(cell["value"], row, mark, color=colour)
        lower = " (lower is better)" if metric == "invents" else ""
        axes.set(xlim=(-0.04, 1.04), title=metric + lower)
    costs, *unused = grid.flat[len(metrics):]
    spent = [board["costs"].get(name, {}).get("ms_per_question") for name in names]
    costs.barh(range(len(names)), [ms or 0 for ms in spent], 0.5, color="0.75")
    for row, ms in enumerate(spent):
        costs.text(0, row, " –" if ms is None else f" {ms:.0f}", va="center", fontsize=8)
    costs.set(title="milliseconds a question")
    for axes in grid.flat:
        axes.grid(axis="x", alpha=0.3)
    for axes in unused:
        axes.set_visible(False)
    grid[0, 0].set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6))
    marks = [plt.Line2D([], [], marker=mark, color=colour, label=label)
             for (mark, colour), label in zip(MARKS, filled, strict=True)]
    figure.legend(handles=marks, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(title + "\n(share of questions, with 95 % interval)")
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=150)
    plt.show()


def _sockets(name: str) -> int:
    """0 for neither, 1 for the retriever, 2 for the adapter, 3 for both."""
    name = "rag" if name == "formed" else name  # the same socket, and a program behind it
    return SYSTEMS[name].searches + 2 * bool(SYSTEMS[name].adapter)
