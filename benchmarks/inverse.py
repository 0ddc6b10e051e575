"""Solvers of inverse problems beside deepinv: the same operator, data, denoiser values and number of iterations, in float32.

64 test images of MNIST, half of the pixels seen, noise 0.1; and a volume of 24 slices of 32 x 32, slice by slice, in 12 views
(*held*: with the operator's decomposition found before). The denoiser is a Wiener filter of training images, or a small
convolutional network with random weights, whose PSNR says nothing. deepinv runs in a process of its own, with as many threads
as there are cores; both take turns, and a ratio is that of the medians. Ours excludes compilation; the first call is told
apart. The strength of DPS is the best of eight on 64 other images for both (``--tune`` tries them again), without deepinv's
clipping to the range of grey values, which makes another denoiser. On busy cores PyTorch's threads wait for each other: the
ratio of the least times says more there.

    python -m benchmarks.inverse [--torch /path/to/python/with/deepinv] [--repeats 7] [--methods dps hqs] [--tune]
"""

import json
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lab import datasets, denoise, inverse
from lab.datasets.volumes import ellipsoid_slices, ellipsoids
from lab.home import start
from lab.inverse import metrics
from lab.inverse.reddiff import abar

from . import report

NOISE, SCAN_NOISE, SIGMA = 0.1, 0.1, 0.2
STEPS = {"dps": 300, "pigdm": 100, "ddrm": 20, "admm": 50, "hqs": 50}
ZETA, WEIGHT = 180.0, 180.0  # see --tune
TRIED = (20.0, 50.0, 80.0, 120.0, 180.0, 270.0, 400.0, 600.0)

THEIRS = """
import json, os, sys, time, warnings
warnings.filterwarnings("ignore")
import numpy as np, torch, deepinv as dinv
from deepinv.sampling import DDPMSolver, DPSDataFidelity, PiGDMDataFidelity, PosteriorDiffusion, VariancePreservingDiffusion
torch.set_num_threads(os.cpu_count())
got = np.load(sys.argv[1])
settings = json.loads(str(got["settings"]))
t = {name: torch.from_numpy(got[name]) for name in got.files if name != "settings"}

def level(sigma, x):
    return torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1)

class Wiener(dinv.models.Denoiser):
    def __init__(self, mean, values, vectors):
        super().__init__()
        self.mean, self.values, self.vectors = mean, values, vectors
    def forward(self, x, sigma, **unused):
        rows = x.reshape(len(x), -1)
        gains = self.values / (self.values + level(sigma, x) ** 2)
        return (self.mean + (((rows - self.mean) @ self.vectors) * gains) @ self.vectors.T).reshape(x.shape)

class Net(dinv.models.Denoiser):
    def __init__(self, layers):
        super().__init__()
        self.layers = layers
    def forward(self, x, sigma, **unused):
        shrunk = x / (1 + level(sigma, x)[:, :, None, None] ** 2)
        z = shrunk
        for k, weights in enumerate(self.layers):
            z = torch.nn.functional.conv2d(torch.nn.functional.silu(z) if k else z, weights, padding=1)
        return shrunk + z

denoisers = {
    "wiener": Wiener(t["mean"], t["values"], t["vectors"]),
    "slices": Wiener(t["slice_mean"], t["slice_values"], t["slice_vectors"]),
    "net": Net([t[f"net{k}"] for k in range(3)]),
}
mask = dinv.physics.Inpainting(
    img_size=(1, 28, 28), mask=t["mask"], noise_model=dinv.physics.GaussianNoise(settings["noise"]))
weights, side = t["weights"], settings["side"]
scan = dinv.physics.LinearPhysics(
    A=lambda x, **unused: x.reshape(len(x), -1) @ weights.T,
    A_adjoint=lambda y, **unused: (y @ weights).reshape(len(y), 1, side, side),
    noise_model=dinv.physics.GaussianNoise(settings["scan_noise"]))
problems = {"mask": (mask, t["y"]), "scan": (scan, t["scan_y"]), "held": (scan, t["scan_y"]), "tune": (mask, t["tune_y"])}
grid = lambda steps: torch.linspace(1, 0, steps + 1)

def solver(method, problem, denoiser, steps, weight):
    physics, y = problems[problem]
    d = denoisers[denoiser]
    if method in ("dps", "pigdm"):
        made = PosteriorDiffusion(
            data_fidelity=DPSDataFidelity(weight=weight) if method == "dps" else PiGDMDataFidelity(), denoiser=d,
            sde=VariancePreservingDiffusion(dtype=torch.float32), solver=DDPMSolver(timesteps=grid(steps)),
            minus_one_one=False, dtype=torch.float32)
        return lambda: made(y, physics)
    if method == "ddrm":
        made = dinv.sampling.DDRM(d, sigmas=got["sigmas"], eta=0.85, etab=1.0)
        return lambda: made(y, physics)
    noise = settings["noise" if problem == "mask" else "scan_noise"]
    kind = {"admm": dinv.optim.ADMM, "hqs": dinv.optim.HQS}[method]
    made = kind(
        data_fidelity=dinv.optim.L2(sigma=noise), prior=dinv.optim.PnP(denoiser=d), stepsize=settings["sigma"] ** 2,
        g_param=settings["sigma"], max_iter=steps, early_stop=False, thres_conv=0.0)
    physics.max_iter, physics.tol = 20, 1e-6
    begun = t["start"] if problem == "mask" else t["scan_start"]
    init = (begun, torch.zeros_like(begun)) if method == "admm" else begun
    return lambda: made(y, physics, init=init)

print("ready", dinv.__version__, torch.__version__, flush=True)
made = {}
for line in sys.stdin:
    asked = json.loads(line)
    name = json.dumps(asked["what"])
    made.setdefault(name, solver(*asked["what"]))
    torch.manual_seed(asked["seed"])
    began = time.perf_counter()
    with torch.no_grad():
        found = made[name]()
    spent = time.perf_counter() - began
    np.save(asked["to"], found.detach().numpy())
    print(spent, flush=True)
"""


