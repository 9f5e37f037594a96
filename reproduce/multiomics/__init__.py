"""Paired omics of the same samples: what studies 11 and 12 read; never trains, never draws a figure.

A room each: `paired` (the container, its sources, divisions), `layer_tables` (reading and checking one table),
`simulator` (paired layers of a known law, and the best possible translation under it).
"""
