"""Reads and writes the tables of MTLRANK's pipeline: HDF5 groups per tissue and activity tables; never trains on them.

| file in the folder | layout |
| --- | --- |
| `rpkm.hdf5` | a group a tissue: `exp` cells × genes (RPKM), `ensembl`, `barcode` |
| `velo.hdf5` | a group a tissue: `velo` cells × velocity genes (NaN: not in that data set), `ensembl`, `barcode` |
| `{tissue}_tfGeneMean.csv`, `{tissue}_tfGeneSum.csv` | activities: factors' symbols × genes' Ensembl ids |
| `ensembl_to_symbol.csv` (or `.csv.gz`) | columns `ensembl_id`, `gene_symbol` |
| `tf_list.csv`, or `tf_list.txt` | factors: a column `Ensembl ID` (humantfs' database), or a symbol a line |

Steps: log10(RPKM + 1); activities that are missing are 0, then log2(x + 1); cells are joined by barcode, genes by id.
Genes of several tissues are joined: expression that all tissues measured, velocities that one did, NaN in the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData

from reproduce.errors import DataFormatError
from reproduce.multitask.data import MEAN, TOTAL, VelocityData

RPKM, VELOCITY = "rpkm.hdf5", "velo.hdf5"
_SUFFIXES = {MEAN: "tfGeneMean", TOTAL: "tfGeneSum"}


def read_layout(folder: str | Path, tissues: Iterable[str] | None = None) -> AnnData:
    """Read the tables of a folder into the container of `reproduce.multitask.data`.

    Parameters
    ----------
    folder : path-like
    tissues : iterable of str, optional
        Names of groups; all of `velo.hdf5` by default.

    Returns
    -------
    AnnData
        ``uns["joined"]`` says how many cells of each tissue have both expression and velocity.

    Raises
    ------
    DataFormatError
        For files and groups that are absent, tables whose sizes disagree, and ids of which none match.
    """
    folder = Path(folder)
    symbols, listed = _symbols(folder), _listed_factors(folder)
    with _opened(folder / VELOCITY) as file:
        tissues = list(file) if tissues is None else list(tissues)
    if not tissues:
        raise DataFormatError(f"{folder / VELOCITY} has no group; it needs one for each tissue.")
    expression = {t: np.log10(_group(folder / RPKM, t, "exp") + 1.0) for t in tissues}
    velocity = {t: _group(folder / VELOCITY, t, "velo") for t in tissues}
    joined = {}
    for tissue in tissues:
        both = velocity[tissue].index.intersection(expression[tissue].index, sort=False)
        if both.empty:
            raise DataFormatError(
                f"{tissue}: no barcode of {VELOCITY} ({velocity[tissue].index[0]}, …) is in {RPKM} "
                f"({expression[tissue].index[0]}, …); write both from the same cells."
            )
        joined[tissue] = f"{len(both)} of {len(velocity[tissue])}"
        expression[tissue], velocity[tissue] = expression[tissue].loc[both], velocity[tissue].loc[both]
    together = pd.concat(expression, join="inner")
    moving = pd.concat(velocity, join="outer").loc[together.index]
    if not len(together.columns):
        raise DataFormatError(f"The tissues {', '.join(tissues)} of {RPKM} have no gene in common; check their ids.")
    names = together.columns.union(moving.columns, sort=False)
    is_factor = names.isin(together.columns) & _among(names, listed, symbols)
    if not is_factor.any():
        raise DataFormatError(
            f"None of the {len(listed)} factors listed ({next(iter(listed))}, …) is a gene of {RPKM} ({names[0]}, …); "
            "check ids and species."
        )
    cells = [f"{tissue}:{barcode}" for tissue, barcode in together.index]
    adata = AnnData(
        together.reindex(columns=names, fill_value=0.0).to_numpy(np.float32),
        pd.DataFrame({"tissue": [tissue for tissue, _ in together.index]}, cells),
        pd.DataFrame({"factor": is_factor, "symbol": symbols.reindex(names).fillna("").to_numpy()}, names.astype(str)),
        layers={"velocity": moving.reindex(columns=names).to_numpy(np.float32)},
        uns={"source": f"cells of {', '.join(tissues)} from {folder.name}", "joined": joined},
    )
    _add_activities(adata, folder, tissues, moving.columns)
    return adata


def write_layout(data: VelocityData, folder: str | Path) -> Path:
    """Write cells as the pipeline's tables, RPKM and activities taken back from their logarithms.

    Parameters
    ----------
    data : VelocityData
        Names of factors serve as ids and as symbols.
    folder : path-like
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    parts = ((RPKM, "exp", 10.0**data.expression - 1.0, data.factors), (VELOCITY, "velo", data.velocity, data.genes))
    for file_name, table, values, names in parts:
        with h5py.File(folder / file_name, "w") as file:
            for code, tissue in enumerate(data.tissue_names):
                here = data.tissues == code
                group = file.create_group(str(tissue))
                group[table] = values[here]
                group["ensembl"], group["barcode"] = np.asarray(names, "S"), np.asarray(data.cells[here], "S")
    for prefix, values in zip((MEAN, TOTAL), data.activities or (), strict=False):
        for code, tissue in enumerate(data.tissue_names):
            table = pd.DataFrame(2.0 ** values[code].astype(float) - 1.0, data.factors, data.genes)
            table.to_csv(folder / f"{tissue}_{_SUFFIXES[prefix]}.csv")
    names = np.unique([*data.factors, *data.genes])
    pd.DataFrame({"ensembl_id": names, "gene_symbol": names}).to_csv(folder / "ensembl_to_symbol.csv")
    (folder / "tf_list.txt").write_text("\n".join(data.factors) + "\n", encoding="utf-8")
    return folder


