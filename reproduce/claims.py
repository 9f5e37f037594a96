"""Decides every claim of the paper and of the student study from stored tables; never runs a method and never draws.

A claim is written down with the test that decides it before any result is looked at. What was found is one number for
each donor split (or seed), so its interval and its p values on either side of a margin come from the corrected t of
`reproduce.hypotheses`; claims that need several contrasts to hold take the one that is hardest. The verdicts on the
hypotheses H1 to T2 are those of `reproduce.hypotheses`, adjusted among themselves; the other claims are adjusted among
themselves, both by Holm. A claim that these data cannot decide says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from reproduce.errors import DataFormatError
from reproduce.experiments.missingness import ONCE
from reproduce.experiments.trials import COLUMNS as TRIAL_COLUMNS
from reproduce.hypotheses import CONFIDENCE, MARGIN, Contrast, corrected_t, decide, overlap_ratio
from reproduce.imputers import METHODS
from reproduce.tables.ranges import limits_of
from reproduce.tables.summaries import counted, label_of, read_paper_reported
from reproduce.tables.wording import with_interval

NOT_TESTABLE = "not testable here"
COLUMNS = (
    "id", "claim", "source", "test", "data", "quantity", "decisive", "effect", "low", "high", "margin", "n_splits",
    "verdict", "reason",
)  # fmt: skip
FEWEST_SPLITS = 3
#: Below this rate a gene of one tissue has too few hidden entries for an R² that can be compared between cohorts.
LEAST_HIDDEN = 0.3
#: A ranking of fewer says little.
FEWEST_METHODS = 4


@dataclass(frozen=True)
class Finding:
    """What decides a claim: contrasts of which all must hold, or a reason why there is none.

    Attributes
    ----------
    contrasts : dict of str to Contrast
        By what is compared, in words.
    data : str
        What they were measured on.
    reason : str
        Why there is no contrast.
    """

    contrasts: dict[str, Contrast] = field(default_factory=dict)
    data: str = ""
    reason: str = ""


class Evidence:
    """The tables of a run, by the name of the notebook that wrote them.

    Parameters
    ----------
    folder : path-like
        Results folder.
    case_study : str
        Title of the study that the numbered notebooks up to 07 ran on.
    """

    def __init__(self, folder: str | Path, case_study: str):
        self.folder, self.case_study = Path(folder), case_study

    def trials(self, name: str) -> pd.DataFrame:
        """Trial rows: ``NAME.parquet``."""
        return pd.read_parquet(self._existing(f"{name}.parquet"))

    def table(self, name: str) -> pd.DataFrame:
        """A table: ``NAME.csv``; empty text comes as NaN."""
        return pd.read_csv(self._existing(f"{name}.csv"))

    def _existing(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise DataFormatError(f"{path}: no such file; run the notebook {name[:2]} first.")
        return path


@dataclass(frozen=True)
class Claim:
    """A claim and the test that decides it.

    Attributes
    ----------
    id, statement, source : str
        `source` says where it is stated.
    test : str
        In words: what is measured, and what it must exceed.
    quantity : str
        What the effect is, with its unit.
    margin : float
        What the effect must exceed.
    find : callable
        From the evidence and the margin to a `Finding`.
    """

    id: str
    statement: str
    source: str
    test: str
    quantity: str
    margin: float
    find: Callable[[Evidence, float], Finding]


# --- scores by split ---


def _scores(rows: pd.DataFrame, column: str = "value", **selection: object) -> pd.Series:
    """One number for each seed: the overall R² unless the selection names another metric or level."""
    selection = {"status": "ok", "metric": "r2", "level": "overall"} | selection
    keep = pd.Series(True, index=rows.index)
    for name, value in selection.items():
        keep &= np.isclose(rows[name], value) if isinstance(value, float) else rows[name] == value
    chosen = rows[keep].drop_duplicates(["seed", "trial_id"])
    if chosen["seed"].duplicated().any():
        raise DataFormatError(f"Several trials per seed with {selection}; the claim does not say which one is meant.")
    return chosen.set_index("seed")[column].astype(float).dropna()


def _contrast(values: pd.Series, margin: float, ratio: float) -> Contrast | None:
    return corrected_t(values.to_numpy(), ratio, margin=margin) if len(values) else None


def _finding(contrasts: dict[str, Contrast | None], data: str, otherwise: str) -> Finding:
    """All contrasts, or the reason why there are none; a claim is not decided on part of what it is about."""
    absent = [name for name, contrast in contrasts.items() if contrast is None]
    if absent or not contrasts:
        return Finding(data=data, reason=f"{otherwise}: {', '.join(absent)}" if absent else otherwise)
    return Finding({name: c for name, c in contrasts.items() if c is not None}, data)


# --- the single tests ---


def best_of_all(method: str, scenario: str, gene_set: str) -> Callable[[Evidence, float], Finding]:
    """The method beats every other one of the paper's comparison on a gene set."""

    def find(evidence: Evidence, margin: float) -> Finding:
        rows, data = _paper_table(evidence, gene_set, scenario), _data_of(evidence, gene_set)
        ours, theirs = _scores(rows, method=method), _paper_scores(scenario, gene_set)
        if ours.empty:
            return Finding(data=data, reason=f"no score of {label_of(method)} on these genes")
        # what the paper could not run either, nobody has to be compared with
        pairs = {name: (ours - _scores(rows, method=name)).dropna() for name in theirs.index if name != method}
        known = {name: values for name, values in pairs.items() if name in METHODS}
        contrasts = {
            f"{label_of(method)} − {label_of(name)}": _contrast(values, margin, overlap_ratio(scenario))
            for name, values in known.items()
        }
        return _finding(contrasts, data, "not both were run")

    return find


