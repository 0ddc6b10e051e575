r"""Mode mixture: samples that belong to no mode, or to two.

A classifier gives the probability of each mode at a sample. The sample is *mixed* at a level $\tau$ where at least two of
them are $\tau$ or more, and the mode mixture rate is the share of such samples. Real data have one too, since modes overlap: a
rate says something beside that of fresh data only, and with its $\tau$.

Where the law is a Gaussian mixture, ``Posterior`` is its own, and ``off_mode`` counts what is outside of all components. Where
data have labels, ``classifier`` fits a multinomial logistic regression.

Source: Li, Li, Wang, Lei, Luo, Gu, *DPM-OT*, ICCV 2023 (the rate); An et al., *AE-OT*, ICLR 2020 (mode mixture).
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Float, Int

from lab.numerics.jit import jit
from lab.numerics.mixtures import Mixture, log_joint, widened

_PENALTY = 1.0  # of the squared weights, beside the sum of the losses


@runtime_checkable
class Classifier(Protocol):
    """What gives the probability of each mode."""

    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, "n modes"]: ...


@jit
def _widened(law: Mixture, noise: Array) -> Array:
    return law.covariances + widened((noise**2)[None], law.covariances.ndim, law.dimension)


class Posterior(eqx.Module):
    """Of the components of a mixture, each made wider by noise of a standard deviation.

    The noise makes what lies between two narrow modes belong to both; without it every point is of one mode.
    """

    law: Mixture

    def __init__(self, law: Mixture, noise: Any = 0.0):
        self.law = eqx.tree_at(lambda each: each.covariances, law, _widened(law, jnp.asarray(noise, law.means.dtype)))

    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, "n modes"]:
        return self.law.responsibilities(x)


class Logistic(eqx.Module):
    r"""$\mathrm{softmax}(x W + b)$."""

    weights: Float[Array, "d modes"]
    bias: Float[Array, " modes"]

    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, "n modes"]:
        return jax.nn.softmax(x @ self.weights + self.bias[None, :], axis=1)


def classifier(x: Any, classes: Any, penalty: float = _PENALTY) -> Logistic:
    r"""Multinomial logistic regression, $\sum_i \ell_i + \frac{\lambda}{2} |W|^2$, by L-BFGS on the host.

    Args:
        x: (n, d).
        classes: (n,) numbers from 0, each there at least once.
        penalty: $\lambda$, of the weights but not of the bias.

    Raises:
        ValueError: shapes that do not fit, or fewer than two classes.
    """
    points, label = np.asarray(x, float), np.asarray(classes)
    if points.ndim != 2 or label.shape != points.shape[:1]:
        raise ValueError(f"x and classes have shapes {points.shape} and {label.shape}, but (n, d) and (n,) are needed")
    found = np.unique(label)
    if found.size < 2 or not np.array_equal(found, np.arange(found.size)):
        raise ValueError(f"the classes are {found[:10].tolist()}, but numbers from 0 on are needed, at least two")
    d, modes = points.shape[1], found.size
    one_hot = np.eye(modes)[label]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = flat[: d * modes].reshape(d, modes), flat[d * modes :]
        logits = points @ weights + bias
        logits -= logits.max(axis=1, keepdims=True)
        total = np.log(np.exp(logits).sum(axis=1, keepdims=True))
        apart = np.exp(logits - total) - one_hot
        slope = np.concatenate([(points.T @ apart + penalty * weights).ravel(), apart.sum(axis=0)])
        return float(((total - logits) * one_hot).sum() + penalty / 2 * (weights**2).sum()), slope

    begin, most = np.zeros((d + 1) * modes), {"maxiter": 500}
    best = scipy.optimize.minimize(loss, begin, jac=True, method="L-BFGS-B", options=most).x
    return Logistic(jnp.asarray(best[: d * modes].reshape(d, modes)), jnp.asarray(best[d * modes :]))


@jit
def mixture_rate(probabilities: Float[Array, "n modes"], tau: Any) -> Float[Array, "..."]:
    """The share of samples of which two modes have probability tau or more: a number for each tau."""
    second = jax.lax.top_k(probabilities, 2)[0][:, 1]
    return (
        (second[:, None] >= jnp.atleast_1d(tau)[None, :])
        .astype(probabilities.dtype)
        .mean(axis=0)
        .reshape(jnp.shape(tau))
    )


@jit
def mixed(probabilities: Float[Array, "n modes"], tau: Any) -> Array:
    """(n,) which samples are mixed."""
    return jax.lax.top_k(probabilities, 2)[0][:, 1] >= tau


class Outside(NamedTuple):
    """What lies outside of all components."""

    share: Float[Array, ""]
    off: Any  # (n,) which samples do


@jit
def off_mode(law: Mixture, x: Float[Array, "n d"], radius_squared: Any) -> Outside:
    """Samples beyond a Mahalanobis radius of every component; ``radius`` gives one of a given share."""
    apart = x[:, None, :] - law.means[None, :, :]
    solved = log_joint(law.weights, law.covariances, apart)[1]
    off = (apart * solved).sum(axis=2).min(axis=1) > radius_squared
    return Outside(off.astype(x.dtype).mean(), off)


def radius_squared(dimension: int, deviations: float = 4.0) -> float:
    """The squared radius about a Gaussian outside of which is as much of it as so many deviations leave in the plane.

    >>> round(radius_squared(2), 9)
    16.0
    """
    return float(2 * scipy.special.gammainccinv(dimension / 2, np.exp(-(deviations**2) / 2)))


@jit
def mass_apart(probabilities: Float[Array, "n modes"], weights: Float[Array, " modes"]) -> Float[Array, ""]:
    """Total variation of the masses of the modes from those asked for, each sample counted in its likeliest."""
    which: Int[Array, " n"] = probabilities.argmax(axis=1)
    share = jnp.zeros(weights.shape[0], weights.dtype).at[which].add(1.0 / probabilities.shape[0])
    return jnp.abs(share - weights).sum() / 2


def of_classes(x: Any, classes: Any, shrinkage: float = 0.1) -> Mixture:
    r"""A Gaussian for each class, $(1 - \rho)\,C_c + \rho\,\bar v\,I$ with $\bar v$ the mean variance within classes.

    A law that is smooth where the data are points: what a score that has not remembered them might come from.

    Args:
        x: (n, d).
        classes: (n,).
        shrinkage: $\rho$, from 0 to 1; 0 needs more points than dimensions in each class.
    """
    points, label = np.asarray(x, float), np.asarray(classes)
    groups = [points[label == each] for each in np.unique(label)]
    within = sum(((each - each.mean(axis=0)) ** 2).sum() for each in groups) / points.size
    covariances = [
        (1 - shrinkage) * np.cov(each.T, bias=True).reshape(points.shape[1], -1)
        + shrinkage * within * np.eye(points.shape[1])
        for each in groups
    ]
    weights = [len(each) / len(points) for each in groups]
    return Mixture(np.asarray(weights), np.stack([each.mean(axis=0) for each in groups]), np.stack(covariances))
