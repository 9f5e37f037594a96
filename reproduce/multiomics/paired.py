"""mRNA, methylation and protein of the same samples: reads, checks, divides and writes them; never trains on them.

Sources by name:

| name | what | samples × genes | clusters |
| --- | --- | --- | --- |
| `brca` | ``brca769_*`` in the data folder's ``multiomics/``: TCGA breast tumours | 769 × 1,000, both layers | PAM50 |
| `simulated` | `simulator.Simulator`: mRNA, methylation, protein | any number × 131 | any number |
| a folder | ``mRNA.txt``, ``meth.txt``, ``clusters.txt``, and ``prot.txt`` if there is one (InterSIM's layout) | | |

"auto" takes the first of the first two that is there.

Methylation is given as beta-values (the share of molecules that are methylated, 0 to 1) or as M-values,
log₂(β / (1 − β)); `uns["units"]` says which.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from reproduce.errors import ConfigError, DataFormatError
from reproduce.files import atomic_path
from reproduce.loaders.places import DATA_VARIABLE, data_folder
from reproduce.multiomics.layer_tables import (
    as_objects,
    check_names,
    check_paired,
    checked_numbers,
    read_clusters,
    read_table,
    read_units,
)

LAYERS = ("mRNA", "methylation", "protein")
#: File of each layer, as the R package InterSIM's users write them.
FILES = {"mRNA": "mRNA.txt", "methylation": "meth.txt", "protein": "prot.txt"}
CLUSTERS_FILE = "clusters.txt"
#: What `write_paired` adds, so that units need not be guessed.
UNITS_FILE = "units.txt"
UNITS = {
    "mRNA": ("log2", "log2 (centred)"),
    "methylation": ("beta-value", "M-value"),
    "protein": ("log2", "RPPA (log2, centred)"),
}
#: Beta-values are kept this far from 0 and 1 when M-values are made of them.
BETA_MARGIN = 1e-6
_BRCA = "brca769"


@dataclass(frozen=True)
class PairedOmics:
    """Layers of the same samples, within one AnnData.

    Attributes
    ----------
    data : AnnData
        ``X`` mRNA (n_samples, n_genes) float32; ``obsm["methylation"]`` and, if measured, ``obsm["protein"]``: float32
        DataFrames with the names of their features; ``obs["cluster"]``; ``uns["units"]`` by layer; ``uns["source"]``.
    name : str
    source : str
        Where they come from, in a sentence.
    simulated : bool
    """

    data: AnnData
    name: str
    source: str
    simulated: bool = False

    @classmethod
    def from_tables(
        cls,
        mRNA: pd.DataFrame,
        methylation: pd.DataFrame,
        clusters: pd.Series,
        protein: pd.DataFrame | None = None,
        *,
        units: Mapping[str, str],
        name: str,
        source: str,
        simulated: bool = False,
    ) -> PairedOmics:
        """Of tables of samples × features; rows are matched by name, in the order of `mRNA`.

        Parameters
        ----------
        mRNA, methylation, protein : DataFrame (n_samples, n_features of the layer)
        clusters : Series (n_samples,)
            The class of each sample.
        units : mapping
            Of each layer; for the values see `UNITS`.

        Raises
        ------
        DataFormatError
            For samples that are not in every table, repeated names, entries that are no finite number, and beta-values
            outside 0 to 1; it names the first sample and feature.
        ConfigError
            For a layer without units or with unknown ones.
        """
        tables = {"mRNA": mRNA, "methylation": methylation, "protein": protein}
        tables = {layer: table for layer, table in tables.items() if table is not None}
        for layer, table in tables.items():
            if units.get(layer) not in UNITS[layer]:
                raise ConfigError(
                    f"The {layer} has the units {units.get(layer)!r}; say one of {', '.join(UNITS[layer])}."
                )
            check_names(table, layer)
        if clusters.index.has_duplicates:
            first = clusters.index[clusters.index.duplicated()][0]
            raise DataFormatError(f"Sample {first} stands twice in the clusters; keep one row of it.")
        samples = mRNA.index
        for layer, index in {
            **{layer: table.index for layer, table in tables.items()},
            "clusters": clusters.index,
        }.items():
            check_paired(samples, index, layer)
        checked = {layer: checked_numbers(table.loc[samples], layer, units[layer]) for layer, table in tables.items()}
        labels = clusters.loc[samples]
        if labels.isna().any():
            raise DataFormatError(f"Sample {labels.index[labels.isna()][0]} has no cluster; name it or leave it out.")
        obs = pd.DataFrame({"cluster": labels.astype(str).astype(object)}, index=as_objects(samples))
        data = AnnData(checked["mRNA"].to_numpy(), obs=obs, var=pd.DataFrame(index=as_objects(mRNA.columns)))
        for layer in set(checked) - {"mRNA"}:
            data.obsm[layer] = checked[layer].set_axis(data.obs_names, axis=0)
        data.uns["units"] = {layer: units[layer] for layer in checked}
        data.uns["source"] = source
        return cls(data, name, source, simulated)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that were measured."""
        return tuple(layer for layer in LAYERS if layer == "mRNA" or layer in self.data.obsm)

    @property
    def clusters(self) -> np.ndarray:
        """Class of each sample, ndarray of str (n_samples,)."""
        return self.data.obs["cluster"].to_numpy(dtype=str)

    @property
    def samples(self) -> np.ndarray:
        """Names of the samples, ndarray of str (n_samples,)."""
        return self.data.obs_names.to_numpy(dtype=str)

    @property
    def units(self) -> dict[str, str]:
        """Unit of each layer."""
        return dict(self.data.uns["units"])

    def layer(self, name: str) -> pd.DataFrame:
        """One layer, samples × features, float32.

        Raises
        ------
        ConfigError
            For a layer that was not measured.
        """
        if name not in self.layers:
            raise ConfigError(f"{self.name} has no layer {name!r}; there are {', '.join(self.layers)}.")
        if name == "mRNA":
            return pd.DataFrame(self.data.X, index=self.data.obs_names, columns=self.data.var_names)
        return self.data.obsm[name]

    def rows(self, index: np.ndarray) -> PairedOmics:
        """Some of the samples, by position, in the order given."""
        return PairedOmics(self.data[np.asarray(index)].copy(), self.name, self.source, self.simulated)

    def genes(self, n: int) -> PairedOmics:
        """The `n` most variable features of every layer, in their order; 0: all.

        The variances are those of all samples; a study that must not see its test samples chooses on another copy.
        """
        if n <= 0:
            return self
        tables = {layer: self.layer(layer) for layer in self.layers}
        kept = {layer: _most_variable(table, n) for layer, table in tables.items()}
        return self._with(kept, self.units)

    def methylation_as(self, unit: str) -> PairedOmics:
        """The same with methylation as "beta-value" or "M-value" = log₂(β / (1 − β))."""
        if unit not in UNITS["methylation"]:
            raise ConfigError(f"Unknown unit {unit!r} of methylation; say one of {', '.join(UNITS['methylation'])}.")
        if unit == self.units["methylation"]:
            return self
        convert = beta_to_m if unit == "M-value" else m_to_beta
        tables = {layer: self.layer(layer) for layer in self.layers}
        tables["methylation"] = convert(tables["methylation"])
        return self._with(tables, {**self.units, "methylation": unit})

    def fingerprint(self) -> str:
        """Digest of layers, names, units and clusters."""
        digest = hashlib.sha256()
        for layer in self.layers:
            table = self.layer(layer)
            digest.update(np.ascontiguousarray(table.to_numpy(np.float32)).tobytes())
            digest.update("\0".join([layer, self.units[layer], *map(str, table.columns)]).encode())
        digest.update("\0".join([*self.samples, *self.clusters]).encode())
        return digest.hexdigest()[:12]

    def _with(self, tables: Mapping[str, pd.DataFrame], units: Mapping[str, str]) -> PairedOmics:
        return PairedOmics.from_tables(
            **tables,
            clusters=pd.Series(self.clusters, index=self.data.obs_names),
            units=units,
            name=self.name,
            source=self.source,
            simulated=self.simulated,
        )


