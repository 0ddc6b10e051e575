"""The variables of the study of potential flows, and what it computes with."""

from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.numerics.host import placed
from lab.numerics.principal import principal_plane
from lab.numerics.window import window
from lab.paths import laws
from lab.paths.potential_flows import Setting
from lab.studies.contract import Mood, Result
from lab.studies.vocabulary.training import Trained

UNTRAINED = "no potentials were trained: set the training steps above 0"
RIPPLED = "of ripples nothing is known in closed form: choose quadratic potentials"
PLANE = 20  # places a side at which potentials are looked at
SHARES = 200  # last steps of a training, whose means are told

DIMS = {
    "flow": ("flow", ""), "t": ("time t / T", ""), "particle": ("point", ""), "axis": ("coordinate", ""), "gx": ("z₁", ""),
    "gy": ("z₂", ""), "solver": ("solver", ""), "count": ("steps", ""), "k": ("potential", ""), "step": ("step", ""),
    "guess": ("taken for", ""), "start": ("start", ""), "entry": ("latent coordinate", ""), "row": ("row", ""),
    "column": ("column", ""), "way": ("way", ""), "length": ("steps", ""), "ly": ("second axis", ""), "lx": ("first axis", ""),
    "vae_step": ("training step", ""), "other": ("potential", ""), **Trained.dims,
}


def _by_k(name: str, label: str, doc: str) -> Result:
    return Result(name, ("k",), label, doc, absent=UNTRAINED)


def _curve(name: str, label: str, doc: str) -> Result:
    return Result(name, ("train_step",), label, doc, absent=UNTRAINED)


def _told(name: str, label: str, doc: str, judge: Any = None) -> Result:
    return Result(name, (), label, doc, absent=UNTRAINED, headline=True, judge=judge)


def _recognised(value: float, result: xr.Dataset) -> Mood:
    return "good" if value >= 0.9 else "warn"


RESULTS = (
    Result("w2sq", (), "W₂²", "squared distance between where points of Hamilton and Jacobi's flow start and end",
           headline=True),
    Result("energy_wave", (), "energy, wave", "T times the integral of the mean squared velocity", headline=True),
    Result("energy_heat", (), "energy, heat", "the same under the heat equation", headline=True),
    Result("energy_hj", (), "energy, Hamilton-Jacobi", "the same under Hamilton and Jacobi's equation", headline=True),
    Result("ratio_wave", (), "wave: energy / W₂²", "of the wave's own ends: 1 where it is optimal"),
    Result("ratio_heat", (), "heat: energy / W₂²", "of the heat's own ends"),
    Result("ratio_hj", (), "Hamilton-Jacobi: energy / W₂²", "of its own ends: 1 until lines meet"),
    Result("shock", (), "lines meet at", "time at which the lines of Hamilton and Jacobi's flow first meet", unit="time",
           undefined="the lines never meet"),
    Result("met", (), "share that met", "of points whose line has met its neighbours' by the end"),
    Result("gap", (), "RK4 against closed forms", "largest distance of an end", absent=RIPPLED),
    Result("ends_apart", (), "ends apart", "largest distance between ends of wave, heat and Hamilton-Jacobi"),
    Result("missed", (), "W₂² that Fokker-Planck misses", "from the goal, at T", absent=RIPPLED),
    Result("total", ("flow",), "kinetic energy", "T times the integral of the mean squared velocity"),
    Result("w2", ("flow",), "W₂²", "squared distance between where points start and end"),
    Result("ratio", ("flow",), "energy / W₂²", "at least 1"),
    Result("displacement_flow", ("flow",), "mean |z(T) - z(0)|", "how far points go"),
    Result("energy", ("flow", "t"), "E|∇u|²", "mean squared velocity by time"),
    Result("log_density", ("flow", "t"), "change of log density", "along points, mean: minus the integral of the Laplacian"),
    Result("paths", ("flow", "t", "particle", "axis"), "position", "of points that climb"),
    Result("height", ("flow", "t", "gy", "gx"), "u", "the potential over the plane"),
    Result("step_error", ("solver", "count", "flow"), "error of the end", "root mean square, of so many steps"),
    _told("accuracy", "told apart", "share of pairs of outputs whose potential the classifier names, at the end of training",
          _recognised),
    _told("vp_short", "VP of one step", "accuracy of a fresh classifier on pairs one step apart"),
    _told("residual", "residual²", "mean square of what is left of the equation, at the end of training"),
    _told("ic", "E|∇u(z, 0)|²", "velocity at the start, squared; waves should have none"),
    _told("jvp", "change of output J", "mean square of the derivative of outputs along the velocity"),
    _told("displacement", "mean |z(T) - z(0)|", "over a whole traversal"),
    Result("efficiency", (), "energy / W₂²", "of the trained traversals, in unit steps", absent=UNTRAINED),
    Result("vae_error", (), "error of the generator", "mean square a pixel, decoding what was encoded",
           absent="no autoencoder was trained: set the training steps above 0, with the generator autoencoder"),
    Result("vae_loss", ("vae_step",), "negative ELBO", "of the autoencoder",
           absent="no autoencoder was trained: set the training steps above 0, with the generator autoencoder"),
    _curve("curve_loss", "loss", "of the potentials, on the batch of each step"),
    _curve("curve_ce", "cross-entropy", "of the classifier"),
    _curve("curve_accuracy", "accuracy", "of the classifier, on the batch of each step"),
    _curve("curve_residual", "residual²", "of the equation"),
    _curve("curve_ic", "E|∇u(z, 0)|²", "velocity at the start"),
    _curve("curve_jvp", "J", "change of the output"),
    _by_k("c", "c", "the speed of each potential's equation, as learned"),
    _by_k("energy_of", "kinetic energy", "of each potential's traversal"),
    _by_k("w2_of", "W₂²", "between its starts and its ends"),
    _by_k("displacement_of", "mean |z(T) - z(0)|", "of each potential"),
    Result("confusion", ("k", "guess"), "share", "of pairs of a potential that the classifier takes for each",
           absent=UNTRAINED),
    Result("alike", ("k", "other"), "cosine", "mean, between where two potentials take the same point", absent=UNTRAINED),
    Result("path", ("k", "start", "step", "entry"), "z", "latent points on the way", absent=UNTRAINED),
    Result("ways", ("k", "step", "start", "axis"), "z", "the same on the two axes along which they move most",
           absent=UNTRAINED),
    Result("landscape", ("kk", "step", "ly", "lx"), "u", "of the first potentials, over the plane of these axes",
           absent=UNTRAINED),
    Result("vp", ("way", "length"), "VP score", "accuracy of a classifier trained on a tenth of 2000 pairs", absent=UNTRAINED),
    Result("vp_error", ("way", "length"), "standard error", "of the VP score", absent=UNTRAINED),
    Result("vp_length", ("length",), "mean |Δz|", "that all ways of a column have", absent=UNTRAINED),
    Result("images", ("k", "image", "step", "row", "column"), "intensity", "what the generator makes on the way",
           absent="no potentials were trained on images: set the training steps above 0, with data = digit-samples, say"),
)
DIMS |= {"kk": ("potential", ""), "image": ("start", "")}


