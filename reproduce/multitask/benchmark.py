"""Times one epoch of 25 genes × 600 factors × 4,000 cells against a plain loop of models; never judges a fit.

    python -m reproduce.multitask.benchmark

prints seconds of an epoch, their ratio, and each way's largest resident memory. Each way runs in a process of its own.

The *plain* way is what the published text says, written down: a Keras model a gene, in it a layer `Dense(1)` for each
factor on its five features, a Python loop over the models of the cluster, one tape, the trace norm by `tf.linalg.svd`
and its gradient by automatic differentiation. Its step is traced into a graph, as Keras would, which takes minutes
that are told apart from its steps; `--eager` runs it without, two orders of magnitude slower. All its genes and steps
cost the same, and all of them take many minutes and gigabytes, so a few genes (`--plain-genes`) and steps
(`--plain-steps`) are timed and scaled to the whole; its memory is that of these genes alone. Features are given to it
ready-made, a batch at a time, and making them is not timed; the stacked networks' epoch includes drawing its batches.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import numpy as np

BATCH = 256


def drawn_cells(n_genes: int, n_factors: int, n_cells: int, seed: int = 0):
    """Cells of two tissues with activities, velocities of noise."""
    from reproduce.multitask.data import VelocityData

    rng = np.random.default_rng(seed)
    names = [np.array([f"{kind}{k + 1}" for k in range(n)]) for kind, n in
             (("cell", n_cells), ("factor", n_factors), ("gene", n_genes), ("tissue", 2))]  # fmt: skip
    return VelocityData(
        "noise",
        rng.standard_normal((n_cells, n_factors), np.float32),
        rng.standard_normal((n_cells, n_genes), np.float32),
        rng.integers(2, size=n_cells),
        names[0], names[1], names[2], names[3],
        tuple(rng.random((2, n_factors, n_genes), np.float32) for _ in range(2)),
    )  # fmt: skip


def stacked_seconds(data, epochs: int) -> list[float]:
    """Seconds of each epoch of the stacked networks; the first compiles."""
    from reproduce.multitask.features import learn_features
    from reproduce.multitask.model import Layout
    from reproduce.multitask.training import Cells, Trainer, TrainingSettings

    used = np.isfinite(data.velocity)
    features = learn_features(data.expression, used, data.tissues, 2, data.activities)
    n_genes, n_tissues, n_factors, n_features = features.slopes.shape
    cells = Cells(features.scaled(data.expression), data.tissues, data.velocity)
    ends = [time.perf_counter()]
    trainer = Trainer(Layout(n_genes, n_factors, n_tissues, n_features))
    settings = TrainingSettings(epochs=epochs, batch_size=BATCH)
    trainer.fit(cells, features, settings, 0, on_epoch=lambda *_: ends.append(time.perf_counter()))
    return list(np.diff(ends))


def plain_seconds(data, n_steps: int, *, eager: bool) -> tuple[float, float]:
    """Seconds until the first step is done (models are built, the step is traced), and of a later step."""
    import keras
    import tensorflow as tf

    from reproduce.multitask.features import learn_features

    used = np.isfinite(data.velocity)
    features = learn_features(data.expression, used, data.tissues, 2, data.activities)
    scaled, (n_genes, n_factors) = features.scaled(data.expression), (len(data.genes), len(data.factors))
    began = time.perf_counter()
    models = [_plain_model(keras, n_factors) for _ in range(n_genes)]
    optimizer = keras.optimizers.Adam(0.01)
    variables = [variable for model in models for variable in model.trainable_variables]
    optimizer.build(variables)

    def step(batches, wanted):
        with tf.GradientTape() as tape:
            errors = []
            for model, batch, velocity in zip(models, batches, wanted, strict=True):
                predicted = model(batch, training=True)[:, 0]
                errors.append(tf.reduce_mean((predicted - velocity) ** 2) + tf.add_n(model.losses))
            norms = []
            for name in ("hidden_64", "hidden_32"):
                stacked = tf.stack([tf.reshape(model.get_layer(name).kernel, [-1]) for model in models])
                norms.append(tf.reduce_sum(tf.linalg.svd(stacked, compute_uv=False)))
            loss = tf.add_n(errors) / len(models) + 0.01 * tf.add_n(norms) / 2
        optimizer.apply(tape.gradient(loss, variables), variables)

    run = step if eager else tf.function(step, autograph=False)
    built, rng, times = time.perf_counter() - began, np.random.default_rng(0), []
    for _ in range(n_steps + 1):
        rows = [rng.choice(len(scaled), BATCH, replace=False) for _ in models]
        batches = [
            tf.constant(features.of_gene(gene, scaled[row], data.tissues[row]).reshape(BATCH, n_factors, -1))
            for gene, row in enumerate(rows)
        ]
        wanted = [tf.constant(data.velocity[row, gene]) for gene, row in enumerate(rows)]
        began = time.perf_counter()
        run(batches, wanted)
        times.append(time.perf_counter() - began)
    return built + times[0], float(np.median(times[1:]))


def _plain_model(keras, n_factors: int):
    """One gene's network, a layer a factor."""
    l1 = keras.regularizers.L1(0.01)
    shown = keras.Input((n_factors, 5))
    units = [
        keras.layers.Dense(1, activation="relu", kernel_regularizer=l1)(shown[:, factor]) for factor in range(n_factors)
    ]
    hidden = keras.layers.Concatenate()(units)
    for width in (64, 32, 16):
        hidden = keras.layers.Dense(width, activation="relu", kernel_regularizer=l1, name=f"hidden_{width}")(hidden)
    return keras.Model(shown, keras.layers.Dense(1, kernel_regularizer=l1)(hidden))


