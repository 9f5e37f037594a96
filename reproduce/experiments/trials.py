"""One trial: a method on one scenario, data, missingness and seed, turned into tidy rows; never writes a file.

The three scenarios differ only in which rows are fitted and which are filled:

| scenario | fitted rows | filled and scored rows |
| --- | --- | --- |
| `in_place` | the split's training donors, with holes | the same rows |
| `inductive` | the split's training donors, complete or with holes | the split's test donors, with holes |
| `cross_cohort` | all training-cohort rows, complete or with holes | another cohort with holes, on the training scale |

Seeds vary the donor split, the evaluation mask and the method's own randomness together. In `cross_cohort` everything
is filled, and a random half of the target's donors is scored, so that scores at different seeds tell how much they
depend on who the patients were.
"""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import reproduce
from reproduce.errors import ConfigError
from reproduce.experiments.provenance import code_fingerprint
from reproduce.masking import MECHANISMS, SCENARIOS, draw_evaluation_mask, draw_training_mask
from reproduce.metrics import score
from reproduce.preprocessing import TRANSFORMS, CohortMatch, ExpressionTransform, match_cohort
from reproduce.splits import TEST_FRACTION, split_by_donor

if TYPE_CHECKING:
    from anndata import AnnData

TRAINING_ROWS = ("complete", "masked")
COVARIATES = ("tissue", "sex", "age", "donor")
#: Not a method: the conditional expectation under the law that the embedded cohort was drawn from. Nothing can do
#: better.
ORACLE = "oracle"
#: Fraction of the scored cohort's donors that one seed scores; the overlap between seeds follows from it.
EVALUATED_FRACTION = {"in_place": 1 - TEST_FRACTION, "inductive": TEST_FRACTION, "cross_cohort": 0.5}

COLUMNS = (
    "trial_id", "method", "scenario", "train", "test", "gene_set", "missing_rate", "mechanism", "seed", "transform",
    "training_rows", "preset", "metric", "value", "level", "group", "n_evaluated", "fit_seconds", "impute_seconds",
    "status", "error", "config_hash", "version",
)  # fmt: skip