class Peer:
    """deepinv in a process of its own, which answers one request at a time."""

    def __init__(self, python: str, given: dict[str, Any]):
        self.folder = tempfile.TemporaryDirectory()
        self.at = Path(self.folder.name)
        np.savez(self.at / "given.npz", **given)
        self.process = subprocess.Popen(
            [python, "-c", THEIRS, str(self.at / "given.npz")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.says = self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError("deepinv's process ended: see above")
        return line

    def __call__(self, method: str, problem: str, denoiser: str, steps: int, weight: float = WEIGHT, seed: int = 0):
        assert self.process.stdin is not None
        place = str(self.at / "found.npy")
        asked = {"what": [method, problem, denoiser, steps, weight], "seed": seed, "to": place}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return float(self._line()), np.load(place)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self.folder.cleanup()


def convolution(weights: Any) -> Callable:
    """Images (B, H, W, C) by fixed weights (3, 3, in, out). Its transpose is a convolution again, and said to be one: what JAX
    makes of it takes XLA five times as long on a CPU."""

    def plain(z, weights):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(z, weights.astype(z.dtype), (1, 1), "SAME", dimension_numbers=numbers)

    turned = weights[::-1, ::-1].swapaxes(2, 3)
    convolved = jax.custom_vjp(lambda z: plain(z, weights))
    convolved.defvjp(lambda z: (plain(z, weights), None), lambda _, slope: (plain(slope, turned),))
    return convolved


def net(key: Any) -> tuple[list[np.ndarray], denoise.Denoiser]:
    """Weights (out, in, 3, 3) of three layers of 16 channels, and the denoiser."""
    sizes = ((1, 16), (16, 16), (16, 1))
    keys = jax.random.split(key, len(sizes))
    layers = [
        np.asarray(0.5 * jax.random.normal(k, (out, into, 3, 3)) / (9 * into) ** 0.5, np.float32)
        for k, (into, out) in zip(keys, sizes, strict=True)
    ]
    convolutions = [convolution(jnp.asarray(each.transpose(2, 3, 1, 0))) for each in layers]

    def function(x, sigma):
        shrunk = (x / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)).transpose(0, 2, 3, 1)
        z = shrunk
        for k, convolved in enumerate(convolutions):
            z = convolved(jax.nn.silu(z) if k else z)
        return (shrunk + z).transpose(0, 3, 1, 2)

    return layers, denoise.denoiser(function, (1, 28, 28))


def beds() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Our problems and denoisers, the true images, and what the peer is given."""
    data = datasets.load("mnist-images")
    pixels = np.asarray(data.arrays["pixels"]) / np.float32(127.5) - 1
    held = np.asarray(data.arrays["held_out"])
    train, test = pixels[~held][:4000].reshape(4000, -1), pixels[held]
    spectrum = denoise.dense_spectrum(jnp.asarray(train, float))
    truth = {name: jnp.asarray(test[a:b].reshape(-1, 1, 28, 28)) for name, a, b in (("mask", 0, 64), ("tune", 64, 128))}
    seen = inverse.scattered(jax.random.key(0), (28, 28), 0.5)
    masked = inverse.Mask(seen, (1, 28, 28))
    problems = {
        name: inverse.measure(masked, x, NOISE, jax.random.key(1 + k)) for k, (name, x) in enumerate(truth.items())
    }

    volume = jnp.asarray(ellipsoids(np.random.default_rng(0), 24, 32))
    slices = ellipsoid_slices(32, seed=1).astype(np.float32).reshape(-1, 32 * 32)[::2] / 255
    of_slices = denoise.dense_spectrum(jnp.asarray(slices, float))
    made = inverse.radon((24, 32, 32), 12)
    problems["scan"] = inverse.measure(made, volume, SCAN_NOISE, jax.random.key(3))
    truth["scan"] = truth["held"] = volume[:, None]
    layers, network = net(jax.random.key(4))
    denoisers = {
        "wiener": denoise.Wiener(spectrum, (1, 28, 28)),
        "slices": inverse.Slices(denoise.Wiener(of_slices, (1, 32, 32)), 24),
        "net": network,
    }
    levels = abar(1000)[np.round(np.linspace(0, 999, STEPS["ddrm"])).astype(int)][::-1]
    wide = lambda x: np.asarray(x, np.float32)  # noqa: E731
    given = {
        "settings": json.dumps({"noise": NOISE, "scan_noise": SCAN_NOISE, "sigma": SIGMA, "side": 32}),
        "mask": wide(seen)[None],
        "y": wide(problems["mask"].y),
        "tune_y": wide(problems["tune"].y),
        "start": wide(problems["mask"].start()),
        "weights": wide(made.weights),  # type: ignore[attr-defined]
        "scan_y": wide(problems["scan"].y).reshape(24, -1),
        "scan_start": np.zeros((24, 1, 32, 32), np.float32),
        "sigmas": wide(np.sqrt((1 - levels) / levels)),
    }
    for name, each in (("", spectrum), ("slice_", of_slices)):
        given |= {
            f"{name}mean": wide(each.mean),
            f"{name}values": wide(each.values),
            f"{name}vectors": wide(each.vectors),
        }
    given |= {f"net{k}": each for k, each in enumerate(layers)}
    return problems, denoisers, truth, given


def ours(problems: dict, denoisers: dict, method: str, problem: str, denoiser: str, zeta: float = ZETA) -> Callable:
    """A run of one of our solvers."""
    steps = STEPS[method]
    made: Any = {
        "dps": inverse.DPS(zeta=zeta, weight="score", steps=steps),
        "pigdm": inverse.PiGDM(weight="score", steps=steps),
        "ddrm": inverse.DDRM(steps=steps),
        "admm": inverse.PlugAndPlay(sigma=SIGMA, steps=steps),
        "hqs": inverse.PlugAndPlay(sigma=SIGMA, steps=steps, scheme="hqs"),
    }[method]
    of = problems["mask" if problem == "mask" else "tune" if problem == "tune" else "scan"]
    begun = jnp.zeros((24, 32, 32), jnp.float32) if problem in ("scan", "held") else None
    if problem == "held":
        of = inverse.Problem(inverse.prepared(of.operator), of.y, of.noise)

    def run(seed: int = 0):
        found = inverse.solve(of, denoisers[denoiser], made, key=jax.random.key(seed), start=begun).x
        return np.asarray(found).reshape(-1, 1, *found.shape[-2:])

    return run


def decibels(x: np.ndarray, truth: Any, problem: str) -> float:
    return float(metrics.psnr(x, truth, 1.0 if problem in ("scan", "held") else 2.0).mean())


def main(argv: Sequence[str] | None = None) -> None:
    given = report.options(__doc__, argv, torch="", repeats=7, methods=[*STEPS], tune=False)
    if unknown := {*given.methods} - {*STEPS}:
        raise SystemExit(f"--methods {' '.join(unknown)}: allowed are {', '.join(STEPS)}")
    start()
    told = report.Report("inverse", given)
    problems, denoisers, truth, arrays = beds()
    peer = Peer(given.torch, arrays) if told.runs("deepinv", given.torch, "deepinv") else None
    print(f"{peer.says.replace('ready', 'deepinv, torch') if peer else 'without a peer'}; JAX {jax.__version__}")
    if given.tune:
        for value in TRIED:
            found = [ours(problems, denoisers, "dps", "tune", "wiener", value)()]
            found += [peer("dps", "tune", "wiener", STEPS["dps"], value)[1]] if peer else []
            each = ", ".join(f"{decibels(x, truth['tune'], 'tune'):.2f} dB" for x in found)
            print(f"DPS, strength {value}: {each}", flush=True)
    cases = [(method, "mask", denoiser) for denoiser in ("wiener", "net") for method in given.methods]
    cases += [("admm", problem, "slices") for problem in ("scan", "held")] if "admm" in given.methods else []
    print(
        "method, problem, denoiser, iterations: lab (first call), deepinv; ratio of medians (of minima); PSNR; difference"
    )
    for method, problem, denoiser in cases:
        run = ours(problems, denoisers, method, problem, denoiser)
        first, mine = report.clocked(run)
        theirs = peer(method, problem, denoiser, STEPS[method])[1] if peer else None
        spent: dict[str, list[float]] = {"lab": [], **({"deepinv": []} if peer else {})}
        for k in range(given.repeats):
            spent["lab"].append(report.clocked(lambda run=run, k=k: run(k))[0])
            if peer:
                spent["deepinv"].append(peer(method, problem, denoiser, STEPS[method], seed=k)[0])
        found = {"psnr": decibels(mine, truth[problem], problem)}
        line = (
            f"  {method:6} {problem:5} {denoiser:7} {STEPS[method]:4}: {1000 * statistics.median(spent['lab']):7.0f} ms"
        )
        line += f" ({first:4.1f} s)"
        if theirs is not None:
            found |= {"psnr_deepinv": decibels(theirs, truth[problem], problem)}
            found |= {"difference": float(np.abs(mine - theirs).max())}
            medians, minima = ([of(each) for each in spent.values()] for of in (statistics.median, min))
            line += f" {1000 * medians[1]:7.0f} ms; {medians[1] / medians[0]:.2f} ({minima[1] / minima[0]:.2f})"
        print(line + "; " + ", ".join(f"{name} {value:.4g}" for name, value in found.items()), flush=True)
        size = {"method": method, "problem": problem, "denoiser": denoiser, "iterations": STEPS[method]}
        times = {name: report.Times(first if name == "lab" else 0.0, each, None) for name, each in spent.items()}
        told.row(size, times, **found)
    if peer:
        peer.close()
    told.end()


if __name__ == "__main__":
    main()
