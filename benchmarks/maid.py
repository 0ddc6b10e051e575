"""MAID on total variation denoising of 8 photographs beside the same algorithm in PyTorch, in float64.

Noise 0.1, weight and smoothing learned from (-5, -5), a budget of lower gradients and products with the Hessian. The peer takes
the same decisions: gradients by ``autograd``, products by a second backward pass through a graph that conjugate gradients keep,
constants by secants. It runs in a process of its own with one thread and with two, and the better one counts; both take turns.
Hyperparameters and costs at the end must be the same. Ours excludes compilation, which is reported. Without ``--torch``
only ours is measured.

    python -m benchmarks.maid --torch /path/to/python/with/pytorch [--pixels 48, 64 or 96] [--images 8] [--budget 2000]
        [--repeats 5]
"""

import json
import subprocess
import tempfile
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import Report, options, turns
from lab import datasets
from lab.home import start
from lab.numerics import Chunked
from lab.tuning import denoising, maid
from lab.tuning.descent import Rules

NOISE, ALPHA, EPS, STEPS = 0.1, 0.1, 0.1, 200
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


def main(argv: list[str] | None = None) -> dict[str, Any]:
    given = options(__doc__, argv, torch="", pixels=64, images=8, budget=2000, repeats=5)
    start()
    report = Report("maid", given)
    data = datasets.load("photograph-squares", pixels=str(given.pixels)).arrays
    clean = jnp.asarray(data["pixels"][~data["held_out"]][: given.images].mean(axis=1) / 255.0)
    noisy = denoising.noisy(clean, NOISE, jax.random.key(0))
    problem, theta = denoising.TotalVariation(noisy, clean), jnp.full(2, -5.0)
    rules = Rules(budget=given.budget)

    def ours() -> Any:
        return maid.minimise(problem, theta, EPS, alpha=ALPHA, rules=rules, max_iterations=STEPS, loop=Chunked())

    taken = (rules.eta, rules.lam, rules.rho, rules.rho_up, rules.nu, rules.nu_up, rules.backtracks)
    numbers = np.array((*taken, given.budget, EPS, ALPHA), float)
    theirs = report.runs("PyTorch", given.torch, "torch")
    with closing(Peer(given.torch, noisy=noisy, clean=clean, rules=numbers)) if theirs else nullcontext() as peer:
        runs: dict[str, Any] = {"lab": ours}
        if peer:
            runs |= {f"PyTorch, {n} thread{'s' * (n > 1)}": lambda n=n: peer(n) for n in (1, 2)}
        times: dict[str, Any] = turns(runs, given.repeats)
        versions = f"JAX {jax.__version__}, {peer.says if peer else 'no PyTorch'}"
    print(f"{len(clean)} images of {given.pixels} x {given.pixels}, {versions}")
    found = times["lab"].result
    costs = int(found.state.lower_cost), int(found.state.linear_cost)
    quality = float(denoising.psnr(found.x, clean).mean())
    print(f"lab {times['lab'].median:.2f} s, first call {times['lab'].first:.1f} s; {quality:.2f} dB, ", end="")
    print(f"{costs[0]} gradients and {costs[1]} products")
    for name, each in list(times.items())[1:]:
        print(
            f"  {name}: {each.median:.2f} s, {each.median / times['lab'].median:.1f} times, "
            f"{min(each.spent) / min(times['lab'].spent):.1f} by the lowest times"
        )
    apart = 0.0
    for other in (each.result for name, each in times.items() if name != "lab"):
        apart = max(apart, np.abs(np.asarray(found.theta) - np.array(other["theta"])).max())
        if costs != (other["gradients"], other["products"]):
            raise SystemExit("the two did not take the same decisions: their times do not compare")
    size = {"pixels": given.pixels, "images": len(clean), "budget": given.budget}
    report.row(size, times, gradients=costs[0], products=costs[1], psnr=quality, hyperparameters_apart=apart)
    return report.end()


if __name__ == "__main__":
    main()
