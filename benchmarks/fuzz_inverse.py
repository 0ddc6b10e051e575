r"""Random problems of ``lab.inverse`` and ``lab.denoise``, checked against oracles and invariants, and invalid input.

Valid input is compared with closed forms of Gaussians, SciPy, scikit-image, loops in NumPy, or identities (adjoints,
pseudo-inverses, projections). Invalid input must raise a ValueError or TypeError that names the argument.

    python -m benchmarks.fuzz_inverse [--problems 2500] [--seed 0]
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import sqrtm
from scipy.ndimage import convolve
from scipy.special import softmax
from skimage.metrics import structural_similarity
from skimage.transform import iradon

from benchmarks import fuzzing
from benchmarks.fuzzing import close, refused
from lab import denoise, inverse
from lab.inverse import metrics
from lab.numerics.mixtures import Mixture

KEY = jax.random.key(0)
SHAPE = (1, 4, 4)  # one shape, since each is a program


def _images(rng, count=6):
    return rng.normal(size=(count, *SHAPE))


def _spd(rng, n):
    half = rng.normal(size=(n, n))
    return half @ half.T / n + 10 ** rng.uniform(-3, 0) * np.eye(n)


def _operator(rng):
    kind = rng.integers(7)
    seen = rng.random((4, 4)) < 0.6
    seen[0, 0] = True
    if kind == 0:
        return inverse.Dense(rng.normal(size=(5, 16)), SHAPE)
    if kind == 1:
        return inverse.Mask(seen, SHAPE)
    if kind == 2:
        return inverse.Blur(SHAPE, rng.random((3, 3)), ("circular", "reflect", "edge", "zero")[rng.integers(4)])
    if kind == 3:
        return inverse.MaskedFourier(SHAPE, seen)
    if kind == 4:
        return inverse.radon(SHAPE, rng.uniform(0, 180, 3))
    if kind == 5:
        return inverse.average(SHAPE, 2)
    return inverse.Separable(rng.normal(size=(3, 4)), rng.normal(size=(2, 4)))


def operators(rng):
    made = _operator(rng)
    x, other = rng.normal(size=(2, *SHAPE))
    a = np.asarray(made.matrix())
    assert inverse.adjoint_error(made, jax.random.key(int(rng.integers(1 << 30)))) < 1e-10
    y = np.asarray(made(x))
    flat = np.concatenate([y.real.ravel(), y.imag.ravel()]) if made.is_complex else y.ravel()
    close(flat, a @ x.ravel(), 1e-10)
    close(made.norm(), np.linalg.norm(a, 2), 1e-6)
    back = np.asarray(made.pinv(y))
    close(back.ravel(), np.linalg.pinv(a, rcond=1e-9) @ flat, 1e-5)
    close(made(np.asarray(made.project(jnp.asarray(other), jnp.asarray(y)))).real, y.real, 1e-5)


def prepared(rng):
    made = _operator(rng)
    y = np.asarray(made(rng.normal(size=SHAPE)))
    close(inverse.prepared(made).pinv(y), made.pinv(y), 1e-6)


def kernels(rng):
    sigma, size = rng.uniform(0.3, 3), int(rng.choice([3, 5, 7]))
    side = np.exp(-0.5 * ((np.arange(size) - size // 2) / sigma) ** 2)
    close(inverse.gaussian(sigma, size), np.outer(side, side) / side.sum() ** 2)
    angle = rng.uniform(-360, 360)
    line = inverse.motion(size, angle)
    close(line.sum(), 1)
    close(line, line[::-1, ::-1])  # a line through the middle
    close(inverse.motion(size, angle + 180), line)
    close(inverse.uniform(size), np.full((size, size), size**-2.0))
    x, kernel = rng.normal(size=(8, 8)), rng.random((3, 3))
    close(inverse.Blur((1, 8, 8), kernel)(x[None])[0], convolve(x, kernel, mode="wrap"))
    close(inverse.Blur((1, 8, 8), kernel, "edge")(x[None])[0], convolve(x, kernel, mode="nearest"))
    refused("sigma", inverse.gaussian, -sigma, size)
    refused("sigma", inverse.gaussian, np.nan, size)
    refused("kernel", inverse.uniform, size + 1)
    refused("kernel", inverse.motion, 2.5)
    refused("angle", inverse.motion, size, np.inf)


def masks(rng):
    key, share = jax.random.key(int(rng.integers(1 << 30))), rng.uniform(0.01, 1)
    assert int(inverse.scattered(key, (6, 5), share).sum()) == max(1, round(30 * share))
    top, left, height, width = rng.integers(0, 5, 4)
    wanted = np.ones((6, 5), bool)
    wanted[top : top + height, left : left + width] = False
    assert (np.asarray(inverse.box((6, 5), top, left, height, width)) == wanted).all()
    a = rng.uniform(1, 5)
    columns = np.asarray(inverse.lines(key, (3, 12), a)).sum(axis=1)
    assert (columns == max(1, round(12 / a))).all()
    thin, thick = (np.asarray(inverse.free_form(key, (6, 6), 2, w)) for w in (0.05, 0.3))
    assert (thick <= thin).all()
    refused("share", inverse.scattered, key, (6, 5), -share)
    refused("acceleration", inverse.lines, key, (3, 12), 0.5)
    refused("height", inverse.box, (6, 5), 0, 0, -1, 2)
    refused("strokes", inverse.free_form, key, (6, 6), -1)
    refused("by", inverse.average, SHAPE, 0)


def tomography(rng):
    n = int(rng.choice([6, 7]))
    angles = rng.uniform(0, 180, 3)
    sinogram = rng.normal(size=(1, n, 3))
    found = inverse.filtered_backprojection(sinogram, angles)
    close(found[0], iradon(sinogram[0], angles, circle=True), 1e-10)
    close(inverse.filtered_backprojection(sinogram.tolist(), list(angles)), found)
    x = rng.normal(size=(2, n, n))
    close(inverse.Radon((2, n, n), angles)(x), inverse.radon((2, n, n), angles)(x), 1e-10)
    refused("sinogram", inverse.filtered_backprojection, np.full((1, n, 3), np.nan), angles)
    refused("angles", inverse.filtered_backprojection, sinogram, angles[:2])


def posteriors(rng):
    h, s, m, sigma = rng.normal(size=(5, 16)), _spd(rng, 16), rng.normal(size=16), 10 ** rng.uniform(-2, 0.5)
    given = inverse.measure(
        inverse.Dense(h, SHAPE), rng.normal(size=SHAPE), sigma, jax.random.key(int(rng.integers(99)))
    )
    y = np.asarray(given.y)
    of_y = h @ s @ h.T + sigma**2 * np.eye(5)
    gain = s @ h.T @ np.linalg.inv(of_y)
    found = inverse.posterior(given, Mixture([1.0], m[None], s[None]))
    close(found.means[0], m + gain @ (y - h @ m), 1e-7)
    close(found.covariances[0], s - gain @ h @ s, 1e-7)
    off = y - h @ m
    density = -(off @ np.linalg.solve(of_y, off) + np.linalg.slogdet(2 * np.pi * of_y)[1]) / 2
    close(inverse.evidence(given, Mixture([1.0], m[None], s[None])), density, 1e-8)
    refused("noise", inverse.problem, given.operator, y, -sigma)
    refused("noise", inverse.problem, given.operator, y, np.nan)
    refused("y", inverse.problem, given.operator, y[:4], sigma)
    refused("y", inverse.problem, given.operator, np.full(5, np.nan), sigma)


def restorations(rng):
    s, h, q = _spd(rng, 3), rng.normal(size=(int(rng.integers(1, 4)), 3)), None
    q = _spd(rng, len(h))
    made = inverse.restoration(s.tolist(), h.tolist(), q.tolist())
    gain = s @ h.T @ np.linalg.inv(h @ s @ h.T + q)
    star = gain @ h @ s
    close(made.gain, gain, 1e-8)
    close(made.mmse, np.trace(s - star), 1e-8)
    root = np.real(sqrtm(s))
    squared = np.trace(s + star) - 2 * np.sqrt(np.maximum(np.linalg.eigvalsh(root @ star @ root), 0)).sum()
    close(made.transport.squared, squared, 1e-6)
    flow = made.flow(10 ** rng.uniform(-3, 0))
    m = np.asarray(flow.map())
    close(m @ np.asarray(flow.start) @ m.T, s, 1e-7)
    refused("s", made.between, 1 + rng.random())
    refused("noise", made.flow, -0.1)
    refused("steps", flow.map, 0)
    refused("H", inverse.restoration, s, h[:, :2], q)
    refused("Q", inverse.restoration, s, h, -q)


def solvers(rng):
    """Plug-and-play by ADMM with a Wiener denoiser ends at the posterior mean of the Gaussian."""
    mean, values = rng.normal(size=16), rng.uniform(0.2, 1, 16)
    prior = denoise.Wiener(denoise.Spectrum(*map(jnp.asarray, (mean, values, np.eye(16), values.sum()))), SHAPE)
    h, sigma = rng.normal(size=(5, 16)), rng.uniform(0.2, 1)
    y = rng.normal(size=5)
    given = inverse.problem(inverse.Dense(h, SHAPE), y, sigma)
    found = inverse.solve(given, prior, inverse.PlugAndPlay(sigma=0.6, steps=300))
    wanted = mean + np.linalg.solve(h.T @ h / sigma**2 + np.diag(1 / values), h.T @ (y - h @ mean) / sigma**2)
    close(found.x[0].ravel(), wanted, 1e-3)
    for name, method in (
        ("sigma", inverse.PlugAndPlay(sigma=-1.0)),
        ("zeta", inverse.DPS(zeta=np.nan)),
        ("eta", inverse.DDRM(eta=2.0)),
        ("strength", inverse.PiGDM(strength=-1.0)),
        ("rate", inverse.REDDiff(rate=0.0)),
        ("t_min", inverse.Flair(t_min=1.5)),
        ("lam", inverse.Variation(lam=-1.0)),
        ("steps", inverse.REDDiff(steps=-2)),
        ("steps", inverse.DPS(steps=2.5)),
    ):
        refused(name, inverse.solve, given, prior, method)
    refused("seeds", inverse.solve, given, prior, inverse.DDRM(), seeds=0)
    refused("method", inverse.solve, given, prior, "DPS")


def variation(rng):
    y, lam = rng.normal(size=(2, 2, 2)), rng.uniform(0.01, 1)
    given = inverse.problem(inverse.Identity(y.shape), y, 0.1)
    half = np.clip(y[1] - y[0], -2 * lam, 2 * lam) / 2
    close(inverse.total_variation(given, lam, 0.3).x, np.stack([y[0] + half, y[1] - half]), 3e-5)
    refused("steps", inverse.total_variation, given, steps=-3)
    refused("lam", inverse.total_variation, given, -lam)
    refused("rho", inverse.total_variation, given, lam, 0.0)


def calibrations(rng):
    error = rng.uniform(1, 2, 100)
    table = inverse.Calibration(np.linspace(1, 0, 100).tolist(), error.tolist())
    b = 1 / (error + 1e-7)
    b /= b.mean()
    close(table.weights(0.3, 0.2), 0.3 * np.maximum(b - b[-1] + 0.2, 0))
    prior = denoise.denoiser(lambda x, sigma: x / 2, SHAPE)
    refused("images", inverse.calibrate, prior, None, KEY)
    refused("images", inverse.calibrate, prior, rng.normal(size=(2, 5)), KEY)


def quality(rng):
    x, truth = rng.random((2, 1, 9, 9))
    close(metrics.ssim(x, truth, 1.0), structural_similarity(x[0], truth[0], data_range=1.0))
    close(metrics.psnr(x, truth, 1.0), -10 * np.log10(((x - truth) ** 2).mean()))


def denoisers(rng):
    pixels, x, sigma = _images(rng), rng.normal(size=(3, 16)), 10 ** rng.uniform(-1, 1)
    flat, images = pixels.reshape(6, 16), denoise.Images(pixels)
    squared = ((x[:, None] - flat[None]) ** 2).sum(axis=2)
    optimal = softmax(-squared / (2 * sigma**2), axis=1) @ flat
    close(denoise.Optimal(images)(x, sigma), optimal, 1e-8)
    close(denoise.LS(images, 7)(x, sigma), optimal, 1e-8)
    close(denoise.SquareComposite(images, 4)(x, sigma), optimal, 1e-8)
    close(denoise.FlexComposite(images, np.ones((16, 16)))(x, sigma), optimal, 1e-8)
    close(denoise.Masked(images, np.ones((16, 16)))(x, sigma), optimal, 1e-8)
    close(denoise.Nearest(images)(x, sigma), flat[squared.argmin(axis=1)])
    shifts = np.stack([np.roll(p[0], (i, j), (0, 1)).ravel() for p in pixels for i in range(4) for j in range(4)])
    apart = ((x[:, None] - shifts[None]) ** 2).sum(axis=2)
    close(denoise.ES(images)(x, sigma), softmax(-apart / (2 * sigma**2), axis=1) @ shifts, 1e-8)
    alone = softmax(-((x[:, None] - flat[None]) ** 2) / (2 * sigma**2), axis=1)
    close(denoise.LS(images, 1)(x, sigma), (alone * flat[None]).sum(axis=1), 1e-8)
    refused("tau", denoise.Optimal, images, -1.0)
    refused("sigma", denoise.Optimal(images), x, -sigma)
    refused("patch", denoise.LS, images, 2)
    refused("side", denoise.SquareComposite, images, 9)
    refused("pixels", denoise.Images, np.full((2, *SHAPE), np.nan))


def spectra(rng):
    pixels = _images(rng, 7)
    flat, sigma = pixels.reshape(7, 16), rng.uniform(0.1, 2)
    s, mean = np.cov(flat.T), flat.mean(axis=0)
    x = rng.normal(size=(2, 16))
    for found in (denoise.spectrum(denoise.Images(pixels)), denoise.dense_spectrum(flat)):
        wanted = mean + (x - mean) @ (s @ np.linalg.inv(s + sigma**2 * np.eye(16)))
        close(denoise.Wiener(found, SHAPE)(x, sigma), wanted, 1e-8)
    refused("rank", denoise.spectrum, denoise.Images(pixels), 0)
    refused("pixels", denoise.dense_spectrum, flat[:1])


def measures(rng):
    a, b = rng.normal(size=(2, 3, 5))
    close(denoise.mse(a.tolist(), b), ((a - b) ** 2).mean(axis=1))
    close(denoise.r2(a, b), 1 - ((a - b) ** 2).sum(axis=1) / (5 * b.var(axis=1, ddof=1)))
    close(denoise.pooled_r2(a, b), 1 - ((a - b) ** 2).sum() / (5 * b.var(axis=1, ddof=1).sum()))
    apart = np.sqrt(((a[:, None] - b[None]) ** 2).mean(axis=2))
    close(denoise.nearest_distance(a, b), apart.min(axis=1), 1e-7)
    close(denoise.agreement(a[None, None], b[None]).mse[0, 0], ((a - b) ** 2).mean(axis=1))
    refused("b", denoise.mse, a, b[:, :4])
    fields, fraction = np.abs(rng.normal(size=(5, 5))), rng.random()
    crops = np.asarray(denoise.flex_crops(fields, fraction))
    assert ((fields * crops.T).sum(axis=1) >= fraction * fields.sum(axis=1) - 1e-9).all()
    refused("fraction", denoise.flex_crops, fields, 1.5)
    refused("fields", denoise.flex_crops, fields[:3], 0.5)


def samples(rng):
    """One step to level 0 is the estimate; the levels fall from high to low and end at 0."""
    low, high = np.sort(10 ** rng.uniform(-2, 2, 2))
    for levels in (denoise.geometric_levels(4, low, high), denoise.edm_levels(4, low, high)):
        close(np.asarray(levels)[[0, -2, -1]], [high, low, 0])
        assert (np.diff(levels) < 0).all()
    close(denoise.geometric_levels(4, low, high)[:-1], np.geomspace(high, low, 4))
    prior = denoise.denoiser(lambda x, sigma: jnp.tanh(x), SHAPE)
    x = rng.normal(size=(2, 16))
    close(denoise.sample(prior, x, [high, 0]).x, np.tanh(x))
    refused("low", denoise.geometric_levels, 4, -low, high)
    refused("high", denoise.geometric_levels, 4, low, np.inf)
    refused("steps", denoise.released_levels, 2.5)
    refused("rho", denoise.edm_levels, 4, low, high, 0.0)
    refused("levels", denoise.sample, prior, x, [low, high])
    refused("sigma", denoise.start, KEY, 2, 3, -1.0)


def nonlinear(rng):
    """Magnitudes of a padded spectrum, clipped exposures and blurred light by NumPy; chains of operators."""
    x, gain, gamma = rng.uniform(-1, 1, SHAPE), rng.uniform(0.2, 4), rng.uniform(1, 3)
    frame = np.pad(x, [(0, 0), (2, 2), (2, 2)])
    close(inverse.PhaseRetrieval(SHAPE)(x), np.abs(np.fft.fft2(frame, norm="ortho")), 1e-10)
    close(inverse.Clip(SHAPE, gain)(x.tolist()), np.clip(gain * x, -1, 1), 1e-12)
    blur = inverse.Blur(SHAPE, rng.random((3, 3)) / 9 + 0.01)
    light = np.maximum((x + 1) / 2, 1e-3) ** gamma
    wanted = 2 * np.maximum(np.asarray(blur(light)), 1e-3**gamma) ** (1 / gamma) - 1
    close(inverse.LinearLightBlur(blur, gamma)(x), wanted, 1e-9)
    first, after = inverse.Dense(rng.normal(size=(16, 16)), SHAPE), rng.normal(size=(3, 16))
    chain = inverse.Dense(after, (16,)) @ first
    close(chain.matrix(), after @ np.asarray(first.matrix()), 1e-12)
    assert inverse.adjoint_error(chain) < 1e-10
    close((inverse.Clip((16,), gain) @ first)(x), np.clip(gain * np.asarray(first(x)), -1, 1), 1e-12)
    a = rng.normal(size=(3, 16))
    own = inverse.operator(lambda x: jnp.asarray(a) @ x.ravel(), SHAPE, linear=True)
    close(own.matrix(), a, 1e-12)
    close(own.adjoint(np.ones(3)).ravel(), a.sum(axis=0), 1e-12)
    match rng.integers(6):
        case 0:
            refused("oversampling", inverse.PhaseRetrieval, SHAPE, rng.choice([0.5, -1, np.nan]))
        case 1:
            refused("gain", inverse.Clip, SHAPE, [np.nan, np.inf, [1.0, 2.0]][rng.integers(3)])
        case 2:
            refused("gamma", inverse.LinearLightBlur, blur, rng.choice([0, -1, np.nan]))
        case 3:
            refused("linear", inverse.operator, lambda x: x**2, SHAPE, linear=True)
        case 4:
            refused("adjoint", inverse.operator, lambda x: 2 * x, SHAPE, linear=True, adjoint=lambda y: 3 * y)
        case 5:
            refused("x", chain, [np.ones(5), x[0]][rng.integers(2)])


def scaled(rng):
    """Keys' kernel, widened by the factor, by loops."""
    by, x = int(rng.choice([1, 2, 4])), rng.normal(size=SHAPE)

    def keys(d):
        d = np.abs(d)
        near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
        return np.where(d <= 1, near, np.where(d < 2, far, 0))

    w = keys((np.arange(4)[None] + 0.5) / by - (np.arange(4 // by)[:, None] + 0.5))
    w /= w.sum(axis=1, keepdims=True)
    close(inverse.bicubic(SHAPE, by)(x)[0], w @ x[0] @ w.T, 1e-6)
    close(inverse.average(SHAPE, by)(x)[0], x[0].reshape(4 // by, by, 4 // by, by).mean(axis=(1, 3)), 1e-12)
    refused("by", (inverse.bicubic, inverse.average)[rng.integers(2)], SHAPE, [0, -2, 1.5, True][rng.integers(4)])
    refused("divided", (inverse.bicubic, inverse.average)[rng.integers(2)], SHAPE, 3)


def restored(rng):
    """Euler's steps of a linear field, and the exact field of pairs, by NumPy."""
    steps, z, end = int(rng.integers(1, 6)), rng.normal(size=(3, 2)), rng.normal(size=2)
    found = inverse.restore(lambda t, z: jnp.asarray(end) - z, z, steps)
    close(found.end, end + (1 - 1 / steps) ** steps * (z - end), 1e-10)
    x, star = rng.normal(size=(2, 5, 2))
    noise, least, t = rng.uniform(0.1, 1), rng.uniform(0, 0.1), rng.uniform(0, 0.9)
    field = inverse.PairFlow(jnp.asarray(x), jnp.asarray(star), noise, least)
    width = max((1 - t) * noise, least)
    w = softmax(-((z[:, None] - t * x - (1 - t) * star) ** 2).sum(axis=2) / (2 * width**2), axis=1)
    close(field(t, jnp.asarray(z)), (w @ x - z) / (1 - t), 1e-8)
    match rng.integers(5):
        case 0:
            refused("steps", inverse.restore, field, z, [0, -1, 1.5][rng.integers(3)])
        case 1:
            refused("noise", inverse.PairFlow, jnp.asarray(x), jnp.asarray(star), [0.0, -1.0, np.nan][rng.integers(3)])
        case 2:
            refused("star", inverse.PairFlow, jnp.asarray(x), jnp.asarray(star[:2]), noise)
        case 3:
            refused("t", field, [1.0, 2.0, np.nan][rng.integers(3)], jnp.asarray(z))
        case 4:
            refused("z", inverse.restore, field, [z[0], "text"][rng.integers(2)], steps)


def volumes(rng):
    """Slices are denoised alone; MBIR is finite and has the words that it is given."""
    flat = denoise.denoiser(lambda x, sigma: x / (1 + sigma**2), (1, 2, 2))
    prior, x = inverse.Slices(flat, 3), rng.normal(size=(2, 12))
    sigma = rng.uniform(0.1, 2)
    close(prior(x, sigma), x / (1 + sigma**2), 1e-12)
    given = inverse.problem(inverse.Identity((3, 2, 2)), rng.normal(size=(3, 2, 2)), 0.1)
    method = inverse.MBIR(lam=rng.uniform(0, 0.1), steps=4)
    assert np.isfinite(inverse.solve(given, prior, method, seeds=2).x).all()
    close(method.levels(), np.geomspace(20, 0.01, 4), 1e-12)
    refused("slices", inverse.Slices, flat, [0, -1][rng.integers(2)])
    name, value = (
        ("steps", 1),
        ("admm", -1),
        ("inner", -1),
        ("sigma_min", -1.0),
        ("sigma_max", np.nan),
        ("lam", -1.0),
        ("rho", 0.0),
        ("corrector", "x"),
        ("snr", np.nan),
    )[rng.integers(9)]
    refused(name, lambda: inverse.solve(given, prior, inverse.MBIR(**({"steps": 4} | {name: value}))))


def machines(rng):
    """Patch machines by loops over all positions, masks from the covariance, streams and choices by level."""
    pixels, x, sigma = _images(rng), rng.normal(size=(2, 16)), 10 ** rng.uniform(-0.5, 0.7)
    flat, images = pixels.reshape(6, 16), denoise.Images(pixels)
    boundary = ("circular", "zero", "edge", "reflect")[rng.integers(4)]
    mode = {"circular": "wrap", "zero": "constant", "edge": "edge", "reflect": "reflect"}[boundary]

    def patches(image):
        wide = np.pad(image.reshape(4, 4), 1, mode=mode)
        return np.stack([wide[i : i + 3, j : j + 3].ravel() for i in range(4) for j in range(4)])

    known = np.concatenate([patches(image) for image in flat])
    apart = ((np.stack([patches(one) for one in x])[:, :, None] - known) ** 2).sum(axis=3)
    wanted = softmax(-apart / (2 * sigma**2), axis=2) @ flat.ravel()
    equivariant = denoise.ELS(images, 3, boundary)
    close(equivariant(x, sigma), wanted, 1e-7)
    s = np.cov(flat.T)
    w, theta = s @ np.linalg.inv(s + sigma**2 * np.eye(16)), rng.uniform(0.05, 0.9)
    m = np.abs(w / np.sqrt(np.outer(np.diag(w), np.diag(w))))
    local = denoise.PCALocality(images, denoise.spectrum(images), theta)
    if np.abs(m / m.max() - theta).min() > 1e-9:
        close(local(x, sigma), denoise.Masked(images, m >= theta * m.max())(x, sigma), 1e-8)
    close(denoise.stream(local, x, sigma).x0, local(x, sigma), 1e-8)
    optimal, narrow, edge = denoise.Optimal(images), denoise.LS(images, 1), 10 ** rng.uniform(-0.5, 0.7)
    both = denoise.ByLevel([narrow, optimal], [edge])
    close(both(x, sigma), (optimal if sigma > edge else narrow)(x, sigma), 1e-12)
    levels = [0.5, 2.0]
    made = denoise.calibrated(lambda p: denoise.LS(images, p), [1, 7], optimal, jnp.asarray(flat), levels, KEY)
    assert made.values == [7, 7]  # the patch of all pixels is the optimal denoiser
    close(made.errors[:, 1], np.zeros(2), 1e-12)
    match rng.integers(8):
        case 0:
            refused("patch", denoise.ELS, images, int(rng.choice([0, 2, 9])))
        case 1:
            refused("boundary", denoise.ELS, images, 3, "x")
        case 2:
            refused("theta", denoise.PCALocality, images, local.spectrum, rng.choice([-0.1, 1.1, np.nan]))
        case 3:
            refused("edges", denoise.ByLevel, [narrow, optimal], [[], [np.nan], [1.0, 0.5]][rng.integers(3)])
        case 4:
            refused("sigma", denoise.stream, local, x, rng.choice([0, -1, np.nan]))
        case 5:
            refused("mask", denoise.Masked, images, [np.ones((3, 3)), np.full((16, 16), np.nan)][rng.integers(2)])
        case 6:
            wrong = [[], [np.nan], [-1.0], [0.0]][rng.integers(4)]
            refused("sigmas", denoise.calibrated, lambda p: optimal, [1], optimal, jnp.asarray(flat), wrong, KEY)
        case 7:
            wrong = [flat[0], flat[:, :3], flat * np.nan][rng.integers(3)]
            refused("images", denoise.calibrated, lambda p: optimal, [1], optimal, jnp.asarray(wrong), levels, KEY)
    refused("values", denoise.calibrated, lambda p: optimal, [], optimal, jnp.asarray(flat), levels, KEY)


CHECKS = {
    "inverse: operators, adjoint_error, radon": operators,
    "inverse.prepared": prepared,
    "inverse: gaussian, motion, uniform, Blur": kernels,
    "inverse: scattered, box, lines, free_form": masks,
    "inverse.filtered_backprojection": tomography,
    "inverse: problem, posterior, evidence": posteriors,
    "inverse.restoration and its flows": restorations,
    "inverse.solve": solvers,
    "inverse.total_variation": variation,
    "inverse: calibrate, Calibration": calibrations,
    "inverse.metrics": quality,
    "denoise: denoisers of images": denoisers,
    "denoise: spectrum, dense_spectrum, Wiener": spectra,
    "denoise: r2, mse, agreement, flex_crops": measures,
    "denoise: levels, sample, start": samples,
    "inverse: Clip, PhaseRetrieval, LinearLightBlur, Composed, operator": nonlinear,
    "inverse: bicubic, average": scaled,
    "inverse: restore, PairFlow": restored,
    "inverse: MBIR, Slices": volumes,
    "denoise: ELS, PCALocality, ByLevel, calibrated, stream": machines,
}


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Draw, check and print; returns the content of the line of JSON."""
    return fuzzing.main("fuzz_inverse", __doc__, CHECKS, argv)


if __name__ == "__main__":
    main()