class Hyperparameters(Mapping):
    """Read-only mapping of plain values that can be hashed and compared, so that trials can be keys.

    Parameters
    ----------
    values : mapping of str to None, bool, int, float, str, or nested lists and mappings of these

    Raises
    ------
    ConfigError
        For a value that JSON cannot hold: it could not be written into a result's identity.
    """

    def __init__(self, values: Mapping[str, object] = ()):
        try:
            self._json = json.dumps(dict(values), sort_keys=True, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"Hyperparameters must be plain numbers, strings, lists or mappings: {error}") from None

    def __getitem__(self, key: str) -> object:
        return json.loads(self._json)[key]

    def __iter__(self) -> Iterator[str]:
        return iter(json.loads(self._json))

    def __len__(self) -> int:
        return len(json.loads(self._json))

    def __hash__(self) -> int:
        return hash(self._json)

    def __eq__(self, other: object) -> bool:
        return dict(self) == dict(other) if isinstance(other, Mapping) else NotImplemented

    def __repr__(self) -> str:
        return f"Hyperparameters({self._json})"


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Trial:
    """Everything that determines a result, apart from the data themselves.

    Parameters
    ----------
    method : str
        Key of `reproduce.imputers.METHODS`, or "oracle": the best attainable imputation, known for the embedded
        cohort only.
    scenario : {"in_place", "inductive", "cross_cohort"}
    seed : int
        Drives the donor split, the masks and the method's random state.
    train : str, default "GTEx"
        Cohort whose rows are fitted; "GTEx/Lung" takes one tissue of it.
    test : str, default "GTEx"
        Cohort that is filled. In `cross_cohort` "LUAD+COADREAD" fills several by one fitted model, each with rows of
        its own.
    gene_set : str, default "p53"
    missing_rate : float, default 0.5
        Fraction hidden.
    mechanism : {"mcar"}
    transform : {"raw", "log1p", "log1p_depth"}
    training_rows : {"complete", "masked"}
        Whether rows that are only fitted have their known entries hidden at `missing_rate` as well. In place they
        always have.
    preset : str, default "quick"
        Budget of the run this trial belongs to; results of different presets never stand in for each other.
    hyperparameters : mapping
        Overrides of the method's registered parameters.

    Raises
    ------
    ConfigError
        For an unknown name, a value out of range, or a method that is not valid in the scenario.
    """

    method: str
    scenario: str
    seed: int
    train: str = "GTEx"
    test: str = "GTEx"
    gene_set: str = "p53"
    missing_rate: float = 0.5
    mechanism: str = "mcar"
    transform: str = "log1p"
    training_rows: str = "complete"
    preset: str = "quick"
    hyperparameters: Mapping[str, object] = field(default_factory=Hyperparameters)

    def __post_init__(self):
        object.__setattr__(self, "hyperparameters", Hyperparameters(self.hyperparameters))
        _check_choice("scenario", self.scenario, SCENARIOS)
        _check_choice("mechanism", self.mechanism, MECHANISMS)
        _check_choice("transform", self.transform, TRANSFORMS)
        _check_choice("training_rows", self.training_rows, TRAINING_ROWS)
        if self.scenario == "in_place" and self.training_rows != "masked":
            # in place the fitted rows are the filled ones: one spelling for one thing, so that ids agree
            object.__setattr__(self, "training_rows", "masked")
        if not 0.0 < self.missing_rate < 1.0:
            raise ConfigError(f"missing_rate is {self.missing_rate!r}; give a fraction between 0 and 1.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            raise ConfigError(f"seed is {self.seed!r}; give a non-negative integer.")
        self._check_cohorts()
        self._check_method()

    def _check_cohorts(self) -> None:
        fitted, filled = self.train.split("/")[0], [name.split("/")[0] for name in self.test.split("+")]
        if self.scenario == "cross_cohort":
            # rows that were fitted must not be scored, not even as one cohort among several
            if fitted in filled or len(set(filled)) < len(filled):
                raise ConfigError(
                    f"Scenario 'cross_cohort' with train {self.train!r} and test {self.test!r} needs cohorts other "
                    "than the fitted one, each once."
                )
        elif self.test != fitted:
            raise ConfigError(
                f"Scenario {self.scenario!r} with train {self.train!r} and test {self.test!r}: both must be one "
                "cohort; for another one the scenario is 'cross_cohort'."
            )

    def _check_method(self) -> None:
        if self.method == ORACLE:
            if self.transform != "log1p" or self.hyperparameters:
                raise ConfigError("The oracle is known on the log1p scale and has no hyperparameters.")
            return
        method = _method(self.method)
        if self.scenario not in method.scenarios:
            raise ConfigError(
                f"Method {self.method!r} is not valid in scenario {self.scenario!r} (only in "
                f"{', '.join(sorted(method.scenarios))}); leave it out of this comparison."
            )

    @property
    def _module(self) -> str:
        return "reproduce.loaders.embedded" if self.method == ORACLE else _method(self.method).target.partition(":")[0]

    @property
    def config_hash(self) -> str:
        """Digest of the method's target and resolved hyperparameters."""
        if self.method == ORACLE:
            return _digest(ORACLE)
        method = _method(self.method)
        return _digest({"target": method.target, **dict(method.parameters), **dict(self.hyperparameters)})

    def trial_id(self, fingerprint: str) -> str:
        """Identity of the result of this trial by the present code on the data with the given fingerprint."""
        content = {**asdict(self), "hyperparameters": dict(self.hyperparameters), "seed": int(self.seed)}
        return _digest([code_fingerprint(self._module), fingerprint, self.config_hash, content])

    def describe(self) -> str:
        """Short text for progress lines and error messages."""
        rows = "" if self.scenario == "in_place" else f", {self.training_rows} training rows"
        return f"{self.method}, {self.scenario} {self.train} -> {self.test}, {self.transform}{rows}, seed {self.seed}"


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"Unknown {name} {value!r}; known are {', '.join(known)}.")


def _method(name: str):
    from reproduce.imputers import METHODS

    if name not in METHODS:
        raise ConfigError(f"Unknown method {name!r}; known are {', '.join(METHODS)}.")
    return METHODS[name]


@dataclass(frozen=True)
class TrialResult:
    """What one trial gave.

    Attributes
    ----------
    trial_id : str
    rows : DataFrame
        Columns as in `COLUMNS`; one row per metric, level and group, or a single row with status "failed".
    history : DataFrame or None
        Training curve of a network.
    """

    trial_id: str
    rows: pd.DataFrame
    history: pd.DataFrame | None

    @property
    def failed(self) -> bool:
        """Whether the method raised instead of returning a filled matrix."""
        return bool((self.rows["status"] == "failed").any())


@dataclass(frozen=True)
class _Rows:
    """Rows of one cohort on the transformed scale: the whole truth, and what the method may see of it."""

    cohort: str
    truth: np.ndarray  # (n_samples, n_genes)
    visible: np.ndarray  # (n_samples, n_genes), NaN where missing or hidden
    evaluation_mask: np.ndarray  # (n_samples, n_genes)
    genes: pd.Index
    obs: pd.DataFrame

    def frame(self, values: np.ndarray | None = None) -> pd.DataFrame:
        values = self.visible if values is None else values
        return pd.DataFrame(values, index=self.obs.index, columns=self.genes)

    def covariates(self) -> pd.DataFrame:
        return self.obs[list(COVARIATES)]