def _opened(path: Path) -> h5py.File:
    if not path.is_file():
        raise DataFormatError(f"{path} is not there; see the layout in reproduce.multitask.layout.")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataFormatError(f"{path} is no HDF5 file ({error}).") from error


def _group(path: Path, tissue: str, table: str) -> pd.DataFrame:
    """A tissue's table, cells × genes."""
    with _opened(path) as file:
        if tissue not in file:
            raise DataFormatError(f"{path} has no group {tissue!r}; there are {', '.join(file) or 'none'}.")
        group = file[tissue]
        if absent := [name for name in (table, "ensembl", "barcode") if name not in group]:
            raise DataFormatError(f"{path}, group {tissue!r}: {absent[0]!r} is missing; there are {', '.join(group)}.")
        values = group[table][()]
        genes, cells = (group[name].asstr()[()] for name in ("ensembl", "barcode"))
    if values.shape != (len(cells), len(genes)):
        raise DataFormatError(
            f"{path}, group {tissue!r}: {table!r} is {values.shape}, but there are {len(cells)} barcodes and "
            f"{len(genes)} genes; it must be cells × genes."
        )
    genes = pd.Index(genes).str.replace(r"\.\d+$", "", regex=True)  # Ensembl's versions
    for kind, names in (("gene", genes), ("barcode", pd.Index(cells))):
        if (twice := names[names.duplicated()]).size:
            raise DataFormatError(f"{path}, group {tissue!r}: {kind} {twice[0]} is there twice; keep one.")
    return pd.DataFrame(values, pd.Index(cells), genes)


def _symbols(folder: Path) -> pd.Series:
    """Symbols by Ensembl id."""
    path = next((folder / f"ensembl_to_symbol.csv{end}" for end in ("", ".gz")
                 if (folder / f"ensembl_to_symbol.csv{end}").is_file()), None)  # fmt: skip
    if path is None:
        raise DataFormatError(f"{folder / 'ensembl_to_symbol.csv'} is not there; it gives genes' symbols.")
    table = pd.read_csv(path)
    if absent := [name for name in ("ensembl_id", "gene_symbol") if name not in table]:
        raise DataFormatError(f"{path} has no column {absent[0]!r}; there are {', '.join(table)}.")
    return table.dropna().drop_duplicates("ensembl_id").set_index("ensembl_id")["gene_symbol"].astype(str)


def _listed_factors(folder: Path) -> set[str]:
    """Ids or symbols of the factors that are listed."""
    if (path := folder / "tf_list.csv").is_file():
        table = pd.read_csv(path)
        if "Ensembl ID" not in table:
            raise DataFormatError(f"{path} has no column 'Ensembl ID'; there are {', '.join(table)}.")
        return set(table["Ensembl ID"].dropna().astype(str))
    if (path := folder / "tf_list.txt").is_file():
        return {line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
    raise DataFormatError(f"{folder / 'tf_list.csv'} is not there, nor tf_list.txt; one must list the factors.")


def _among(names: pd.Index, listed: set[str], symbols: pd.Series) -> np.ndarray:
    return names.isin(listed) | symbols.reindex(names).isin(listed).to_numpy()


def _add_activities(adata: AnnData, folder: Path, tissues: list[str], genes: pd.Index) -> None:
    """Tables of activities, factors by their ids; factors without a row have no activity and lose their mark."""
    paths = {(p, t): folder / f"{t}_{end}.csv" for p, end in _SUFFIXES.items() for t in tissues}
    there = [path for path in paths.values() if path.is_file()]
    if not there:
        return
    if absent := [path for path in paths.values() if path not in there]:
        raise DataFormatError(f"{absent[0]} is not there, though {there[0].name} is; give all tissues' or none.")
    tables = {key: _activity_table(path, genes) for key, path in paths.items()}
    ids = adata.var_names[adata.var["factor"]]
    known = {name: symbol or name for name, symbol in adata.var.loc[ids, "symbol"].items()}
    rows = {name: symbol for name, symbol in known.items() if all(symbol in table.index for table in tables.values())}
    if not rows:
        raise DataFormatError(
            f"{there[0]}: no row ({tables[next(iter(tables))].index[0]}, …) is a factor that is measured "
            f"({next(iter(known.values()))}, …); rows must be factors' symbols."
        )
    adata.var["factor"] = adata.var_names.isin(list(rows))
    for (prefix, tissue), table in tables.items():
        values = table.loc[list(rows.values())].set_axis(list(rows), axis=0).T
        adata.varm[f"{prefix}{tissue}"] = values.reindex(adata.var_names, fill_value=0.0).astype(np.float32)


def _activity_table(path: Path, genes: pd.Index) -> pd.DataFrame:
    table = pd.read_csv(path, index_col=0)
    table.index, table.columns = table.index.astype(str), table.columns.astype(str)
    shared = genes.intersection(table.columns)
    if shared.empty:
        turned = " Its rows are: it seems to be transposed." if len(genes.intersection(table.index)) else ""
        raise DataFormatError(
            f"{path}: none of its columns ({table.columns[0]}, …) is a gene with a velocity ({genes[0]}, …).{turned}"
        )
    values = np.log2(table[shared].astype(float).fillna(0.0).groupby(level=0).mean() + 1.0)
    if not np.isfinite(values.to_numpy()).all():
        row, column = np.argwhere(~np.isfinite(values.to_numpy()))[0]
        raise DataFormatError(
            f"{path}: the activity of {values.index[row]} at {shared[column]} is below −1 or infinite; give activities "
            "of 0 or more."
        )
    return values.reindex(columns=genes, fill_value=0.0)
