"""Variational auto-encoders for single-cell counts: a companion study; never imported by the study of imputers.

After scVAE (Grønbech et al. 2020, Bioinformatics 36:4415). A room each: `likelihoods` (laws of counts), `networks`
(VAE and GMVAE), `training`, `estimators` (what a user sees), `counts` (reading and dividing), `clustering`,
`communities` (Louvain's), `denoising`, `grid` (runs that are kept), `benchmark`.
"""