def beta_to_m(beta):
    """M-values log₂(β / (1 − β)) of beta-values, which are kept `BETA_MARGIN` away from 0 and 1."""
    beta = np.clip(beta, BETA_MARGIN, 1.0 - BETA_MARGIN)
    return np.log2(beta / (1.0 - beta))


def m_to_beta(m):
    """Beta-values 2ᴹ / (1 + 2ᴹ) of M-values."""
    return 1.0 / (1.0 + np.exp2(-m))


# --- sources ---


def load_paired(
    which: str | Path = "auto", *, if_simulated: Mapping[str, object] | None = None, **options: object
) -> PairedOmics:
    """Paired layers by the name of their source.

    Parameters
    ----------
    which : str or path
        See the module's text.
    if_simulated : mapping, optional
        Options of `simulator.simulated_omics` (`n_samples`, `n_clusters`, `shares`, `seed`, …) that hold if simulated
        data are what is taken; for "auto", where they may not be.
    **options
        For "simulated" those of `simulator.simulated_omics`; for a folder `units`; for "brca" and "auto" none.

    Raises
    ------
    ConfigError
        For a source that there is not, or options that it has not.
    DataFormatError
        For files that are not what they should be.
    """
    if which == "auto":
        which = "brca" if _brca_file("mRNA.tsv.gz").is_file() else "simulated"
        if options:
            raise ConfigError(
                f"'auto' has no option {next(iter(options))}; give those of simulated data in if_simulated."
            )
    if which == "simulated":
        from reproduce.multiomics.simulator import simulated_omics

        return simulated_omics(**{**(if_simulated or {}), **options})
    if which == "brca":
        if options:
            raise ConfigError(f"The BRCA patients have no options; {', '.join(options)} are of simulated data.")
        return _read_brca()
    if not Path(which).is_dir():
        raise ConfigError(f"Unknown paired omics {which!r}; give 'auto', 'brca', 'simulated', or an existing folder.")
    return read_paired(which, **options)