def ranking(scenario: str, gene_set: str) -> Callable[[Evidence, float], Finding]:
    """Kendall's τ between the paper's order of methods and ours, split by split."""

    def find(evidence: Evidence, margin: float) -> Finding:
        rows, data = _paper_table(evidence, gene_set, scenario), _data_of(evidence, gene_set)
        theirs = _paper_scores(scenario, gene_set)
        by_method = {name: _scores(rows, method=name) for name in theirs.index if name in METHODS}
        # a method that was run on fewer splits would take the others' splits with it
        most = max((len(values) for values in by_method.values()), default=0)
        ours = pd.DataFrame({name: values for name, values in by_method.items() if len(values) == most > 0}).dropna()
        if ours.shape[1] < FEWEST_METHODS:
            return Finding(data=data, reason=_too_few_methods(ours.shape[1]))
        taus = ours.apply(lambda row: stats.kendalltau(row, theirs[ours.columns]).statistic, axis=1)
        contrast = _contrast(taus, margin, overlap_ratio(scenario))
        if taus.nunique() == 1:
            # the same order in each of a few splits: no spread, which is not the same as certainty
            contrast = replace(contrast, low=-np.inf, high=np.inf, p_above=1.0, p_below=1.0)
        return _finding({f"{ours.shape[1]} methods": contrast}, data, "no split with all methods")

    return find


def _too_few_methods(n: int) -> str:
    if n == 0:
        return "none of the paper's methods was run"
    return f"only {n} of the paper's methods {'was' if n == 1 else 'were'} run, {FEWEST_METHODS} are required"


def faster(method: str, rival: str, gene_set: str) -> Callable[[Evidence, float], Finding]:
    """log10 of the ratio of times to fit and fill, split by split."""

    def find(evidence: Evidence, margin: float) -> Finding:
        rows = _paper_table(evidence, gene_set, "inductive")
        rows = rows.assign(seconds=rows["fit_seconds"] + rows["impute_seconds"])
        ours, theirs = (_scores(rows, "seconds", method=name) for name in (method, rival))
        skipped = rows[(rows["method"] == rival) & (rows["status"] == "skipped")]["error"]
        data = _data_of(evidence, gene_set)
        if len(skipped) and not len(theirs):
            return Finding(data=data, reason=f"{label_of(rival)} was not run ({skipped.iloc[0]})")
        ratios = np.log10((theirs / ours).dropna())
        contrast = _contrast(ratios, margin, overlap_ratio("inductive"))
        return _finding({f"{label_of(rival)} over {label_of(method)}": contrast}, data, "not both were run")

    return find


