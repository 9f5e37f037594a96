"""Fits models to matrices larger than memory and fills their holes, a block of rows at a time; never holds all rows.

The low-rank normal is fitted in passes over the rows (`low_rank`); PMI and GAIN are trained on rows read as they are
needed, and any imputer that is fitted fills what is on disk (`estimators`). What can be read and written:
`reproduce.loaders.row_files`.
"""

from reproduce.chunked.estimators import fit_network_in_chunks, transform_in_chunks
from reproduce.chunked.low_rank import ChunkedFit, fit_low_rank_in_chunks, impute_in_chunks

__all__ = [
    "ChunkedFit",
    "fit_low_rank_in_chunks",
    "fit_network_in_chunks",
    "impute_in_chunks",
    "transform_in_chunks",
]
