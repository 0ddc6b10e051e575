"""MAID on total variation denoising of 8 photographs beside the same algorithm in PyTorch, in float64.

Noise 0.1, weight and smoothing learned from (-5, -5), a budget of lower gradients and products with the Hessian. The peer takes
the same decisions: gradients by ``autograd``, products by a second backward pass through a graph that conjugate gradients keep,
constants by secants. It runs in a process of its own with one thread and with two, and the better one counts; both take turns.
Hyperparameters and costs at the end must be the same. Ours excludes compilation, which is told.

    python -m benchmarks.maid --torch /path/to/python/with/pytorch [--pixels 64] [--budget 2000] [--repeats 5]
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lab import datasets
from lab.home import start
from lab.numerics import Chunked
from lab.tuning import denoising, maid
from lab.tuning.descent import Rules

IMAGES, NOISE, ALPHA, EPS, STEPS = 8, 0.1, 0.1, 0.1, 200
THEIRS = """
import json, sys, time
import numpy as np, torch
given = np.load(sys.argv[1])
y, clean = (torch.from_numpy(given[name]) for name in ("noisy", "clean"))
eta, lam, rho, rho_up, nu, nu_up, backtracks, budget, eps0, alpha0 = (float(each) for each in given["rules"])
n, grad = len(y), torch.autograd.grad
def h(x, theta):
    weight, nu2 = torch.exp(theta[0]), torch.exp(2 * theta[1])
    across, down = x[:, :, 1:] - x[:, :, :-1], x[:, 1:] - x[:, :-1]
    tv = torch.sqrt(across * across + nu2).sum() + torch.sqrt(down * down + nu2).sum()
    return (0.5 * ((x - y) ** 2).sum() + weight * tv) / n
def upper(x):
    off = x - clean
    return float((off * off).sum()) / 2 / n, off / n
def norm(x):
    return float(torch.linalg.vector_norm(x))
def smooth(theta):
    return (1 + 8 * float(torch.exp(theta[0] - theta[1]))) / n
mu = of_upper = 1 / n
def lower(theta, x, eps):
    L = smooth(theta)
    momentum = (1 - (mu / L) ** 0.5) / (1 + (mu / L) ** 0.5)
    before, count = x, 0
    while True:
        y = x if count == 0 else y
        at = y.detach().requires_grad_()
        pull = grad(h(at, theta), at)[0]
        accuracy, count = norm(pull) / mu, count + 1
        if accuracy <= eps:
            return y, accuracy, count
        x = y - pull / L
        y, before = x + momentum * (x - before), x
class Point:
    def __init__(self, x, theta):
        self.x, self.theta = x.detach().requires_grad_(), theta.detach().requires_grad_()
        self.pull = grad(h(self.x, self.theta), self.x, create_graph=True)[0]
    def curved(self, v):
        return grad(self.pull, self.x, v, retain_graph=True)[0]
    def pulled(self, q):
        return grad(self.pull, self.theta, q, retain_graph=True)[0]
    def cross_norm(self):
        u = torch.zeros_like(self.x, requires_grad=True)
        back = grad(self.pull, self.theta, u, create_graph=True)[0]
        columns = torch.stack([grad(back[i], u, retain_graph=True)[0].ravel() for i in range(len(back))])
        return float(torch.linalg.eigvalsh(columns @ columns.T)[-1]) ** 0.5
def conjugate(point, b, q, delta):
    residual = b - point.curved(q)
    p, square, count = residual, float((residual * residual).sum()), 1
    while square**0.5 > delta:
        image = point.curved(p)
        step = square / float((p * image).sum())
        q, residual = q + step * p, residual - step * image
        new = float((residual * residual).sum())
        p, square, count = residual + new / square * p, new, count + 1
    return q, square**0.5, count
def run(budget=budget):
    theta, x = torch.full((2,), -5.0, dtype=y.dtype), y
    before, q, eps, delta, alpha = x, torch.zeros_like(x), eps0, eps0, alpha0
    hessian = cross = 0.0
    gradients = products = 0
    while gradients + products < budget:
        allowed, accepted = int(backtracks), False
        while not accepted:
            while True:
                x, reached, count = lower(theta, x, eps)
                gradients += count
                point, (value, pull) = Point(x, theta), upper(x)
                q, left, count = conjugate(point, pull, q, delta)
                products += count
                z, scale = -point.pulled(q), norm(x - before) * norm(q)
                if scale > 0:
                    other = Point(before, theta)
                    hessian = max(hessian, norm(point.curved(q) - other.curved(q)) / scale)
                    cross = max(cross, norm(point.pulled(q) - other.pulled(q)) / scale)
                size, inverse, steep, length = point.cross_norm(), hessian / mu**2, norm(pull), norm(z)
                factor = of_upper * size / mu + inverse * steep * size + cross * steep / mu
                omega = factor * reached + size / mu * left + cross * of_upper / mu * reached**2
                if omega <= (1 - eta) * length:
                    break
                eps, delta = nu * eps, nu * delta
            level = value - steep * reached
            for trial in range(allowed):
                a = alpha * rho**trial
                there, near, count = lower(theta - a * z, x, eps)
                gradients += count
                value, pull = upper(there)
                above = value + norm(pull) * near + of_upper / 2 * near**2
                accepted = above - level + lam * a * length**2 <= 0
                if accepted:
                    break
            if not accepted:
                eps, delta, allowed = nu * eps, nu * delta, allowed + 1
        theta, before, x = theta - a * z, x, there
        alpha, eps, delta = rho_up * a, nu_up * eps, nu_up * delta
    return theta.tolist(), gradients, products