def _by_split(evidence: Evidence) -> pd.DataFrame:
    rows = evidence.table("07_missingness-by_split")
    return rows[rows["training"] == ONCE]


def robust(methods: Sequence[str], low: float, high: float, share: float) -> Callable[[Evidence, float], Finding]:
    """Networks trained once keep at least a share of their R² when the missing rate rises."""

    def find(evidence: Evidence, margin: float) -> Finding:
        rows = _by_split(evidence)
        rows = rows[rows["target"].str.startswith("GTEx")]
        contrasts = {}
        for method in methods:
            mine = rows[rows["method"] == method]
            wide = mine.groupby(["seed", "missing_rate"])["value"].mean().unstack()
            known = {low, high} <= set(wide.columns)
            values = (wide[high] - share * wide[low]).dropna() if known else pd.Series(dtype=float)
            contrasts[label_of(method)] = _contrast(values, margin, overlap_ratio("inductive"))
        return _finding(contrasts, evidence.case_study, f"not run at both {low:.0%} and {high:.0%}")

    return find


def generalises(methods: Sequence[str], tumour: str, tissue: str, share: float) -> Callable[[Evidence, float], Finding]:
    """In a tumour, networks keep at least a share of the R² of the healthy tissue at every missing rate."""

    def find(evidence: Evidence, margin: float) -> Finding:
        rows = _by_split(evidence)
        rows = rows[rows["missing_rate"] >= LEAST_HIDDEN]
        contrasts = {}
        for method in methods:
            mine = rows[rows["method"] == method]
            wide = mine.pivot_table(index="seed", columns=["missing_rate", "target"], values="value")
            rates = sorted(set(mine["missing_rate"])) or [np.nan]
            for rate in rates:
                known = (rate, tumour) in wide and (rate, tissue) in wide
                values = (wide[rate, tumour] - share * wide[rate, tissue]).dropna() if known else pd.Series(dtype=float)
                name = f"{label_of(method)}, {rate:.0%} hidden" if known else label_of(method)
                # the larger overlap of the two
                contrasts[name] = _contrast(values, margin, overlap_ratio("cross_cohort"))
        return _finding(contrasts, evidence.case_study, "not run")

    return find


def fills_tumours(method: str, gene_set: str) -> Callable[[Evidence, float], Finding]:
    """Fitted on normal tissue, the method fills each tumour cohort better than the cohort's own gene means."""

    def find(evidence: Evidence, margin: float) -> Finding:
        rows = _paper_table(evidence, gene_set, "cross_cohort")
        contrasts = {
            tumour: _contrast(_scores(rows, method=method, test=tumour), margin, overlap_ratio("cross_cohort"))
            # a trial that was skipped names all its tumours at once
            for tumour in rows.loc[rows["status"] == "ok", "test"].unique()
        }
        return _finding(contrasts, _data_of(evidence, gene_set), "no tumours were filled")

    return find


def absent_cohorts(names: Sequence[str]) -> Callable[[Evidence, float], Finding]:
    """No source that this study can read holds these tumours; which of them is not among what was filled."""

    def find(evidence: Evidence, margin: float) -> Finding:
        genome = _paper_table(evidence, "alzheimer", "cross_cohort")
        held = {*evidence.table("04_transfer_to_tumours")["test"], *genome["test"]}
        return Finding(
            reason=f"these data hold no {' and no '.join(name for name in names if name not in held)} tumours"
        )

    return find


def cluster(method: str, group: str) -> Callable[[Evidence, float], Finding]:
    """Silhouette of a group of tissues in the learned embeddings, above its mean under permuted labels."""

    def find(evidence: Evidence, margin: float) -> Finding:
        table = evidence.table("08_tissues_and_genes-embeddings")
        mine = table[(table["method"] == method) & (table["group"] == group)].set_index("seed")
        values = (mine["silhouette"] - mine["null_mean"]).dropna()
        contrast = _contrast(values, margin, overlap_ratio("inductive"))
        return _finding({label_of(method): contrast}, _title(evidence, "08_tissues_and_genes"), "not trained")

    return find


