"""The drawings say what the networks are, keep every word inside its box, and let no arrow cross a word."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.transforms import Bbox

from reproduce import plots
from reproduce.errors import ConfigError
from reproduce.imputers import make_imputer
from reproduce.loaders.study import load_study
from reproduce.models.layers import embedding_size
from reproduce.plots import architecture

DRAW = {"pmi": architecture.pmi_architecture, "gain": architecture.gain_architecture}
INPUTS = {
    "the study": architecture.NetworkInputs(65, {"tissue": 2, "sex": 2}, ("age",)),
    "many tissues": architecture.NetworkInputs(12557, {"tissue": 49, "sex": 2}, ("age",)),
    "no covariates": architecture.NetworkInputs(6),
}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def drawn(method, inputs="the study", **hyperparameters):
    fig, ax = plots.new_figure(**architecture.SIZE[method])
    assert DRAW[method](ax, INPUTS[inputs], **hyperparameters) is ax
    fig.canvas.draw()
    return ax


def said(ax):
    return [text.get_text() for text in [*ax.texts, ax.title, ax._left_title]]


@pytest.mark.parametrize("method", DRAW)
def test_the_defaults_are_the_imputers(method):
    defaults, text = make_imputer(method).get_params(), said(drawn(method))
    assert f"Dense, {defaults['hidden_units']} units" in text and f"{defaults['hidden_layers']} times:" in text
    assert f"dropout {defaults['dropout']:g}" in text and "BatchNormalization" in text
    assert f"tissue in {embedding_size(2)} dimensions" in text and "135 inputs" in text


@pytest.mark.parametrize(
    ("method", "change", "seen"),
    [
        ("pmi", {"hidden_units": 77}, "Dense, 77 units"),
        ("pmi", {"hidden_layers": 1}, "once:"),
        ("pmi", {"dropout": 0.35}, "dropout 0.35"),
        ("pmi", {"pseudo_missing_rate": (0.2, 0.7)}, "0.2 to 0.7"),
        ("gain", {"hidden_units": 77}, "Dense, 77 units"),
        ("gain", {"hint_rate": 0.7}, "hint_rate 0.7"),
        ("gain", {"training_missing_rate": 0.3}, "0.3"),
        ("gain", {"noise_scale": 0.4}, "noise_scale 0.4"),
        ("gain", {"reconstruction_weight": 7.0}, r"reconstruction_weight $\lambda$ = 7"),
    ],
)
def test_another_setting_is_another_text(method, change, seen):
    assert seen not in said(drawn(method)) and seen in said(drawn(method, **change))


def test_what_is_left_out_is_not_drawn():
    text = said(drawn("pmi", dropout=0.0, batch_normalization=False))
    assert "BatchNormalization" not in text and not [line for line in text if line.startswith("dropout")]
    assert "none" in said(drawn("pmi", "no covariates"))


def test_parameters_and_embeddings_follow_the_data():
    # four layers of 200 with biases, scales and shifts; 65 outputs; a 2 × 2 table for each categorical covariate
    count = (135 + 1 + 3 * 201) * 200 + 4 * 2 * 200 + 201 * 65 + 8
    assert f"({count:,} trained parameters)" in " ".join(said(drawn("pmi")))
    assert f"tissue in {embedding_size(49)} dimensions" in said(drawn("gain", "many tissues"))


@pytest.mark.parametrize(("method", "inputs"), itertools.product(DRAW, INPUTS))
def test_texts_lie_in_their_boxes_and_boxes_apart(method, inputs):
    ax = drawn(method, inputs)
    boxes = {p.get_gid(): p.get_window_extent() for p in ax.patches if isinstance(p, FancyBboxPatch)}
    for text in ax.texts:
        extent = text.get_window_extent()
        if text.get_gid():
            box = boxes[text.get_gid()]
            assert box.x0 < extent.x0 and extent.x1 < box.x1, text.get_text()
            assert box.y0 < extent.y0 and extent.y1 < box.y1, text.get_text()
        else:
            assert not [box for box in boxes.values() if box.overlaps(extent)], text.get_text()
    assert not [pair for pair in itertools.combinations(boxes.values(), 2) if pair[0].overlaps(pair[1])]
    whole = ax.figure.bbox
    assert all(whole.containsx(x) and whole.containsy(y) for box in boxes.values() for x, y in box.get_points())


@pytest.mark.parametrize("method", DRAW)
def test_no_arrow_crosses_a_word_or_passes_through_a_box(method):
    ax = drawn(method)
    texts = [text.get_window_extent() for text in ax.texts]
    boxes = [p.get_window_extent() for p in ax.patches if isinstance(p, FancyBboxPatch)]
    inner = [Bbox([box.min + 1.5, box.max - 1.5]) for box in boxes]  # an arrow may end on an edge
    arrows = [p for p in ax.patches if isinstance(p, FancyArrowPatch)]
    assert len(arrows) >= 12
    for arrow in arrows:
        corners = ax.transData.transform(arrow._path_original.vertices)
        line = np.concatenate([np.linspace(a, b, 200) for a, b in itertools.pairwise(corners)])
        for place in [*texts, *inner]:
            assert not place.count_contains(line), (corners, place)


@pytest.mark.parametrize("method", DRAW)
def test_bad_settings_are_refused(method):
    for bad in ({"hidden_units": 0}, {"magic": 1}):
        with pytest.raises(ConfigError):
            drawn(method, **bad)
    with pytest.raises(ConfigError, match="discriminator"):
        drawn("gain", discriminator=False)


def test_inputs_are_those_of_the_cohort():
    cohort = load_study("embedded").cohorts["GTEx"]
    inputs = architecture.inputs_of(cohort)
    assert inputs.n_genes == cohort.n_vars and inputs.numeric == ("age",)
    assert inputs.categories == {"tissue": cohort.obs["tissue"].nunique(), "sex": 2}  # never the donor