def read_paired(folder: str | Path, units: Mapping[str, str] | None = None) -> PairedOmics:
    """Of ``mRNA.txt``, ``meth.txt``, ``clusters.txt`` and, if there is one, ``prot.txt``.

    Tables are samples × features, separated by white space, names quoted or not; the head may lack the name of the
    first column, as R's ``write.table`` leaves it out. The clusters have the columns sample and cluster, with or
    without R's row numbers.

    Parameters
    ----------
    folder : path
    units : mapping, optional
        By default those of ``units.txt`` (columns layer and unit), as `write_paired` writes it. Where there is no such
        file, "log2" for mRNA and protein; methylation is said to be beta-values if all lie in 0 to 1, else M-values.
    """
    folder = Path(folder)
    tables = {layer: read_table(folder / file) for layer, file in FILES.items() if (folder / file).is_file()}
    for layer in ("mRNA", "methylation"):
        if layer not in tables:
            raise DataFormatError(f"{folder / FILES[layer]} is not there; write the {layer} there, samples × features.")
    if units is None and (folder / UNITS_FILE).is_file():
        units = read_units(folder / UNITS_FILE)
    if units is None:
        values = tables["methylation"].to_numpy()
        is_beta = values.min() >= 0 and values.max() <= 1
        units = {"mRNA": "log2", "methylation": "beta-value" if is_beta else "M-value", "protein": "log2"}
    clusters = read_clusters(folder / CLUSTERS_FILE)
    try:
        return PairedOmics.from_tables(
            **tables, clusters=clusters, units=units, name=folder.name, source=f"tables of the folder {folder.name}"
        )
    except DataFormatError as error:
        raise DataFormatError(f"{folder}: {error}") from error


def write_paired(omics: PairedOmics, folder: str | Path) -> Path:
    """Write the tables that `read_paired` reads, to the last digit and with their units; returns the folder."""
    folder = Path(folder)
    for layer in omics.layers:
        with atomic_path(folder / FILES[layer]) as path:
            omics.layer(layer).to_csv(path, sep="\t", index_label="sample", float_format="%.9g", lineterminator="\n")
    clusters = pd.DataFrame({"subjects": omics.samples, "cluster.id": omics.clusters})
    with atomic_path(folder / CLUSTERS_FILE) as path:
        clusters.to_csv(path, sep="\t", index=False, lineterminator="\n")
    units = pd.DataFrame({"layer": list(omics.units), "unit": list(omics.units.values())})
    with atomic_path(folder / UNITS_FILE) as path:
        units.to_csv(path, sep="\t", index=False, lineterminator="\n")
    return folder


# --- divisions ---


def divide(clusters: np.ndarray, seed: int, test_share: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Positions of training and test samples: of every cluster the same share goes to the test samples.

    Parameters
    ----------
    clusters : ndarray of str (n_samples,)
    seed : int
        The same seed divides the same samples alike, whatever is trained on them.
    test_share : float, default 0.5

    Returns
    -------
    train, test : ndarray of int, ascending

    Raises
    ------
    ConfigError
        For a share that is not between 0 and 1, and a cluster that leaves one of the two empty.
    """
    if not 0.0 < test_share < 1.0:
        raise ConfigError(f"The share of test samples is {test_share}; give a number between 0 and 1.")
    rng = np.random.default_rng([seed, 769])
    test = []
    for cluster, members in _members(clusters):
        n_test = round(test_share * len(members))
        if not 0 < n_test < len(members):
            raise ConfigError(
                f"Cluster {cluster} has {len(members)} samples, which cannot be divided at {test_share}; "
                "join it to another or leave it out."
            )
        test.append(rng.permutation(members)[:n_test])
    test = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(clusters)), test), test


def _members(clusters: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    for cluster in np.unique(clusters):
        yield str(cluster), np.flatnonzero(clusters == cluster)


# --- readers ---


def _brca_file(end: str) -> Path:
    return data_folder() / "multiomics" / f"{_BRCA}_{end}"


def _read_brca() -> PairedOmics:
    paths = {end: _brca_file(end) for end in ("mRNA.tsv.gz", "meth.tsv.gz", "clusters.tsv")}
    if absent := [path for path in paths.values() if not path.is_file()]:
        raise ConfigError(f"{absent[0]} is not there; let {DATA_VARIABLE} name the folder that holds multiomics/.")
    tables = {end: pd.read_csv(path, sep="\t", index_col="patient") for end, path in paths.items()}
    return PairedOmics.from_tables(
        tables["mRNA.tsv.gz"],
        tables["meth.tsv.gz"],
        tables["clusters.tsv"]["pam50"],
        units={"mRNA": "log2", "methylation": "M-value"},
        name="brca",
        source="TCGA BRCA: 769 breast tumours, mRNA and gene-level methylation of the same 1,000 genes, PAM50 classes",
    )


def _most_variable(table: pd.DataFrame, n: int) -> pd.DataFrame:
    return table.iloc[:, np.sort(np.argsort(-table.to_numpy().var(axis=0), kind="stable")[:n])]