def _measured(arguments: list[str]) -> dict[str, float]:
    """What a process of its own prints."""
    command = [sys.executable, "-m", "reproduce.multitask.benchmark", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {name: float(value) for name, value in (line.split() for line in done.stdout.splitlines() if line)}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genes", type=int, default=25)
    parser.add_argument("--factors", type=int, default=600)
    parser.add_argument("--cells", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=3, help="of the stacked networks; the first compiles")
    parser.add_argument("--plain-steps", type=int, default=2, help="steps timed of the plain way, after one more")
    parser.add_argument("--plain-genes", type=int, default=2, help="genes timed of the plain way")
    parser.add_argument("--eager", action="store_true", help="run the plain way's step without tracing it")
    parser.add_argument("--way", choices=("stacked", "plain"), help="measure one way in this process, for the other")
    given = parser.parse_args()
    steps = -(-given.cells // BATCH)
    if given.way is None:
        shared = sys.argv[1:]
        stacked, plain = (_measured([*shared, "--way", way]) for way in ("stacked", "plain"))
        print(f"{given.genes} genes × {given.factors} factors × {given.cells} cells, {steps} steps of {BATCH} an epoch")
        print(f"stacked: {stacked['epoch']:.2f} s an epoch (first, with compilation: {stacked['first']:.1f} s), "
              f"{stacked['gigabytes']:.2f} GB")  # fmt: skip
        print(
            f"plain: {plain['epoch']:.1f} s an epoch (scaled from {given.plain_genes} genes and {given.plain_steps} "
            f"steps; building these and the first step: {plain['first']:.1f} s), {plain['gigabytes']:.2f} GB with "
            f"{given.plain_genes} of the {given.genes} genes"
        )
        print(f"ratio: {plain['epoch'] / stacked['epoch']:.1f}")
        return
    timed = given.genes if given.way == "stacked" else min(given.genes, given.plain_genes)
    data = drawn_cells(timed, given.factors, given.cells)
    if given.way == "stacked":
        seconds = stacked_seconds(data, given.epochs)
        first, epoch = seconds[0], float(np.median(seconds[1:]))
    else:
        first, step = plain_seconds(data, given.plain_steps, eager=given.eager)
        epoch = step * steps * given.genes / timed
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"first {first}\nepoch {epoch}\ngigabytes {largest}")


if __name__ == "__main__":
    main()
