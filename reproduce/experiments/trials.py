"""One trial: a method on one scenario, data, missingness and seed, and the form of its result; never runs it.

The three scenarios differ only in which rows are fitted and which are filled:

| scenario | fitted rows | filled and scored rows |
| --- | --- | --- |
| `in_place` | the split's training donors, with holes | the same rows |
| `inductive` | the split's training donors, complete or with holes | the split's test donors, with holes |
| `cross_cohort` | all training-cohort rows, complete or with holes | another cohort with holes, on the training scale |

Seeds vary the donor split, the evaluation mask and the method's own randomness together. In `cross_cohort` everything
is filled, and a random half of the target's donors is scored, so that scores at different seeds tell how much they
depend on who the patients were.

A trial also holds decisions that this study does not vary except to measure what they are worth (`PROTOCOL`): which
covariates a method sees, how rows are divided, standardised and scored, and how genes of two cohorts are paired.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields

import numpy as np
import pandas as pd

import reproduce
from reproduce.errors import ConfigError
from reproduce.experiments.provenance import code_fingerprint
from reproduce.masking import BLOCK_MECHANISMS, MECHANISMS, SCENARIOS
from reproduce.preprocessing import TRANSFORMS
from reproduce.splits import TEST_FRACTION

TRAINING_ROWS = ("complete", "masked")
#: What methods may know of a sample besides its expression; the donor groups rows and is never an input.
COVARIATES = ("tissue", "sex", "age")
SPLITS = ("donor", "sample")
STANDARDISATIONS = ("training", "own")
GENE_MATCHING = ("name", "position")
SCORED_ROWS = ("all", "tissue_balanced")
#: Not a method: the conditional expectation under the law that the embedded cohort was drawn from. Nothing can do
#: better.
ORACLE = "oracle"
#: Fraction of the scored cohort's donors that one seed scores; the overlap between seeds follows from it.
EVALUATED_FRACTION = {"in_place": 1 - TEST_FRACTION, "inductive": TEST_FRACTION, "cross_cohort": 0.5}

COLUMNS = (
    "trial_id", "method", "scenario", "train", "test", "gene_set", "missing_rate", "mechanism", "seed", "transform",
    "training_rows", "variant", "preset", "metric", "value", "level", "group", "n_evaluated", "fit_seconds",
    "impute_seconds", "status", "error", "config_hash", "version",
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
    mechanism : {"mcar", "mar", "mnar", "panel", "tissue_block"}
        See `reproduce.masking`. The last two cannot be had in place, nor with masked training rows.
    transform : {"raw", "log1p", "log1p_depth"}
    training_rows : {"complete", "masked"}
        Whether rows that are only fitted have their known entries hidden at `missing_rate` as well. In place they
        always have.
    preset : str, default "quick"
        Budget of the run this trial belongs to; results of different presets never stand in for each other.
    hyperparameters : mapping
        Overrides of the method's registered parameters.
    covariates : tuple of str, default all of `COVARIATES`
        Which of them methods see.
    split : {"donor", "sample"}
        What is held out: donors with all their samples, or samples, whoever they come from.
    standardisation : {"training", "own"}
        Whose known entries set the scale of the rows to be filled. By default the training rows', and in
        `cross_cohort` the target's own.
    gene_matching : {"name", "position"}
        How genes of two cohorts are paired: by name; or the training cohort's in the order of their Ensembl
        identifiers with the target's in alphabetical order, as where tables of two sources are joined by position.
    gene_alias : str, default ""
        "TEP1=PTEN" takes the target's gene TEP1 for the training cohort's PTEN.
    scored_rows : {"all", "tissue_balanced"}
        Whether all filled rows are scored, or as many of each tissue as the rarest one has.

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
    covariates: tuple[str, ...] = COVARIATES
    split: str = "donor"
    standardisation: str = ""
    gene_matching: str = "name"
    gene_alias: str = ""
    scored_rows: str = "all"

    def __post_init__(self):
        object.__setattr__(self, "hyperparameters", Hyperparameters(self.hyperparameters))
        _check_choice("scenario", self.scenario, SCENARIOS)
        _check_choice("mechanism", self.mechanism, MECHANISMS)
        _check_choice("transform", self.transform, TRANSFORMS)
        _check_choice("training_rows", self.training_rows, TRAINING_ROWS)
        if self.scenario == "in_place" and self.training_rows != "masked":
            # in place the fitted rows are the filled ones: one spelling for one thing, so that ids agree
            object.__setattr__(self, "training_rows", "masked")
        self._check_protocol()
        if not 0.0 < self.missing_rate < 1.0:
            raise ConfigError(f"missing_rate is {self.missing_rate!r}; give a fraction between 0 and 1.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            raise ConfigError(f"seed is {self.seed!r}; give a non-negative integer.")
        self._check_cohorts()
        self._check_method()

    def _check_protocol(self) -> None:
        object.__setattr__(self, "covariates", tuple(self.covariates))
        for name in self.covariates:
            _check_choice("covariate", name, COVARIATES)
        standardisation = self.standardisation or _standardisation(self.scenario)
        object.__setattr__(self, "standardisation", standardisation)
        _check_choice("split", self.split, SPLITS)
        _check_choice("standardisation", standardisation, STANDARDISATIONS)
        _check_choice("gene_matching", self.gene_matching, GENE_MATCHING)
        _check_choice("scored_rows", self.scored_rows, SCORED_ROWS)
        across = self.scenario == "cross_cohort"
        if not across and (self.gene_matching != "name" or self.gene_alias):
            raise ConfigError("gene_matching and gene_alias pair genes of two cohorts; the scenario is 'cross_cohort'.")
        if across and self.split != "donor":
            raise ConfigError("In 'cross_cohort' whole cohorts are fitted and filled; split='sample' has no meaning.")
        if self.scenario == "in_place" and standardisation == "own":
            raise ConfigError("In place the filled rows are the fitted ones; standardisation='own' changes nothing.")
        if self.gene_alias and self.gene_alias.count("=") != 1:
            raise ConfigError(f"gene_alias is {self.gene_alias!r}; write it as 'TARGET_GENE=TRAINING_GENE'.")
        if self.mechanism in BLOCK_MECHANISMS and self.training_rows == "masked":
            raise ConfigError(
                f"Mechanism {self.mechanism!r} leaves genes without any value, so no method can be fitted on rows "
                "with such holes; use it inductively with complete training rows."
            )

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
            if self.transform != "log1p" or self.hyperparameters or self.mechanism == "mnar":
                raise ConfigError(
                    "The oracle is known on the log1p scale, has no hyperparameters, and is not the best where values "
                    "are hidden because of what they are ('mnar')."
                )
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
    def variant(self) -> str:
        """In which decisions of `PROTOCOL` the trial differs from the study's, in words; empty for none."""
        usual = {name: PROTOCOL[name] for name in PROTOCOL} | {"standardisation": _standardisation(self.scenario)}
        differing = {name: getattr(self, name) for name in PROTOCOL if getattr(self, name) != usual[name]}
        words = {name: "+".join(v) or "none" if isinstance(v, tuple) else v for name, v in differing.items()}
        return "; ".join(f"{name} {value}" for name, value in words.items())

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

    @property
    def fit_key(self) -> tuple[object, ...]:
        """Equal for trials of one study that fit the same method to the same rows, and differ in what they fill."""
        key = [self.method, self.hyperparameters, self.seed, self.train, self.gene_set, self.transform]
        key += [self.scenario, self.training_rows, self.covariates, self.split]
        if self.scenario == "cross_cohort":  # the genes are those that all its cohorts share
            key += [self.test, self.gene_matching, self.gene_alias]
        if self.training_rows == "masked":
            key += [self.missing_rate, self.mechanism]
        return tuple(key)

    def describe(self) -> str:
        """Short text for progress lines and error messages."""
        rows = "" if self.scenario == "in_place" else f", {self.training_rows} training rows"
        holes = f"{self.missing_rate:g} {self.mechanism}"
        variant = f", {self.variant}" if self.variant else ""
        return (
            f"{self.method}, {self.scenario} {self.train} -> {self.test}, {holes}, {self.transform}{rows}{variant}, "
            f"seed {self.seed}"
        )