print(f"torch {torch.__version__}", flush=True)
run(200)
for line in sys.stdin:
    torch.set_num_threads(int(line))
    began = time.perf_counter()
    theta, gradients, products = run()
    found = {"seconds": time.perf_counter() - began, "theta": theta, "gradients": gradients, "products": products}
    print(json.dumps(found), flush=True)
"""


class Peer:
    """The other interpreter: a number of threads in, what it found out."""

    def __init__(self, python: str, **arrays: Any):
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name, "given.npz")
        np.savez(path, **arrays)
        command = [python, "-c", THEIRS, str(path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.says = self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise SystemExit("the other interpreter ended: it needs PyTorch and NumPy; what it said is above")
        return line

    def __call__(self, threads: int) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{threads}\n")
        self.process.stdin.flush()
        return json.loads(self._line())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self.folder.cleanup()


def main(torch: str, pixels: str = "64", budget: int = 2000, repeats: int = 5) -> None:
    start()
    jax.config.update("jax_enable_x64", True)
    data = datasets.load("photograph-squares", pixels=pixels).arrays
    clean = jnp.asarray(data["pixels"][~data["held_out"]][:IMAGES].mean(axis=1) / 255.0)
    noisy = denoising.noisy(clean, NOISE, jax.random.key(0))
    problem, theta, rules = denoising.TotalVariation(noisy, clean), jnp.full(2, -5.0), Rules(budget=budget)

    def ours() -> Any:
        found = maid.minimise(problem, theta, EPS, alpha=ALPHA, rules=rules, max_iterations=STEPS, loop=Chunked())
        return jax.block_until_ready(found)

    numbers = (
        rules.eta,
        rules.lam,
        rules.rho,
        rules.rho_up,
        rules.nu,
        rules.nu_up,
        rules.backtracks,
        budget,
        EPS,
        ALPHA,
    )
    peer = Peer(torch, noisy=noisy, clean=clean, rules=np.array(numbers, float))
    began = time.perf_counter()
    found = ours()
    first = time.perf_counter() - began
    clock: dict[str, list[float]] = {"lab": [], "1 thread": [], "2 threads": []}
    other: Any = None
    for _ in range(repeats):
        began = time.perf_counter()
        ours()
        clock["lab"].append(time.perf_counter() - began)
        for threads in (1, 2):
            other = peer(threads)
            clock[f"{threads} thread{'s' * (threads > 1)}"].append(other["seconds"])
    peer.close()
    lab, *theirs = (statistics.median(each) for each in clock.values())
    least = min(min(clock["1 thread"]), min(clock["2 threads"])) / min(clock["lab"])
    print(f"{clean.shape[0]} images of {pixels} x {pixels}, {peer.says}, JAX {jax.__version__}")
    print(
        f"lab {lab:.2f} s (first call {first:.1f} s), PyTorch {theirs[0]:.2f} s on 1 thread, {theirs[1]:.2f} s on 2: "
        f"{min(theirs) / lab:.1f} times, {least:.1f} by the least times"
    )
    gradients, products = int(found.state.lower_cost), int(found.state.linear_cost)
    apart = np.abs(np.asarray(found.theta) - np.array(other["theta"])).max()
    quality = float(denoising.psnr(found.x, clean).mean())
    print(
        f"{gradients} gradients and {products} products, PyTorch {other['gradients']} and {other['products']}; "
        f"hyperparameters differ by {apart:.1e}; {quality:.2f} dB"
    )
    if (gradients, products) != (other["gradients"], other["products"]):
        raise SystemExit("the two did not take the same decisions: their times do not compare")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", required=True, help="a Python that has PyTorch")
    parser.add_argument("--pixels", choices=("48", "64", "96"), default="64")
    parser.add_argument("--budget", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    main(**vars(parser.parse_args()))