def blood_is_poor(evidence: Evidence, margin: float) -> Finding:
    """The tissue median beats the donor's blood."""
    rows = evidence.trials("08_tissues_and_genes-blood")
    values = (_scores(rows, method="median") - _scores(rows, method="surrogate")).dropna()
    contrast = _contrast(values, margin, overlap_ratio("inductive"))
    return _finding({"Tissue median − blood": contrast}, _title(evidence, "08_tissues_and_genes"), "not both were run")


def _paper_scores(scenario: str, gene_set: str) -> pd.Series:
    """R² of the paper's table by method, where the paper has one."""
    paper = read_paper_reported()
    chosen = paper["table"].isin(["Table 1", "Table 2"]) & (paper["metric"] == "r2")
    paper = paper[chosen & (paper["gene_set"] == gene_set) & (paper["scenario"] == scenario)]
    return paper.dropna(subset="value").set_index("method")["value"]


def _paper_table(evidence: Evidence, gene_set: str, scenario: str) -> pd.DataFrame:
    """Trial rows of one of the paper's tables; none where the preset left the gene set out."""
    if gene_set not in set(evidence.table("15_paper_tables-data")["gene_set"]):
        return pd.DataFrame(columns=list(TRIAL_COLUMNS))
    rows = evidence.trials(f"15_paper_tables-{gene_set}")
    return rows[rows["scenario"] == scenario]


def _data_of(evidence: Evidence, gene_set: str) -> str:
    table = evidence.table("15_paper_tables-data").set_index("gene_set")["title"]
    return str(table.get(gene_set, ""))


def _title(evidence: Evidence, name: str) -> str:
    return str(evidence.table(f"{name}-data")["title"].iloc[0])


# --- the claims ---

_ABSTRACT = "paper, abstract"