def _cohort(study, name: str) -> AnnData:
    """A cohort of the study, or the rows of one tissue of it ("GTEx/Lung")."""
    cohort_name, _, tissue = name.partition("/")
    if cohort_name not in study.cohorts:
        raise ConfigError(f"Study {study.name!r} has no cohort {cohort_name!r}; it has {', '.join(study.cohorts)}.")
    cohort = study.cohorts[cohort_name]
    if not tissue:
        return cohort
    rows = (cohort.obs["tissue"] == tissue).to_numpy()
    if not rows.any():
        known = ", ".join(sorted(cohort.obs["tissue"].unique()))
        raise ConfigError(f"Cohort {cohort_name!r} has no tissue {tissue!r}; it has {known}.")
    return cohort[rows]


def _common_genes(train: AnnData, targets: list[AnnData]) -> pd.Index:
    """Genes that all cohorts have, by name, in the training cohort's order; gene rows of the results show which they
    are.
    """
    genes = train.var_names
    for target in targets:
        genes = genes[genes.isin(target.var_names)]
    if len(genes) < train.n_vars / 2:
        raise ConfigError(
            f"Only {len(genes)} of {train.n_vars} training genes are in the cohort to be filled; "
            "do both name their genes by the same kind of symbol?"
        )
    return genes


def _values(cohort: AnnData, genes: pd.Index) -> np.ndarray:
    return np.asarray(cohort[:, genes].X, dtype=np.float64)


