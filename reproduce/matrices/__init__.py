"""A person's own matrix: reading and writing it, its gene names and units; never the study's cohorts or notebooks."""