class Inputs(NamedTuple):
    """Where points of the plane start and go, and rows to train a generator on."""

    source: Any  # law in the plane
    mean: Any
    covariance: Any
    goal: Any
    goal_covariance: Any
    grids: Any  # of quadratic potentials and of ripples, both axes (PLANE,)
    rows: np.ndarray  # between 0 and 1, float32
    image: tuple[int, ...]  # height and width, of images in grey


def inputs(data: Data) -> Inputs:
    """The laws in the plane; of more than two dimensions N(0, I) and the principal codes, as a linear model has them."""
    arrays = {name: np.asarray(a, float) if a.dtype.kind == "f" else a for name, a in data.arrays.items()}
    x = arrays["x"]
    if x.shape[1] == 2:
        source, target = laws.source_of(arrays), laws.target_of(arrays)
        goal, covariance = (np.asarray(each) for each in _moments(target, x))
        mean, start = (np.asarray(each) for each in _moments(source, arrays.get("x0", x)))
        seen = x
    else:
        source, codes = laws.standard(2), principal_plane(x).project(x)
        seen = codes / (np.sqrt(codes.var(axis=0).mean()) or 1.0)
        mean, start, goal, covariance = np.zeros(2), np.eye(2), seen.mean(axis=0), np.cov(seen.T, bias=True)
    cloud = np.asarray(source.sample(jax.random.key(0), 2000))
    grids = [[np.linspace(*ends, PLANE) for ends in window(*clouds)] for clouds in ((cloud, seen), (cloud,))]
    low, high = float(x.min()), float(x.max())
    shape = data.axes.get("image", ())
    image = tuple(int(side) for side in shape) if len(shape) == 2 and np.prod(shape) == x.shape[1] else ()
    rows = ((x - low) / ((high - low) or 1.0)).astype(np.float32)
    mean, start, goal, covariance = (placed(np.asarray(each, float)) for each in (mean, start, goal, covariance))
    places = tuple((placed(gx), placed(gy)) for gx, gy in grids)
    return Inputs(source, mean, start, goal, covariance, places, rows, image)


def _moments(law: Any, x: np.ndarray) -> tuple[Any, Any]:
    """Mean and covariance: of the law where it is known, else of the points."""
    if isinstance(law, laws.Empirical):
        return x.mean(axis=0), np.cov(x.T, bias=True)
    known = law.moments()
    return known.mean, known.covariance


def setting(given: Inputs, p: Any, start: Any) -> Setting:
    """What the flows of the plane are made of."""
    sign = -1.0 if p.downhill else 1.0
    return Setting(
        start, given.mean, given.covariance, given.goal, given.goal_covariance, p.speed, p.amplitude, p.wavelength, p.time, sign
    )