def _standardisation(scenario: str) -> str:
    """Whose statistics standardise the rows to be filled unless a trial says otherwise."""
    return "own" if scenario == "cross_cohort" else "training"


#: Decisions that are the same throughout the study, with the study's choice; an empty one depends on the scenario.
PROTOCOL = {
    entry.name: entry.default
    for entry in fields(Trial)
    if entry.name in ("covariates", "split", "standardisation", "gene_matching", "gene_alias", "scored_rows")
}


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
        Columns as in `COLUMNS`; one row per metric, level and group, or a single row with status "failed" or "skipped".
    history : DataFrame or None
        Training curve of a network.
    """

    trial_id: str
    rows: pd.DataFrame
    history: pd.DataFrame | None

    @property
    def failed(self) -> bool:
        """Whether there is no score: the method raised, or the trial was skipped as too costly."""
        return bool((self.rows["status"] != "ok").any())


def tidy_rows(trial: Trial, study, rows: pd.DataFrame, **values: object) -> pd.DataFrame:
    """Complete score rows to the columns of the results table."""
    fixed = {name: getattr(trial, name) for name in COLUMNS if hasattr(trial, name) and name != "trial_id"}
    fixed |= {"trial_id": trial.trial_id(study.fingerprint), "version": reproduce.__version__} | values
    table = rows.assign(**{name: value for name, value in fixed.items() if name not in rows})
    table["seed"] = table["seed"].astype("int64")
    return table[list(COLUMNS)]


def blank_result(trial: Trial, study, *, status: str, error: str) -> TrialResult:
    """A single row without a score, which says why there is none.

    Parameters
    ----------
    trial : Trial
    study : reproduce.loaders.study.Study
    status : {"failed", "skipped"}
    error : str
    """
    blank = {"metric": [""], "value": [np.nan], "level": [""], "group": [""], "n_evaluated": [0]}
    values = {"fit_seconds": np.nan, "impute_seconds": np.nan, "status": status, "error": error[:2000]}
    return TrialResult(trial.trial_id(study.fingerprint), tidy_rows(trial, study, pd.DataFrame(blank), **values), None)
