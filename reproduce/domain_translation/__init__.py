"""Translation of one omics layer into another: a companion study; never imported by the study of imputers.

A room each: `contract` (what every translator promises), `linear` (mean, ridge, partial least squares), `neighbours`,
`imputing` (the study's own imputers on joined layers), `likelihoods` (laws of a layer), `networks` and `training`,
`autoencoders` and `perceptron` (what a user sees of them), `scoring`, `splitting`, `comparison` (runs that are kept),
`joint` (drawing both layers at once).
"""
