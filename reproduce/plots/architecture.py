"""Draws the two networks, PMI and GAIN-GTEx, with the code's own names and sizes; never trains one, types no number.

Whatever a drawing says of a network (layers, widths, embedding sizes, inputs, parameters, rates) is read from the
network that `reproduce.imputers.make_imputer` would train on the given inputs. Equations are those of
`reproduce.models.pmi` and `reproduce.models.gain` (Viñas et al. 2021, Methods and figure 1). Coordinates are inches,
so that text keeps its place at the sizes in `SIZE`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from reproduce.errors import ConfigError
from reproduce.experiments.trials import COVARIATES
from reproduce.imputers import make_imputer
from reproduce.imputers._covariates import CovariateEncoder
from reproduce.plots import PALETTE

#: Inches of a figure in which one drawing fills the only axis; arguments of `reproduce.plots.new_figure`.
SIZE = MappingProxyType({
    "pmi": MappingProxyType({"width": 10.4, "height": 4.7}),
    "gain": MappingProxyType({"width": 10.4, "height": 7.3}),
})  # fmt: skip
_GREY = "#666666"
_TINT = 0.16  # share of the method's colour in its boxes: text on them stays black on nearly white
_LINE = 0.155  # inches from line to line


@dataclass(frozen=True)
class NetworkInputs:
    """What of a cohort decides a network's layout.

    Parameters
    ----------
    n_genes : int
    categories : mapping of str to int
        Number of categories of each categorical covariate, by its name.
    numeric : tuple of str
        Names of the numeric covariates.
    """

    n_genes: int
    categories: Mapping[str, int] = field(default_factory=dict)
    numeric: tuple[str, ...] = ()


def inputs_of(cohort: AnnData) -> NetworkInputs:
    """Genes and covariates of a cohort (n_samples, n_genes), as the imputers encode them.

    Raises
    ------
    CovariateError
        For a covariate that cannot be encoded.
    """
    encoder = CovariateEncoder().fit(cohort.obs[list(COVARIATES)])
    categories = {name: len(texts) for name, texts in encoder.categories_.items()}
    return NetworkInputs(cohort.n_vars, categories, tuple(encoder.scales_))


# --- what is said of a network ---


def _network(method: str, inputs: NetworkInputs, hyperparameters: Mapping[str, object]):
    """The network that is trained where the fitted rows are complete, and the settings where they have holes."""
    from reproduce.models.layers import NetworkShape

    imputer = make_imputer(method, **hyperparameters)
    imputer._check_parameters()
    shape = NetworkShape(inputs.n_genes, tuple(inputs.categories.values()), len(inputs.numeric))
    return imputer._network_class()(shape, imputer._network_settings(True)), imputer._network_settings(False)


def _parameters(network) -> str:
    return f"{sum(int(np.prod(weight.shape)) for weight in network.trainable_weights):,}"


def _hidden_lines(hidden, n_inputs: int) -> list[str]:
    """A `reproduce.models.layers.HiddenLayers` from its inputs to its outputs."""
    settings, last = hidden.settings, f"Dense, {hidden.output_layer.units} (linear)"
    if not settings.n_layers:
        return [f"{n_inputs} inputs", "", last]
    steps = [f"Dense, {settings.n_units} units"]
    steps += ["BatchNormalization"] if settings.batch_normalization else []
    steps += ["ReLU"] + ([f"dropout {settings.dropout:g}"] if settings.dropout else [])
    times = "once:" if settings.n_layers == 1 else f"{settings.n_layers} times:"
    return [f"{n_inputs} inputs", "", times, *steps, "", "then", last]


def _n_inputs(hidden) -> int:
    return int((hidden.dense[0] if hidden.dense else hidden.output_layer).kernel.shape[0])


def _covariate_lines(inputs: NetworkInputs) -> list[str]:
    names = [f"{name}, {n} {'category' if n == 1 else 'categories'}" for name, n in inputs.categories.items()]
    return [*inputs.numeric, *names] or ["none"]


def _embedding_lines(inputs: NetworkInputs, embedding) -> list[str]:
    sizes = [table.shape[1] for table in embedding.tables]
    names = [f"{name} in {size} dimensions" for name, size in zip(inputs.categories, sizes, strict=True)]
    return [*[f"{name} as it is" for name in inputs.numeric], *names] or ["none"]


def _embedding_width(inputs: NetworkInputs, embedding) -> int:
    return len(inputs.numeric) + sum(int(table.shape[1]) for table in embedding.tables)


def _rate_lines(complete: float | Sequence[float], holes: float | Sequence[float]) -> list[str]:
    """A rate, or the range it is drawn from, where fitted rows are complete and where they have holes."""
    one, two = (_range_text(np.atleast_1d(rate)) for rate in (complete, holes))
    return [one] if one == two else [f"{one} for complete rows,", f"{two} with holes"]


def _range_text(ends: np.ndarray) -> str:
    return f"{ends[0]:g}" if ends[0] == ends[-1] else f"{ends[0]:g} to {ends[-1]:g}"


# --- shapes ---


@dataclass(frozen=True)
class _Box:
    """A rectangle in inches."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def top(self) -> float:
        return self.y + self.height

    @property
    def middle(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2


class _Drawing:
    """Boxes, arrows and notes on one axis, in one method's colour."""

    def __init__(self, ax: Axes, method: str, title: str):
        self.ax, self.colour = ax, PALETTE[method]
        ax.set(xlim=(0, SIZE[method]["width"]), ylim=(0, SIZE[method]["height"]))
        ax.set_axis_off()
        ax.set_title(title, color=self.colour, weight="bold", size=11)

    def box(
        self,
        place: tuple[float, float, float, float],
        name: str,
        lines: Sequence[str] = (),
        *,
        kind: str = "data",
        optional: bool = False,
    ) -> _Box:
        """A box (x, y, width, height) with its name in bold and lines below; its texts carry the patch's gid.

        `kind` is "data", "learned" or "loss"; an `optional` box has a dashed edge.
        """
        box = _Box(*place)
        style = {
            "data": {"ec": _GREY, "fc": _tint(_GREY), "lw": 1.0},
            "learned": {"ec": self.colour, "fc": _tint(self.colour), "lw": 1.2},
            "loss": {"ec": self.colour, "fc": "white", "lw": 2.0},
        }[kind]
        gid = f"box-{len(self.ax.patches)}"
        shape = {"boxstyle": "round,pad=0,rounding_size=0.06", "ls": (0, (4, 2)) if optional else "-"}
        self.ax.add_patch(FancyBboxPatch(place[:2], box.width, box.height, gid=gid, zorder=2, **style, **shape))
        x, y = box.middle
        top = y + len(lines) * _LINE / 2
        self.text(x, top, name, ha="center", color="black", size=9, weight="bold", gid=gid)
        for i, line in enumerate(lines, start=1):  # line by line: lines with equations would stand unevenly
            self.text(x, top - (i + 0.1) * _LINE, line, ha="center", color="black", gid=gid)
        return box

    def text(self, x: float, y: float, text: str, **style: object) -> None:
        """One line of text."""
        self.ax.text(x, y, text, **({"ha": "left", "va": "center", "size": 8.5, "color": "0.25", "zorder": 3} | style))

    def note(self, x: float, y: float, *lines: str) -> None:
        """Lines of text outside any box, from (x, y) downwards."""
        for i, line in enumerate(lines):
            self.text(x, y - i * _LINE, line, style="italic")

    def arrow(self, *points: tuple[float, float]) -> None:
        """Through the points, the head at the last."""
        path = Path(points, [Path.MOVETO] + [Path.LINETO] * (len(points) - 1))
        style = {"arrowstyle": "-|>", "mutation_scale": 10, "lw": 1.1, "color": "0.3", "joinstyle": "miter"}
        self.ax.add_patch(FancyArrowPatch(path=path, zorder=1.5, **style))

    def across(self, start: _Box, end: _Box, y: float | None = None) -> None:
        """A level arrow from the right of one box to the left of another, by default at the first one's middle."""
        height = start.middle[1] if y is None else y
        self.arrow((start.right, height), (end.x, height))


def _tint(colour: str) -> tuple[float, ...]:
    return tuple(1 - _TINT * (1 - channel) for channel in to_rgb(colour))


# --- the drawings ---


def pmi_architecture(ax: Axes, inputs: NetworkInputs, **hyperparameters: object) -> Axes:
    """PMI's network and its training step (`reproduce.models.pmi`).

    Parameters
    ----------
    ax : Axes
        The only one of a figure of ``SIZE["pmi"]`` inches.
    inputs : NetworkInputs
    **hyperparameters
        Of ``make_imputer("pmi")``; its defaults where not given.

    Returns
    -------
    Axes

    Raises
    ------
    ConfigError
        For an unknown hyperparameter or a value out of range.
    """
    network, holes = _network("pmi", inputs, hyperparameters)
    n, width = inputs.n_genes, _embedding_width(inputs, network.embedding)
    title = f"PMI: a network that gives back what was hidden from it ({_parameters(network)} trained parameters)"
    drawing = _Drawing(ax, "pmi", title)
    box = drawing.box

    x = box((0.05, 3.45, 1.4, 0.65), "expression $x$", [f"{n} genes"])
    covariates = box((0.05, 2.25, 1.4, 0.95), "covariates", _covariate_lines(inputs))
    observed = box((0.05, 1.05, 1.4, 0.95), "observed $m$", ["1 = known", "0 = missing"])
    lines = _embedding_lines(inputs, network.embedding)
    embedding = box((1.75, 2.25, 1.75, 0.95), "CovariateEmbedding", lines, kind="learned")
    rates = _rate_lines(network.settings.pseudo_missing_rate, holes.pseudo_missing_rate)
    lines = ["0 at the rate", "pseudo_missing_rate", *rates]
    pseudo_mask = box((1.75, 1.05, 1.75, 0.95), "pseudo-mask $b$", lines)

    seen = box((3.8, 3.45, 1.55, 0.65), r"$x\,\odot$ input_mask", [f"{n} inputs"])
    context = box((3.8, 2.25, 1.55, 0.95), "covariates", [f"{width} inputs"])
    input_mask = box((3.8, 1.05, 1.55, 0.95), "input_mask", [r"$m \odot b$", f"{n} inputs"])
    target_mask = box((3.8, 0.15, 1.55, 0.65), "target_mask", [r"$m \odot (1 - b)$"])
    lines = _hidden_lines(network.hidden, _n_inputs(network.hidden))
    hidden = box((5.65, 1.05, 1.55, 3.05), "HiddenLayers", lines, kind="learned")
    prediction = box((7.5, 2.3, 0.8, 0.85), r"$\bar{x}$", [f"{n} genes"])
    lines = [r"mean of $(x - \bar{x})^2$", "over target_mask"]
    loss = box((8.6, 2.3, 1.7, 0.85), "train_loss", lines, kind="loss")

    for start, end in [(x, seen), (covariates, embedding), (embedding, context), (observed, pseudo_mask)]:
        drawing.across(start, end)
    drawing.across(pseudo_mask, input_mask)
    for part in (seen, context, input_mask):
        drawing.across(part, hidden)
    drawing.across(hidden, prediction, prediction.middle[1])
    drawing.across(prediction, loss)
    drawing.arrow((x.middle[0], x.top), (x.middle[0], 4.4), (loss.middle[0], 4.4), (loss.middle[0], loss.top))
    low = target_mask.middle[1]
    drawing.arrow((pseudo_mask.middle[0], pseudo_mask.y), (pseudo_mask.middle[0], low), (target_mask.x, low))
    drawing.arrow((target_mask.right, low), (loss.middle[0], low), (loss.middle[0], loss.y))
    lines = ["Imputation:", "input_mask = observed,", "no dropout; holes are", r"filled with $\bar{x}$"]
    drawing.note(7.5, 1.5, *lines)
    return ax


def gain_architecture(ax: Axes, inputs: NetworkInputs, **hyperparameters: object) -> Axes:
    """GAIN-GTEx's two networks and their training step (`reproduce.models.gain`); GAIN-MSE-GTEx lacks what is dashed.

    Parameters
    ----------
    ax : Axes
        The only one of a figure of ``SIZE["gain"]`` inches.
    inputs : NetworkInputs
    **hyperparameters
        Of ``make_imputer("gain")``; its defaults where not given.

    Returns
    -------
    Axes

    Raises
    ------
    ConfigError
        For an unknown hyperparameter or a value out of range, or without a discriminator.
    """
    network, holes = _network("gain", inputs, hyperparameters)
    if network.discriminator is None:
        raise ConfigError("GAIN is drawn with its discriminator; what GAIN-MSE-GTEx leaves out is dashed.")
    n, width = inputs.n_genes, _embedding_width(inputs, network.generator.embedding)
    settings = network.settings
    parameters = f"{_parameters(network.generator)} and {_parameters(network.discriminator)} trained parameters"
    drawing = _Drawing(ax, "gain", f"GAIN-GTEx: a generator and a discriminator that judges it ({parameters})")
    box = drawing.box

    x = box((0.05, 6.15, 1.4, 0.6), "expression $x$", [f"{n} genes"])
    noise = box((0.05, 5.4, 1.4, 0.6), "noise $z$", [f"noise_scale {settings.noise_scale:g}"])
    covariates = box((0.05, 4.25, 1.4, 0.95), "covariates", _covariate_lines(inputs))
    observed = box((0.05, 3.1, 1.4, 0.95), "observed", ["1 = known", "0 = missing"])
    lines = _embedding_lines(inputs, network.generator.embedding)
    embedding = box((1.75, 4.25, 1.75, 0.95), "CovariateEmbedding", lines, kind="learned")
    rates = _rate_lines(settings.training_missing_rate, holes.training_missing_rate)
    lines = ["observed, less at the rate", "training_missing_rate", *rates]
    visible = box((1.75, 3.1, 1.75, 0.95), "visible $m$", lines)
    filled_in = box((3.8, 5.4, 1.55, 1.35), r"$x \odot m + z \odot (1 - m)$", [f"{n} inputs"])
    context = box((3.8, 4.25, 1.55, 0.95), "covariates", [f"{width} inputs"])
    shown = box((3.8, 3.1, 1.55, 0.95), "visible $m$", [f"{n} inputs"])
    lines = _hidden_lines(network.generator.hidden, _n_inputs(network.generator.hidden))
    generator = box((5.65, 3.1, 1.55, 3.65), "Generator", ["HiddenLayers", *lines], kind="learned")
    prediction = box((7.45, 5.4, 0.8, 0.85), r"$\bar{x}$", [f"{n} genes"])
    filled = box((7.45, 3.5, 1.7, 0.65), r"filled $\hat{x}$", [r"$x \odot m + \bar{x} \odot (1 - m)$"], optional=True)
    lines = [r"$-$ mean of $\log D$", "over $b = 0$, $m = 0$", r"+ $\lambda$ mean of $(x - \bar{x})^2$", "over $m = 1$"]
    lines += [rf"reconstruction_weight $\lambda$ = {settings.reconstruction_weight:g}"]
    loss = box((8.55, 5.2, 1.8, 1.25), "generator's loss", lines, kind="loss")

    again = box((0.05, 0.15, 1.4, 0.95), "covariates", _covariate_lines(inputs), optional=True)
    own = _embedding_lines(inputs, network.discriminator.embedding)
    own_embedding = box((1.75, 0.15, 1.75, 0.95), "CovariateEmbedding", own, kind="learned", optional=True)
    lines = [r"$b \odot m + \frac{1}{2} (1 - b)$", "$b$ = 1 with probability", f"hint_rate {settings.hint_rate:g}"]
    hint = box((1.75, 1.2, 1.75, 0.9), "hint $h$", lines, optional=True)
    judged = box((3.8, 2.2, 1.55, 0.5), r"filled $\hat{x}$", [f"{n} inputs"], optional=True)
    told = box((3.8, 1.2, 1.55, 0.9), "hint $h$", [f"{n} inputs"], optional=True)
    own_context = box((3.8, 0.15, 1.55, 0.95), "covariates", [f"{width} inputs"], optional=True)
    lines = _hidden_lines(network.discriminator.hidden, _n_inputs(network.discriminator.hidden))
    lines = ["HiddenLayers", *lines]
    discriminator = box((5.65, 0.15, 1.55, 2.55), "Discriminator", lines, kind="learned", optional=True)
    verdict = box((7.45, 0.85, 0.8, 0.95), "$D$", ["P(known)", f"{n} genes"], optional=True)
    lines = [r"$-$ mean over $b = 0$ of", r"$m\,\log D$", r"$+\,(1 - m)\,\log(1 - D)$"]
    judging_loss = box((8.55, 0.4, 1.8, 0.9), "discriminator_loss", lines, kind="loss", optional=True)

    across = drawing.across
    for start, end in [(covariates, embedding), (embedding, context), (observed, visible), (visible, shown)]:
        across(start, end)
    for start, end in [(x, filled_in), (noise, filled_in), (again, own_embedding), (own_embedding, own_context)]:
        across(start, end)
    across(hint, told)
    for parts, hidden in [((filled_in, context, shown), generator), ((judged, told, own_context), discriminator)]:
        for part in parts:
            across(part, hidden)
    across(generator, prediction, prediction.middle[1])
    across(prediction, loss)
    across(discriminator, verdict, verdict.middle[1])
    across(verdict, judging_loss, judging_loss.middle[1] + 0.15)
    drawing.arrow((x.middle[0], x.top), (x.middle[0], 7.05), (loss.middle[0], 7.05), (loss.middle[0], loss.top))
    below = prediction.middle[0]
    drawing.arrow((below, prediction.y), (below, filled.top))
    drawing.arrow((below, filled.y), (below, 2.9), (judged.middle[0], 2.9), (judged.middle[0], judged.top))
    drawing.arrow((visible.middle[0], visible.y), (visible.middle[0], hint.top))
    drawing.arrow((verdict.right, 1.6), (9.7, 1.6), (9.7, loss.y))
    lines = [
        "A step trains first the",
        "discriminator, with $\\hat{x}$",
        "held fixed, then the",
        "generator against it.",
    ]
    drawing.note(0.05, 2.6, *lines)
    lines = [
        "Dashed, and with it log D: not in",
        "GAIN-MSE-GTEx.",
        "Imputation: $m$ = observed, $z$ = 0,",
        "no dropout; holes are filled with $\\bar{x}$",
    ]
    drawing.note(7.45, 2.65, *lines)
    return ax
