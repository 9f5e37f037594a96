"""Draws an interval on an axis that may end before it does, and marks where it goes on; never cuts one unmarked."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.markers import CARETLEFTBASE, CARETRIGHTBASE


def interval(
    ax: Axes, low: float, high: float, y: float, *, colour: str, left: float, right: float, lw: float = 2
) -> Axes:
    """A level line from `low` to `high`, with a triangle outside each edge beyond which it goes on.

    Parameters
    ----------
    ax : Axes
    low, high : float
        Ends of the interval; one that lies wholly beyond an edge is not drawn, and left to its point's own mark.
    y : float
    colour : str
    left, right : float
        Where the axis ends; ``inf`` where it does not.
    lw : float, default 2
        Width of the line, points.
    """
    if high < left or low > right:
        return ax
    ax.plot([max(low, left), min(high, right)], [y, y], color=colour, lw=lw)
    for goes_on, edge, mark in ((low < left, left, CARETLEFTBASE), (high > right, right, CARETRIGHTBASE)):
        if goes_on:  # just outside, where no point can hide it
            ax.plot(edge, y, ls="", marker=mark, color=colour, ms=4 * lw, mew=0, clip_on=False)
    return ax
