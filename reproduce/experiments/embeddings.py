"""Asks what networks learnt about the tissues: their embeddings, and whether kindred tissues lie together; never draws.

**Distance.** Euclidean, after each dimension was standardised over the tissues: a network may scale a dimension as it
likes, since its first layer scales it back.

**Number.** The silhouette of a grouping (Rousseeuw 1987): for a tissue with mean distance a to the others of its group
and b to the nearest other group, (b − a) / max(a, b); averaged over tissues. It is compared with the silhouettes of
the same points under permuted group labels, and p is the fraction of permutations that reach it, the grouping itself
counted among them. Groupings: "brain", the brain's regions against all other tissues, averaged over the regions only,
since nobody claims that all other tissues are alike; "organ", GTEx's organs of which there are at least two tissues.

**Reference.** The tissues' mean expression, treated alike: what could be had without a network.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError
from reproduce.experiments.kept import run_kept
from reproduce.experiments.rows import prepare_rows
from reproduce.experiments.running import Fits, run_trial
from reproduce.experiments.store import ResultsStore
from reproduce.experiments.trials import Trial
from reproduce.loaders.gtex_tissues import tissue_table

CLUSTER_COLUMNS = ("method", "seed", "group", "silhouette", "null_mean", "p")
GROUPINGS = ("brain", "organ")
N_PERMUTATIONS = 1000
EXPRESSION = "expression"
PROJECTIONS = ("umap", "pca")
#: Of 49 tissues an organ has at most 13, most have two or three: a neighbourhood of UMAP's default 15 would join them.
N_NEIGHBORS = 6
_KEYS = ["trial_id", "method", "seed", "tissue"]


# --- vectors ---


def tissue_vectors(trials: Iterable[Trial], study, store: ResultsStore, folder: str | Path, name: str) -> pd.DataFrame:
    """The embedding of every tissue that each trial's network learns; each network is trained once.

    Trials that are not stored are stored on the way, so that a grid of the same trials finds them. The vectors are kept
    in ``folder/name.csv`` after each network: a run that is interrupted, or repeated, goes on from there.

    Parameters
    ----------
    trials : iterable of Trial
        Inductive, of networks.
    study : reproduce.loaders.study.Study
    store : ResultsStore
    folder : path-like
    name : str
        File name without its ending.

    Returns
    -------
    DataFrame
        Columns trial_id, method, seed, tissue, and ``d0``, ``d1``, …: one row per trial and tissue, in the trials'
        order.
    """
    wanted = {trial.trial_id(study.fingerprint): trial for trial in trials}
    if not wanted:
        return pd.DataFrame(columns=_KEYS)
    return run_kept(wanted, partial(_learn, study=study, store=store), folder, name, _KEYS)


def _learn(trial: Trial, study, store: ResultsStore) -> pd.DataFrame:
    fits, trial_id = Fits(), trial.trial_id(study.fingerprint)
    if not store.done(trial_id):
        store.write(run_trial(trial, study, fits))
    imputer, _ = fits.get(trial, prepare_rows(trial, study)[0])  # what run_trial has fitted, if it was needed
    table = imputer.category_embeddings("tissue")
    table.columns = [f"d{dimension}" for dimension in range(table.shape[1])]
    return table.reset_index().assign(method=trial.method, seed=int(trial.seed))


def expression_vectors(trials: Iterable[Trial], study) -> pd.DataFrame:
    """Mean expression of each tissue over the training donors, a table like that of `tissue_vectors`.

    One entry for each seed, whatever the methods of the trials.
    """
    parts = []
    for seed, trial in {trial.seed: trial for trial in trials}.items():
        fitted, _ = prepare_rows(trial, study)
        means = fitted.frame(fitted.truth).groupby(fitted.obs["tissue"].astype(str).to_numpy()).mean()
        means.columns = [f"d{dimension}" for dimension in range(means.shape[1])]
        keys = {"trial_id": "", "method": EXPRESSION, "seed": int(seed)}
        parts.append(means.rename_axis("tissue").reset_index().assign(**keys)[[*_KEYS, *means.columns]])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_KEYS)


def vectors_of(vectors: pd.DataFrame, method: str, seed: int) -> pd.DataFrame:
    """One network's tissues × dimensions, standardised over the tissues; a dimension that does not vary is left out."""
    chosen = vectors[(vectors["method"] == method) & (vectors["seed"] == seed)]
    if chosen.empty:
        raise ConfigError(f"There are no vectors of {method!r} at seed {seed}.")
    points = chosen.set_index("tissue").drop(columns=["trial_id", "method", "seed"]).dropna(axis=1).astype(float)
    spread = points.std(ddof=0)
    varying = spread.index[spread > 1e-12 * points.abs().max()]
    return (points[varying] - points[varying].mean()) / spread[varying]