CLAIMS = (
    Claim(
        "A2", "PMI is faster than MICE.", f"{_ABSTRACT}; Table 2",
        "Time to fit and fill, 273 Alzheimer genes, inductively: MICE's over PMI's, as a power of ten.",
        "log₁₀ of the ratio of times", 0.0, faster("pmi", "mice", "alzheimer"),
    ),
    Claim(
        "A3", "On protein-coding genes, PMI is the best of the paper's methods inductively.", f"{_ABSTRACT}; Table 1",
        "PMI's R² minus that of every other of them, 50 % hidden; the smallest decides.",
        "difference in R²", MARGIN, best_of_all("pmi", "inductive", "protein_coding"),
    ),
    Claim(
        "A4", "On protein-coding genes, GAIN-GTEx is the best of the paper's methods in place.",
        f"{_ABSTRACT}; Table 1",
        "GAIN-GTEx's R² minus that of every other of them, 50 % hidden; the smallest decides.",
        "difference in R²", MARGIN, best_of_all("gain", "in_place", "protein_coding"),
    ),
    Claim(
        "A5", "Fitted on normal tissue, the networks generalise strongly to lung tumours at all levels of missingness.",
        f"{_ABSTRACT}; figure of R² against missing rate",
        "PMI and GAIN-GTEx, rates from 30 % hidden: R² in LUAD minus half of the healthy lung's; the worst decides.",
        "R² above half of the healthy tissue's", 0.0, generalises(("pmi", "gain"), "LUAD", "GTEx Lung", 0.5),
    ),
    Claim(
        "A6", "Fitted on normal tissue, the networks generalise strongly to colorectal tumours as well.",
        "student study's plan: transfer to TCGA",
        "As A5, COADREAD and healthy colon.",
        "R² above half of the healthy tissue's", 0.0,
        generalises(("pmi", "gain"), "COADREAD", "GTEx Colon - Transverse", 0.5),
    ),
    Claim(
        "R1", "The networks are robust to the missing rate.", "paper, figure of R² against missing rate",
        "R² at 90 % hidden minus half of R² at 50 %, trained once for all rates; the smaller decides.",
        "R² at 90 % above half of that at 50 %", 0.0, robust(("pmi", "gain"), 0.5, 0.9, 0.5),
    ),
    Claim(
        "K1", "Table 1, inductive: methods rank as in the paper.", "paper, Table 1",
        "Kendall's τ of our order with the paper's.", "τ", 0.5, ranking("inductive", "protein_coding"),
    ),
    Claim(
        "K2", "Table 1, in place: methods rank as in the paper.", "paper, Table 1",
        "Kendall's τ of our order with the paper's.", "τ", 0.5, ranking("in_place", "protein_coding"),
    ),
    Claim(
        "K3", "Table 2, inductive: methods rank as in the paper.", "paper, Table 2",
        "Kendall's τ of our order with the paper's.", "τ", 0.5, ranking("inductive", "alzheimer"),
    ),
    Claim(
        "K4", "Table 2, in place: methods rank as in the paper.", "paper, Table 2",
        "Kendall's τ of our order with the paper's.", "τ", 0.5, ranking("in_place", "alzheimer"),
    ),
    Claim(
        "C1", "Fitted on normal tissue, PMI fills LAML and BRCA tumours.",
        "paper, figure of R² against missing rate for TCGA",
        "R² above the gene means of the tumours; the smaller decides.",
        "R²", MARGIN, absent_cohorts(("LAML", "BRCA")),
    ),
    Claim(
        "C2", "Fitted on normal tissue, PMI fills tumours genome-wide, whatever the organ.",
        "paper, abstract: generalisation to other cancers",
        "R² above the gene means in each tumour cohort at hand, protein-coding genes; the smallest decides.",
        "R²", MARGIN, fills_tumours("pmi", "protein_coding"),
    ),
    Claim(
        "E1", "The learned tissue embeddings put brain tissues together.", "paper, figure of tissue embeddings",
        "GAIN-GTEx: silhouette of brain against other tissues, minus its mean under permuted labels.",
        "silhouette", 0.0, cluster("gain", "brain"),
    ),
    Claim(
        "E2", "The learned tissue embeddings group tissues by organ.", "paper, figure of tissue embeddings",
        "GAIN-GTEx: silhouette of tissues by organ, minus its mean under permuted labels.",
        "silhouette", 0.0, cluster("gain", "organ"),
    ),
    Claim(
        "B1", "Blood is a poor surrogate for other tissues.", "paper, Tables 1 and 2",
        "R² of the tissue median minus that of the donor's blood, donors who have blood.",
        "difference in R²", MARGIN, blood_is_poor,
    ),
)  # fmt: skip


def claims_table(evidence: Evidence, claims: Sequence[Claim] = CLAIMS) -> pd.DataFrame:
    """The verdict on every claim.

    Parameters
    ----------
    evidence : Evidence
    claims : sequence of Claim
        Besides the tested hypotheses, which always come first.

    Returns
    -------
    DataFrame
        Columns as in `COLUMNS`. Verdicts are "supported", "refuted", "inconclusive" and "not testable here".

    Raises
    ------
    DataFormatError
        If a table that a claim needs is absent: its notebook has not been run.
    """
    tested = hypothesis_rows(evidence)
    rows = [_row(claim, claim.find(evidence, claim.margin)) for claim in claims]
    others = decide(pd.DataFrame(rows), alpha=(1 - CONFIDENCE) / 2)
    others.loc[others["n_splits"] == 0, "verdict"] = NOT_TESTABLE
    return pd.concat([performance_row(tested), tested, others], ignore_index=True)[list(COLUMNS)]