def _with_holes(X: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    return np.where(hidden, np.nan, X)


def _rows(transform, cohort, X, hidden, genes, obs) -> _Rows:
    truth = transform.transform(X, _with_holes(X, hidden))
    return _Rows(cohort, truth, _with_holes(truth, hidden), hidden, genes, obs)


def _prepare(trial: Trial, study) -> tuple[_Rows, list[_Rows]]:
    """Split, hide and transform: the rows to fit and the row sets to fill (in place, one and the same)."""
    train, others = _cohort(study, trial.train), []
    if trial.scenario == "cross_cohort":
        others = [(name, _cohort(study, name)) for name in trial.test.split("+")]
    genes = _common_genes(train, [cohort for _, cohort in others])
    X, obs = _values(train, genes), train.obs
    draw = {"seed": trial.seed, "scenario": trial.scenario, "mechanism": trial.mechanism}
    if trial.scenario == "cross_cohort":
        test = [(name, _values(cohort, genes), cohort.obs) for name, cohort in others]
    else:
        split = split_by_donor(obs["donor"], seed=trial.seed)
        test = [(trial.test, X[split.test], obs.iloc[split.test])]
        X, obs = X[split.train], obs.iloc[split.train]

    if trial.scenario == "in_place":
        hidden = draw_evaluation_mask(~np.isnan(X), trial.missing_rate, **draw)
    elif trial.training_rows == "masked":
        hidden = draw_training_mask(~np.isnan(X), trial.missing_rate, **draw)
    else:
        hidden = np.zeros(X.shape, dtype=bool)
    transform = ExpressionTransform(trial.transform).fit(_with_holes(X, hidden))
    fitted = _rows(transform, trial.train, X, hidden, genes, obs)
    if trial.scenario == "in_place":
        return fitted, [fitted]

    targets = []
    for name, X_test, obs_test in test:
        hidden = draw_evaluation_mask(~np.isnan(X_test), trial.missing_rate, **draw)
        if trial.scenario == "cross_cohort":
            # another pipeline has another depth, so the depth reference is the target's own, from visible entries
            transform = ExpressionTransform(trial.transform).fit(_with_holes(X_test, hidden))
        targets.append(_rows(transform, name, X_test, hidden, genes, obs_test))
    return fitted, targets


def _match(fitted: _Rows, target: _Rows) -> CohortMatch:
    """Match against the training rows of the target's tissue, so that a lung tumour is centred where lungs are."""
    same_tissue = fitted.obs["tissue"].isin(target.obs["tissue"].unique()).to_numpy()
    if not same_tissue.any():
        same_tissue[:] = True  # no such tissue was fitted: the whole training cohort is the best reference there is
    return match_cohort(fitted.visible[same_tissue], target.visible)


def _fill(trial: Trial, fitted: _Rows, targets: list[_Rows]) -> tuple[list[np.ndarray], float, float, object]:
    """Fit and fill; returns the filled matrices on each target's own scale, both times in seconds, and the imputer."""
    from reproduce.imputers import make_imputer

    imputer = make_imputer(trial.method, random_state=int(trial.seed), **dict(trial.hyperparameters))
    start = time.perf_counter()
    if trial.scenario == "in_place":
        filled = imputer.fit_transform(fitted.frame(), covariates=fitted.covariates())
        return [np.asarray(filled)], time.perf_counter() - start, 0.0, imputer
    imputer.fit(fitted.frame(), covariates=fitted.covariates())
    fit_seconds, start = time.perf_counter() - start, time.perf_counter()
    filled = []
    for target in targets:
        if trial.scenario == "inductive":
            filled.append(np.asarray(imputer.transform(target.frame(), covariates=target.covariates())))
        else:
            match = _match(fitted, target)
            moved = target.frame(match.to_train(target.visible))
            filled.append(match.to_other(np.asarray(imputer.transform(moved, covariates=target.covariates()))))
    return filled, fit_seconds, time.perf_counter() - start, imputer


def _fill_by_oracle(study, targets: list[_Rows]) -> tuple[list[np.ndarray], float, float, None]:
    truth = getattr(study, "truth", None)
    if truth is None:
        raise ConfigError(
            f"Study {study.name!r} is not simulated, so its best imputation is unknown; leave 'oracle' out."
        )
    start = time.perf_counter()
    filled = []
    for target in targets:
        names = study.cohorts[target.cohort].var_names
        visible = target.frame().reindex(columns=names)  # a gene that was not joined is one more that is not seen
        whole = truth.oracle_impute(target.cohort, visible, target.obs)
        filled.append(pd.DataFrame(np.asarray(whole), columns=names)[list(target.genes)].to_numpy())
    return filled, 0.0, time.perf_counter() - start, None


def _scored_rows(trial: Trial, target: _Rows) -> np.ndarray:
    if trial.scenario != "cross_cohort":
        return np.arange(len(target.obs))
    fraction = EVALUATED_FRACTION["cross_cohort"]
    return split_by_donor(target.obs["donor"], seed=trial.seed, test_fraction=fraction).test


def _tidy(trial: Trial, study, rows: pd.DataFrame, **values: object) -> pd.DataFrame:
    """Complete score rows to the columns of the results table."""
    fixed = {name: getattr(trial, name) for name in COLUMNS if hasattr(trial, name) and name not in ("trial_id",)}
    fixed |= {"trial_id": trial.trial_id(study.fingerprint), "version": reproduce.__version__} | values
    table = rows.assign(**{name: value for name, value in fixed.items() if name not in rows})
    table["seed"] = table["seed"].astype("int64")
    return table[list(COLUMNS)]


def run_trial(trial: Trial, study) -> TrialResult:
    """Run one trial; an exception in it becomes a row with status "failed".

    Parameters
    ----------
    trial : Trial
    study : reproduce.loaders.study.Study

    Returns
    -------
    TrialResult
        `fit_seconds` holds the whole of an in-place run, whose `impute_seconds` is 0: there the two are one step.
    """
    trial_id = trial.trial_id(study.fingerprint)
    try:
        fitted, targets = _prepare(trial, study)
        oracle = trial.method == ORACLE
        filled, fit_seconds, impute_seconds, imputer = (
            _fill_by_oracle(study, targets) if oracle else _fill(trial, fitted, targets)
        )
        parts = []
        for target, values in zip(targets, filled, strict=True):
            keep = _scored_rows(trial, target)
            scores = score(
                target.truth[keep],
                values[keep],
                target.evaluation_mask[keep],
                groups=target.obs["tissue"].iloc[keep],
                genes=list(target.genes),
            )
            parts.append(scores.assign(test=target.cohort))
        history = getattr(imputer, "history_", None)
        status = {"fit_seconds": fit_seconds, "impute_seconds": impute_seconds, "status": "ok", "error": ""}
        rows = _tidy(trial, study, pd.concat(parts, ignore_index=True), **status)
    except Exception as error:  # whatever a method raises must not lose the other trials: it becomes a row that says so
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"[:2000]
        blank = {"metric": [""], "value": [np.nan], "level": [""], "group": [""], "n_evaluated": [0]}
        status = {"fit_seconds": np.nan, "impute_seconds": np.nan, "status": "failed", "error": message}
        return TrialResult(trial_id, _tidy(trial, study, pd.DataFrame(blank), **status), None)
    if history is not None:
        history = pd.DataFrame(history).assign(trial_id=trial_id, method=trial.method, seed=int(trial.seed))
    return TrialResult(trial_id, rows, history)
