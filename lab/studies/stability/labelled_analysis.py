"""Analysis of a user's own model at a point: ``lab.stability.analyze`` as a labeled Dataset, and its pictures."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr

from lab import stability
from lab.numerics import Loop, pure
from lab.studies import draw
from lab.studies.contract import Picture, Pictures

_CELLS = 256


def analyze(
    loss: Callable[..., Any],
    params: Any,
    *data: Any,
    predict: Callable | None = None,
    seed: int = 0,
    batch_sizes: Sequence[int] | None = None,
    only: str | Sequence[str] | None = None,
    chunk: int | None = None,
    top: int = 3,
    probes: int = 8,
    loop: Loop = pure,
) -> xr.Dataset:
    """Spectrum, trace, blocks and thresholds of ``loss(params, *data)``, labelled; ``ANALYSIS`` draws them.

    Args:
        loss: a scalar function of any pytree: an equinox module, a dictionary of flax.
        params: where.
        data: its other arguments; with ``predict`` they are x and y, and the loss half the mean squared error.
        predict: from parameters and one sample to its output; thresholds are then computed.
        seed: of all that is drawn.
        batch_sizes, only, chunk, top, probes, loop: as of ``lab.stability.analyze``.

    Returns:
        a Dataset with loss, trace and its standard error, eigenvalues, density, block norms; the Hessian, where it has at most
        4000 parameters, of more than 256 by its largest entries; and ``eta_star`` (drawn, batch) with ``predict``.

    Raises:
        ValueError: as ``lab.stability.analyze``.
    """
    found = stability.analyze(
        loss,
        params,
        *data,
        key=jax.random.key(seed),
        predict=predict,
        batch_sizes=batch_sizes,
        only=only,
        chunk=chunk,
        top=top,
        probes=probes,
        loop=loop,
    )
    names = [block.path or "parameters" for block in found.blocks]
    size = found.blocks[-1].stop
    made: dict[str, tuple] = {
        "loss": ((), found.loss, "loss"),
        "gradient_norm": ((), found.gradient_norm, "|∇L|"),
        "trace": ((), found.trace.value, "tr H"),
        "trace_error": ((), found.trace.error, "standard error of tr H"),
        "eigenvalue": (("order",), found.top.values, "eigenvalue"),
        "eigenvalue_residual": (("order",), found.top.residuals, "|H v - λ v|"),
        "density": (("bin",), found.density.density, "density of eigenvalues"),
        "density_error": (("bin",), found.density.error, "standard error"),
        "block_rms": (("array", "other"), np.sqrt(found.block_norms.mean_square), "root mean square entry"),
        "array_start": (("array",), [block.start for block in found.blocks], "first parameter"),
    }
    coords: dict[str, Any] = {"bin": np.asarray(found.density.grid), "array": names, "other": names}
    if found.matrix is not None:
        made |= {"trace": ((), np.trace(found.matrix), "tr H"), "trace_error": ((), 0.0, "standard error of tr H")}
        matrix = draw.pooled(np.asarray(found.matrix), _CELLS)
        made["hessian"] = (("row", "column"), matrix, "Hessian")
        every = -(-size // len(matrix))
        coords |= {"row": every * np.arange(len(matrix)), "column": every * np.arange(len(matrix))}
    if found.stability is not None:
        held = found.stability
        coords |= {"drawn": ["with replacement", "without"], "batch": np.asarray(held.batch_sizes).astype(int)}
        made["eta_star"] = (("drawn", "batch"), held.eta.value, "η*")
        for name in held.bounds._fields:
            made[f"bound_{name}"] = (("drawn", "batch"), getattr(held.bounds, name), "bound on η*")
        made |= {
            "residual": ((), held.residual, "norm of the residual"),
            "mu": ((), held.mu, "alignment μ"),
            "tr": ((), held.sizes.trace, "tr G"),
            "fro": ((), held.sizes.frobenius, "|G|_F"),
            "lmax": ((), held.sizes.lambda_max, "λmax(G)"),
        }
    variables = {name: (dims, np.asarray(values), {"long_name": label}) for name, (dims, values, label) in made.items()}
    return xr.Dataset(variables, coords, {"parameters": size, "seed": seed, "title": "Hessian at a point"})


def _spectrum(result: xr.Dataset) -> Any:
    low = float(result.density.max()) * 1e-6
    mean, error = (np.maximum(result[name].values, 0) for name in ("density", "density_error"))
    tops = result.eigenvalue.values
    return draw.plot(
        draw.band(result.bin.values, np.maximum(mean - 2 * error, low), np.maximum(mean + 2 * error, low)),
        draw.curve(result.bin.values, np.maximum(mean, low)),
        draw.points(tops, np.full(tops.shape, 3 * low), color=draw.TARGET),
        xlabel="eigenvalue of the Hessian",
        ylabel="density",
        logy=True,
        ylim=(low, None),
        note=f"tr H = {float(result.trace):.4g} ± {float(result.trace_error):.1g}; dots: the largest eigenvalues",
    )


def _hessian(result: xr.Dataset) -> Any:
    every = int(result.row[1] - result.row[0]) if result.sizes["row"] > 1 else 1
    starts = result.array_start.values[1:] / every - 0.5
    lines = [draw.hline(at, color=draw.MUTED, dash=False) for at in starts]
    lines += [draw.vline(at, color=draw.MUTED) for at in starts]
    largest = float(np.quantile(np.abs(result.hessian.values), 0.995)) or 1.0
    return draw.heatmap(
        result.hessian.values,
        xlabel="parameter",
        ylabel="parameter",
        clabel="entry",
        signed=True,
        clim=(-largest, largest),
        marks=lines,
    )


def _blocks(result: xr.Dataset) -> Any:
    names = [str(name) for name in result.array.values]
    return draw.heatmap(result.block_rms.values, names, names, xlabel="", ylabel="", clabel="root mean square entry")


def _thresholds(result: xr.Dataset) -> Any:
    batch = result.batch.values
    lines = [
        draw.curve(batch, result.eta_star.sel(drawn=drawn).values, drawn, color=color, markers=True)
        for drawn, color in (("with replacement", draw.SOURCE), ("without", draw.GOOD))
    ]
    limit = draw.hline(2 / float(result.lmax), "2 / λmax")
    return draw.plot(*lines, limit, xlabel="batch size B", ylabel="critical learning rate η*", logx=True, logy=True)


def _has(name: str) -> Callable[[xr.Dataset], str]:
    return lambda result: "" if name in result else f"it needs {name}, which this analysis has not"


ANALYSIS = Pictures(
    Picture(
        "spectrum",
        "Spectrum",
        "Line: density of eigenvalues. Band: two standard errors. Dots: largest eigenvalues.",
        _spectrum,
    ),
    Picture(
        "hessian",
        "Hessian",
        "Color: the largest entry of each cell. Lines: borders of the arrays.",
        _hessian,
        where=_has("hessian"),
    ),
    Picture("blocks", "Blocks", "Color: root mean square entry between arrays.", _blocks),
    Picture(
        "thresholds",
        "Critical learning rates",
        "Lines: critical learning rate by batch size (blue: with replacement, green: without). Dashed: 2 / λmax.",
        _thresholds,
        where=_has("eta_star"),
    ),
)