# --- do kindred tissues lie together? ---


def grouping(tissues: Iterable[str], group: str) -> pd.Series:
    """The group of each tissue that has one in a grouping, by tissue.

    Parameters
    ----------
    tissues : iterable of str
        GTEx's names.
    group : {"brain", "organ"}
        "organ" leaves out organs of which there is one tissue only.

    Raises
    ------
    ConfigError
        For an unknown grouping or tissue.
    """
    tissues, organs = list(tissues), tissue_table()["organ"]
    if group not in GROUPINGS:
        raise ConfigError(f"Unknown grouping {group!r}; known are {', '.join(GROUPINGS)}.")
    if strange := [name for name in tissues if name not in organs.index]:
        raise ConfigError(f"{strange[0]!r} is none of GTEx's tissues, so its organ is not known.")
    labels = organs[tissues]
    if group == "brain":
        return labels.where(labels == "Brain", "other")
    return labels[labels.groupby(labels).transform("size") > 1]


def silhouettes(distances: np.ndarray, codes: np.ndarray, *, of_group: int | None = None) -> np.ndarray:
    """Mean silhouette of the same points under many groupings at once.

    Parameters
    ----------
    distances : ndarray (n_points, n_points)
    codes : ndarray of int (n_groupings, n_points)
        Group of each point, 0, 1, …; a point alone in its group counts 0, as in scikit-learn.
    of_group : int, optional
        Average over the points of this group only.

    Returns
    -------
    ndarray (n_groupings,)
    """
    member = codes[:, :, None] == np.arange(codes.max() + 1)  # (n_groupings, n_points, n_groups)
    sizes = member.sum(axis=1)[:, None, :]
    sums = np.einsum("ij,gjk->gik", distances, member.astype(float))
    own_size = np.take_along_axis(np.broadcast_to(sizes, sums.shape), codes[:, :, None], axis=2)[..., 0]
    own = np.take_along_axis(sums, codes[:, :, None], axis=2)[..., 0] / np.maximum(own_size - 1, 1)
    others = np.where(member | (sizes == 0), np.inf, sums / np.maximum(sizes, 1)).min(axis=2)
    larger = np.maximum(own, others)
    each = np.divide(others - own, larger, out=np.zeros_like(own), where=(own_size > 1) & (larger > 0))
    counted = np.ones(codes.shape, bool) if of_group is None else codes == of_group
    return np.where(counted, each, 0.0).sum(axis=1) / counted.sum(axis=1)


