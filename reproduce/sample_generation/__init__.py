"""Artificial samples by class: a companion study; never imported by the study of imputers.

GANs against SMOTE and a plain Gaussian. A room each: `generators` (the contract, Gaussian, SMOTE), `adversarial`
(networks of GAN and WGAN-GP and their training), `gans` (those as generators), `fidelity` (how artificial samples
compare with held-out real ones), `usefulness` (what a classifier learns from them), `benchmark` (runs that are kept).
"""
