"""An instrument's minutes as one SVG: spread and depth with and without affiliates, and how time was spent.

Numbers become floats here, where they become positions on paper; what is printed as a number never does.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from detectors.trading_day import day_bounds
from streams.report.queries import Scope
from streams.report.results import Minutes
from streams.text_table import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MINUTE = 60_000_000_000  # ns
INK, GRID = "#222222", "#dddddd"
WITH = ("#0b4f8a", "solid", "with affiliates")
WITHOUT = ("#c2571a", (0, (3, 1.2)), "without affiliates")
WHOLE = ("#3c6e3c", "solid", "whole book")
TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 180, 240)  # minutes
# How a minute was spent, from the bottom: column, colour, hatch (so that it reads in black and white, too).
TIMES = (
    ("two-sided in both, s", "#9ec5e8", ""),
    ("two-sided only with them, s", "#0b4f8a", ""),
    ("two-sided, not known whose, s", "#c9d9c3", ""),
    ("one-sided, s", "#f3c99b", ""),
    ("crossed, s", "#b3261e", ""),
    ("excluded, s", "#bdbdbd", "////"),
    ("unknown, s", "#ffffff", "\\\\"),
)
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],
    "font.size": 9,
    "svg.fonttype": "none",  # text stays text: small, searchable, in the reader's own fonts
    "hatch.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "path.simplify": False,
}


def svg(minutes: Minutes, scope: Scope, name: str) -> str:
    """Return the chart as an `<svg>` element, the same for the same numbers; `name` begins every id in it."""
    import matplotlib
    import matplotlib.style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.style.context(["default", {**STYLE, "svg.hashsalt": name}], after_reset=True):
        figure = Figure(figsize=(11.2, 5.4), layout="constrained")
        FigureCanvasSVG(figure)
        spread, depth, spent = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.5))
        edges, column = columns(minutes, scope)
        lines = [(column("spread with, bps"), *WITH), (column("spread without, bps"), *WITHOUT)]
        if minutes.of_whole_book:
            lines = [(column("spread of the whole book, bps"), *WHOLE)]
        _lines(spread, edges, lines, "spread, bps")
        _lines(
            depth, edges, [(column("depth with"), *WITH), (column("depth without"), *WITHOUT)], "depth, quote"
        )
        spread.legend(
            loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0.2, reverse=True
        )
        _spent(spent, edges, [column(title) for title, _, _ in TIMES])
        _clock(spent, edges, scope)
        text = io.StringIO()
        figure.savefig(
            text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    return _inline(text.getvalue(), name)


def description(minutes: Minutes) -> str:
    """Return what the chart shows, for those who do not see it; it names no number, the tables do."""
    clock = minutes.result.column("minute")
    return (
        f"{shown(minutes.instrument)}, minutes {clock[0]} to {clock[-1]}: time-weighted quoted spread, and "
        "displayed depth within 25 basis points of the mid on both sides together, each with and without the "
        "affiliates' orders; below, how each minute was spent. Least and greatest spreads are in the table "
        "of the charts' minutes."
    )


def columns(minutes: Minutes, scope: Scope) -> tuple[list[float], Any]:
    """Return the minutes' edges, in minutes of the day, and a function from column name to values.

    Minutes that the lake lacks are in between, without values: a line must not bridge them.
    """
    start, _ = day_bounds(scope.day, scope.zone)
    numbers = [(ns - start) // MINUTE for ns in minutes.result.column("minute_ns")]
    first, last = numbers[0], numbers[-1]

    def column(name: str) -> list[float]:
        found = dict(zip(numbers, minutes.result.column(name), strict=True))
        return [_float(found.get(number)) for number in range(first, last + 1)]

    return [float(number) for number in range(first, last + 2)], column


def _float(value: Decimal | None) -> float:
    return math.nan if value is None else float(value)


def _lines(axes: Axes, edges: Sequence[float], lines: Sequence[tuple[Any, ...]], what: str) -> None:
    for values, colour, dashes, label in reversed(lines):  # the first on top
        axes.stairs(values, edges, baseline=None, color=colour, linestyle=dashes, linewidth=1.3, label=label)
    if all(math.isnan(value) for values, *_ in lines for value in values):
        axes.text(0.5, 0.5, "none known", transform=axes.transAxes, ha="center", va="center", color="#777777")
        axes.set_yticks([0])
    axes.set_ylabel(what)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_formatter("{x:,.6g}")


def _spent(axes: Axes, edges: Sequence[float], kinds: Sequence[Sequence[float]]) -> None:
    floor = [0.0] * (len(edges) - 1)
    for (title, colour, hatch), values in zip(TIMES, kinds, strict=True):
        if not any(value > 0 for value in values):
            continue
        # Where nothing is added nothing is drawn: else each kind would cost a path over the whole day.
        roof = [low + value if value > 0 else math.nan for low, value in zip(floor, values, strict=True)]
        axes.stairs(
            roof, edges, baseline=floor, fill=True, facecolor=colour, edgecolor="#777777", linewidth=0,
            hatch=hatch or None, label=title.removesuffix(", s"),
        )  # fmt: skip
        floor = [low if math.isnan(high) else high for low, high in zip(floor, roof, strict=True)]
    axes.set_ylim(0, 60)
    axes.set_yticks([0, 30, 60])
    axes.set_ylabel("s of minute")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.45), ncols=6, frameon=False)


def _clock(axes: Axes, edges: Sequence[float], scope: Scope) -> None:
    """Label the venue's own time; on a day with daylight saving it is not the distance from midnight."""
    start, _ = day_bounds(scope.day, scope.zone)
    step = next((step for step in TICKS if (edges[-1] - edges[0]) / step <= 12), TICKS[-1])
    ticks = range(-(-int(edges[0]) // step) * step, int(edges[-1]) + 1, step)
    zone = ZoneInfo(scope.zone)
    times = [datetime.fromtimestamp((start + tick * MINUTE) // 1_000_000_000, UTC) for tick in ticks]
    axes.set_xticks(list(ticks), [f"{time.astimezone(zone):%H:%M}" for time in times])
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel(f"{scope.day}, {scope.zone}", loc="right")


def _inline(text: str, name: str) -> str:
    """Return the element without the file around it, its ids unlike those of other charts on the page."""
    text = text[text.index("<svg") :]
    # A style would be the whole page's.
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r'(?<= d=")[^"]*', _rounded, text)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(xlink:href="|url\()#', rf"\1#{name}-", text)
    return text.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def _rounded(path: re.Match[str]) -> str:
    """Return a path with two decimals of a point: finer than any screen or printer."""
    return re.sub(r"(\.\d\d)\d+", r"\1", path[0])
