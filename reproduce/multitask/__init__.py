"""Multi-task networks of RNA velocity that share by a trace norm: a companion study; never imported by the imputers'.

After MTLRANK (Song, Ruffalo & Bar-Joseph 2023, Nucleic Acids Research 51:e38, doi 10.1093/nar/gkad053): the velocity of
a *gene* is predicted from the expression and activities of transcription factors, called *factors* throughout. A room
each: `trace_norm`, `features` (what a network sees of a factor), `model`, `training`, `estimators` (what a user sees),
`data` and `layout` (containers and files), `sources` (data by name), `clusters`, `simulator`, `rivals`, `study` (runs
that are kept), `benchmark`.
"""
