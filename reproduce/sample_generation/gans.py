"""GANs as generators of samples: one a class, or one conditional WGAN-GP for all; never scores what they give."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reproduce.imputers._base import check_choice, check_integer, check_number, check_random_state_value
from reproduce.imputers._network import epochs_shown
from reproduce.sample_generation.generators import SampleGenerator, spread


class _AdversarialGenerator(SampleGenerator):
    """Parameters, training and state of both.

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch (and class): epoch, seconds, critic_loss, generator_loss, gap.
    """

    def __init__(
        self,
        *,
        latent_size: int,
        hidden_layers: int,
        hidden_units: int,
        critic_steps: int,
        penalty: float,
        learning_rate: float,
        averaging: float,
        batch_size: int,
        epochs: int,
        random_state: int,
        verbose: bool,
    ):
        self.latent_size = latent_size
        self.hidden_layers = hidden_layers
        self.hidden_units = hidden_units
        self.critic_steps = critic_steps
        self.penalty = penalty
        self.learning_rate = learning_rate
        self.averaging = averaging
        self.batch_size = batch_size
        self.epochs = epochs
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        for name in ("latent_size", "hidden_units", "batch_size", "epochs", "critic_steps"):
            check_integer(name, getattr(self, name), least=1)
        check_integer("hidden_layers", self.hidden_layers, least=0)
        check_number("penalty", self.penalty, low=0)
        check_number("learning_rate", self.learning_rate, low=0, open_low=True)
        check_number("averaging", self.averaging, low=0, high=1, open_high=True)
        check_random_state_value(self.random_state)
        check_integer("random_state", self.random_state, least=0)  # it is saved as JSON
        check_choice("verbose", self.verbose, (True, False))

    def _adversarial(self, loss: str, n_classes: int, first_moment: float):
        """The trainer for this layout."""
        from reproduce.models.training import execution_mode
        from reproduce.sample_generation.adversarial import STEPS_PER_EPOCH, AdversarialSettings, trainer_for

        settings = AdversarialSettings(
            n_features=self.n_features_in_,
            n_classes=n_classes,
            loss=loss,
            latent_size=int(self.latent_size),
            hidden_layers=int(self.hidden_layers),
            hidden_units=int(self.hidden_units),
            critic_steps=int(self.critic_steps),
            penalty=float(self.penalty),
            learning_rate=float(self.learning_rate),
            first_moment=first_moment,
            averaging=float(self.averaging),
        )
        return trainer_for(settings, execution_mode(int(self.epochs) * STEPS_PER_EPOCH))

    def _trained(self, samples: np.ndarray, codes: np.ndarray, seed: int, show, before: int = 0):
        """The generator's weights and the history of a training; `before` epochs were shown already."""
        # a gap is no validation loss, so only the epoch is shown
        on_epoch = None if show is None else (lambda epoch, _gap: show(before + epoch, float("nan")))
        return self._trainer().fit(
            samples, codes, epochs=int(self.epochs), batch_size=int(self.batch_size), seed=seed, on_epoch=on_epoch
        )

    def _trainer(self):
        raise NotImplementedError

    def _noise(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.standard_normal((n, int(self.latent_size)))

    def _state(self) -> dict[str, np.ndarray]:
        weights = {f"weight_{k}_{i}": w for k, several in enumerate(self.weights_) for i, w in enumerate(several)}
        history = {f"history_{name}": values.to_numpy() for name, values in self.history_.items()}
        return {"centers": self.centers_, "scales": self.scales_} | weights | history

    def _restore(self, state: dict[str, np.ndarray]) -> None:
        self.centers_, self.scales_ = state["centers"], state["scales"]
        found: dict[int, dict[int, np.ndarray]] = {}
        for name in (name for name in state if name.startswith("weight_")):
            network, position = map(int, name.removeprefix("weight_").split("_"))
            found.setdefault(network, {})[position] = state[name]
        self.weights_ = [[found[k][i] for i in range(len(found[k]))] for k in range(len(found))]
        names = [name for name in state if name.startswith("history_")]
        self.history_ = pd.DataFrame({name.removeprefix("history_"): state[name] for name in names})


class ClassGAN(_AdversarialGenerator):
    """One GAN for each class, which sees nothing of the others (Goodfellow et al. 2014, non-saturating loss).

    Features are standardised within the class.

    Parameters
    ----------
    latent_size : int, default 32
    hidden_layers, hidden_units : int, default 2 and 128
        Of generator and critic.
    critic_steps : int, default 1
        For each step of the generator.
    penalty : float, default 0
        Weight of the critic's gradient penalty (Fedus et al. 2018); 0, as the first GAN has it, has none.
    learning_rate : float, default 1e-3
        Adam's.
    averaging : float, default 0.99
        Decay, a step, of the running mean of the generator's weights that is kept; 0 keeps the last weights.
    batch_size : int, default 64
        Drawn with replacement.
    epochs : int, default 40
        Of fifty steps of the generator.
    random_state : int, default 0
    verbose : bool, default False
    """

    def __init__(
        self,
        latent_size: int = 32,
        hidden_layers: int = 2,
        hidden_units: int = 128,
        critic_steps: int = 1,
        penalty: float = 0.0,
        learning_rate: float = 1e-3,
        averaging: float = 0.99,
        batch_size: int = 64,
        epochs: int = 40,
        random_state: int = 0,
        verbose: bool = False,
    ):
        super().__init__(
            latent_size=latent_size,
            hidden_layers=hidden_layers,
            hidden_units=hidden_units,
            critic_steps=critic_steps,
            penalty=penalty,
            learning_rate=learning_rate,
            averaging=averaging,
            batch_size=batch_size,
            epochs=epochs,
            random_state=random_state,
            verbose=verbose,
        )

    def _trainer(self):
        return self._adversarial("non_saturating", 0, 0.5)

    def _fit(self, X: np.ndarray, codes: np.ndarray) -> None:
        parts = [X[codes == k] for k in range(len(self.classes_))]
        self.centers_ = np.stack([part.mean(axis=0) for part in parts])
        self.scales_ = np.stack([spread(part) for part in parts])
        self.weights_, histories = [], []
        with epochs_shown(self, len(parts) * int(self.epochs)) as show:
            for k, part in enumerate(parts):
                standardised = (part - self.centers_[k]) / self.scales_[k]
                seed = int(np.random.SeedSequence([self.random_state, k]).generate_state(1)[0])
                alone = np.zeros(len(part), dtype=int)
                weights, history = self._trained(standardised, alone, seed, show, before=k * int(self.epochs))
                self.weights_.append(weights)
                histories.append(history.assign(class_number=k))
        self.history_ = pd.concat(histories, ignore_index=True)

    def _sample(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        noise, drawn = self._noise(len(codes), rng), np.empty((len(codes), self.n_features_in_))
        for k in np.unique(codes):
            here = codes == k
            drawn[here] = self._trainer().sample(self.weights_[k], noise[here], np.zeros(here.sum(), dtype=int))
        return drawn * self.scales_[codes] + self.centers_[codes]


class ConditionalWGAN(_AdversarialGenerator):
    """One WGAN with gradient penalty for all classes; generator and critic see the class (Gulrajani et al. 2017).

    Features are standardised over all classes; in training every class is drawn equally often.

    Parameters
    ----------
    latent_size : int, default 32
    hidden_layers, hidden_units : int, default 2 and 128
        Of generator and critic.
    critic_steps : int, default 5
        For each step of the generator.
    penalty : float, default 10
        Weight of the gradient penalty.
    learning_rate : float, default 5e-4
        Adam's.
    averaging : float, default 0.99
        Decay, a step, of the running mean of the generator's weights that is kept; 0 keeps the last weights.
    batch_size : int, default 64
        Drawn with replacement.
    epochs : int, default 60
        Of fifty steps of the generator.
    random_state : int, default 0
    verbose : bool, default False
    """

    def __init__(
        self,
        latent_size: int = 32,
        hidden_layers: int = 2,
        hidden_units: int = 128,
        critic_steps: int = 5,
        penalty: float = 10.0,
        learning_rate: float = 5e-4,
        averaging: float = 0.99,
        batch_size: int = 64,
        epochs: int = 60,
        random_state: int = 0,
        verbose: bool = False,
    ):
        super().__init__(
            latent_size=latent_size,
            hidden_layers=hidden_layers,
            hidden_units=hidden_units,
            critic_steps=critic_steps,
            penalty=penalty,
            learning_rate=learning_rate,
            averaging=averaging,
            batch_size=batch_size,
            epochs=epochs,
            random_state=random_state,
            verbose=verbose,
        )

    def _trainer(self):
        return self._adversarial("wasserstein", len(self.classes_), 0.0)

    def _fit(self, X: np.ndarray, codes: np.ndarray) -> None:
        self.centers_, self.scales_ = X.mean(axis=0), spread(X)
        with epochs_shown(self, int(self.epochs)) as show:
            weights, self.history_ = self._trained(
                (X - self.centers_) / self.scales_, codes, int(self.random_state), show
            )
        self.weights_ = [weights]

    def _sample(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        drawn = self._trainer().sample(self.weights_[0], self._noise(len(codes), rng), codes)
        return drawn * self.scales_ + self.centers_