def cluster_test(
    points: pd.DataFrame,
    labels: pd.Series,
    *,
    of_group: str | None = None,
    seed: int = 0,
    n_permutations: int = N_PERMUTATIONS,
) -> dict[str, float]:
    """Silhouette of a grouping of some of the points against permuted labels.

    Parameters
    ----------
    points : DataFrame (n_points, n_dimensions)
    labels : Series
        Group by point; points without one are left out.
    of_group : str, optional
        Average over the points of this group only.
    seed : int, default 0
        Of the permutations.
    n_permutations : int, default 1000

    Returns
    -------
    dict
        silhouette, null_mean (mean over permutations), p.

    Raises
    ------
    ConfigError
        Unless there are at least two groups, that of `of_group` among them.
    """
    codes, groups = pd.factorize(labels)
    if len(groups) < 2:
        raise ConfigError(f"{len(groups)} group(s) of tissues cannot be told apart; at least two are needed.")
    if of_group is not None and of_group not in groups:
        raise ConfigError(f"There is no group {of_group!r} of tissues; there are {', '.join(groups)}.")
    counted = None if of_group is None else groups.get_loc(of_group)
    X = points.loc[labels.index].to_numpy()
    distances = np.linalg.norm(X[:, None, :] - X[None, :, :], axis=2)
    rng = np.random.default_rng(seed)
    permuted = rng.permuted(np.tile(codes, (n_permutations, 1)), axis=1)
    null = silhouettes(distances, permuted, of_group=counted)
    observed = float(silhouettes(distances, codes[None], of_group=counted)[0])
    # the small allowance: a permutation that is the same grouping must count, whatever the rounding
    reached = int((null >= observed - 1e-12).sum())
    return {"silhouette": observed, "null_mean": float(null.mean()), "p": (1 + reached) / (1 + n_permutations)}


def cluster_table(vectors: pd.DataFrame, *, n_permutations: int = N_PERMUTATIONS) -> pd.DataFrame:
    """`cluster_test` of every network and grouping.

    Parameters
    ----------
    vectors : DataFrame
        Of `tissue_vectors` or `expression_vectors`.
    n_permutations : int, default 1000

    Returns
    -------
    DataFrame
        Columns method, seed, group ("brain", "organ"), silhouette, null_mean, p. A grouping that has fewer than two
        groups among the tissues at hand has no row.
    """
    rows = []
    for method, seed in vectors[["method", "seed"]].drop_duplicates().itertuples(index=False):
        points = vectors_of(vectors, method, seed)
        for group in GROUPINGS:
            labels = grouping(points.index, group)
            if labels.nunique() > 1:
                of_group = "Brain" if group == "brain" else None
                test = cluster_test(points, labels, of_group=of_group, seed=int(seed), n_permutations=n_permutations)
                rows.append({"method": method, "seed": int(seed), "group": group} | test)
    return pd.DataFrame(rows, columns=list(CLUSTER_COLUMNS))


# --- a map of them ---


def tissue_map(vectors: pd.DataFrame, method: str, seed: int, *, projection: str = "umap") -> pd.DataFrame:
    """The tissues in the plane.

    Parameters
    ----------
    vectors : DataFrame
        Of `tissue_vectors`.
    method : str
    seed : int
        Of the network; also of UMAP.
    projection : {"umap", "pca"}
        UMAP, as in the paper, shows who is near whom and no distances; its compilation takes half a minute. The first
        two principal components are there at once.

    Returns
    -------
    DataFrame
        Columns method, seed, tissue, x, y.

    Raises
    ------
    ConfigError
        For an unknown projection.
    """
    if projection not in PROJECTIONS:
        raise ConfigError(f"Unknown projection {projection!r}; known are {', '.join(PROJECTIONS)}.")
    points = vectors_of(vectors, method, seed)
    if projection == "umap":
        from umap import UMAP

        reducer = UMAP(n_neighbors=min(N_NEIGHBORS, len(points) - 1), min_dist=0.4, random_state=int(seed), n_jobs=1)
        plane = reducer.fit_transform(points.to_numpy())
    else:
        left, size, _ = np.linalg.svd(points - points.mean(), full_matrices=False)
        plane = left[:, :2] * size[:2]
    keys = {"method": method, "seed": int(seed), "tissue": list(points.index)}
    return pd.DataFrame(keys | {"x": plane[:, 0], "y": plane[:, 1]})