def _row(claim: Claim, finding: Finding) -> dict[str, object]:
    fixed = {"id": claim.id, "claim": claim.statement, "source": claim.source, "test": claim.test}
    fixed |= {"data": finding.data, "quantity": claim.quantity, "margin": claim.margin}
    if not finding.contrasts:
        blank = {"effect": np.nan, "low": np.nan, "high": np.nan, "p_supported": 1.0, "p_refuted": 1.0, "n_splits": 0}
        return fixed | blank | {"reason": finding.reason, "decisive": ""}
    contrasts = finding.contrasts
    which = _decisive(contrasts)
    hardest, n = contrasts[which], min(c.n_splits for c in contrasts.values())
    values = {"effect": hardest.mean, "low": hardest.low, "high": hardest.high, "n_splits": n}
    # supported if every contrast holds; refuted if one does not, whichever of them that is
    values |= {"p_supported": max(c.p_above for c in contrasts.values())}
    values |= {"p_refuted": min(1.0, len(contrasts) * min(c.p_below for c in contrasts.values()))}
    reason = f"only {counted(n, 'split')}, {FEWEST_SPLITS} are required" if n < FEWEST_SPLITS else ""
    return fixed | values | {"reason": reason, "decisive": which}


def _decisive(contrasts: dict[str, Contrast]) -> str:
    """The contrast that speaks most clearly against the claim; if none does, the one that supports it least."""
    against = min(contrasts, key=lambda name: contrasts[name].p_below)
    return against if contrasts[against].p_below < 0.5 else max(contrasts, key=lambda name: contrasts[name].p_above)


def hypothesis_rows(evidence: Evidence) -> pd.DataFrame:
    """The tested hypotheses in the columns of the claims table."""
    table = evidence.table("verdicts")
    rivals = table["rival"].fillna("").map(lambda name: label_of(name) if name else "gene means")
    named = table["challenger"].fillna("").map(lambda name: label_of(name) if name else "nothing")
    return table.assign(
        claim=table["statement"],
        test="R² on log counts, 50 % hidden, one network against every rival: see the notebook of the hypotheses.",
        decisive=named + " − " + rivals,
        data=evidence.case_study,
        quantity="difference in R²",
        reason=table["reason"].fillna(""),
    )[list(COLUMNS)]


def performance_row(tested: pd.DataFrame) -> pd.DataFrame:
    """The abstract's first claim stands on H1 and H2 together: both must hold, and one that fails is enough."""
    pair = tested[tested["id"].isin(["H1", "H2"])]
    verdicts = set(pair["verdict"])
    verdict = "supported" if verdicts == {"supported"} else "refuted" if "refuted" in verdicts else "inconclusive"
    hardest = pair.loc[[pair["effect"].idxmin()]]
    return hardest.assign(
        id="A1",
        claim="PMI and GAIN-GTEx compare favourably with standard methods in predictive performance.",
        source=_ABSTRACT,
        test="H1 and H2 together: supported if both are, refuted if one is.",
        verdict=verdict,
        reason=" and ".join(f"{row.id} is {row.verdict}" for row in pair.itertuples()),
    )


def show_claims(table: pd.DataFrame) -> pd.DataFrame:
    """Claims, verdicts and effects as a reader wants them."""
    return pd.DataFrame(
        {
            "id": table["id"],
            "claim": table["claim"],
            "verdict": table["verdict"],
            "effect [95 %]": [
                with_interval(row.effect, row.low, row.high, sign="+", limits=limits_of(row.quantity))
                for row in table.itertuples()
            ],
            "splits": table["n_splits"],
            "why": table["reason"],
        }
    )


def show_tests(table: pd.DataFrame) -> pd.DataFrame:
    """How each claim is decided, and on what."""
    return pd.DataFrame(
        {
            "id": table["id"],
            "test": table["test"],
            "effect, and what it must exceed": _needed(table),
            "decisive": table["decisive"],
            "data": table["data"],
            "stated in": table["source"],
        }
    )


def _needed(table: pd.DataFrame) -> pd.Series:
    return table["quantity"] + " > " + table["margin"].map("{:g}".format)


def say_claims(table: pd.DataFrame) -> str:
    """How many claims came out how."""
    counts = table["verdict"].value_counts()
    names = [name for name in ("supported", "refuted", "inconclusive", NOT_TESTABLE) if name in counts]
    *others, last = (f"{counts[name]} {'is' if counts[name] == 1 else 'are'} {name}" for name in names)
    return f"Of {len(table)} claims, {', '.join(others)}{' and ' if others else ''}{last}."
