r"""Exact sums over a training set that does not fit beside its noisy images: a chunk of it at a time.

A softmax over all training images is accumulated by its running maximum m, total Z and weighted sum A,

$$ m' = \max(m, \max_k l_k), \quad Z' = Z e^{m - m'} + \sum_k e^{l_k - m'}, \quad
   A' = A e^{m - m'} + \sum_k e^{l_k - m'} x_k, \qquad D = A / Z , $$

so that the result does not depend on the chunks. Their size follows from a budget of bytes. ``stream`` does the same in the
loop of ``lab.numerics``, which reports after every few chunks and stops.
"""

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab.denoise.base import Denoiser, Shape
from lab.denoise.images import Images
from lab.numerics import Loop, Method, Reason, pure, tell
from lab.numerics.jit import jit

_BYTES = {"cpu": 16 << 20, "gpu": 1 << 30}
_LEAST = 8  # images of a chunk, at least, where the rows allow it


def budget_of(given: int | None) -> int:
    """Bytes of working memory: what is given, or 16 MiB on a CPU and 1 GiB on a GPU."""
    if given is not None and given < 1:
        raise ValueError(f"budget = {given} bytes, but it must be positive")
    return _BYTES.get(jax.default_backend(), _BYTES["gpu"]) if given is None else int(given)


class Softmax(NamedTuple):
    """Q softmaxes for each noisy image, accumulated so far: of ``v`` values each."""

    top: Float[Array, "b Q"]
    total: Float[Array, "b Q"]
    sum: Float[Array, "b v Q"]

    @classmethod
    def empty(cls, b: int, v: int, q: int, dtype: Any) -> "Softmax":
        return cls(jnp.full((b, q), -jnp.inf, dtype), jnp.zeros((b, q), dtype), jnp.zeros((b, v, q), dtype))

    def add(self, logits: Float[Array, "b k Q"], values: Float[Array, "k v Q"]) -> "Softmax":
        """Take in k candidates; -inf leaves one out."""
        top = jax.lax.stop_gradient(jnp.maximum(self.top, logits.max(axis=1)))
        keep, p = jnp.exp(self.top - top), jnp.exp(logits - top[:, None])
        return Softmax(
            top,
            self.total * keep + p.sum(axis=1),
            self.sum * keep[:, None] + jnp.einsum("bkq,kvq->bvq", p, values, precision="highest"),
        )

    def mean(self) -> Float[Array, "b v Q"]:
        return self.sum / self.total[:, None]


class Streaming(Denoiser):
    """A denoiser that goes through the training images chunk by chunk, once or more often."""

    images: eqx.AbstractVar[Images]
    budget: eqx.AbstractVar[int]
    passes: ClassVar[int] = 1

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return self.images.shape

    @abstractmethod
    def numbers(self) -> int:
        """How many numbers are held for each pair of a noisy and a training image."""

    @abstractmethod
    def setup(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Any:
        """What is needed of the noisy images at every chunk."""

    @abstractmethod
    def empty(self, x: Float[Array, "b n"], known: Any) -> Any:
        """The sums before the first chunk."""

    @abstractmethod
    def add(
        self, phase: int, known: Any, sums: Any, x: Array, sigma: Array, chunk: Float[Array, "k n"], live: Array
    ) -> Any:
        """The sums after a chunk, of which the ``live`` ones count, in the pass ``phase``."""

    @abstractmethod
    def finish(self, known: Any, sums: Any) -> Float[Array, "b n"]:
        """The estimate after the last chunk."""

    def chunk_size(self, rows: int, itemsize: int) -> int:
        """Training images of a chunk, for so many noisy ones."""
        return max(1, min(len(self.images), self.budget // (self.numbers() * itemsize * max(rows, 1))))

    def denoise(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Float[Array, "b n"]:
        b, most = len(x), max(1, self.budget // (self.numbers() * x.dtype.itemsize * min(_LEAST, len(self.images))))
        if b <= most:
            return self._pass_all(x, sigma)
        blocks = -(-b // most)
        rows = -(-b // blocks)
        padded = jnp.concatenate([x, jnp.zeros((blocks * rows - b, x.shape[1]), x.dtype)]).reshape(blocks, rows, -1)
        return jax.lax.map(lambda block: self._pass_all(block, sigma), padded).reshape(blocks * rows, -1)[:b]

    def _pass_all(self, x: Array, sigma: Array) -> Array:
        known = self.setup(x, sigma)
        sums, size = self.empty(x, known), self.chunk_size(len(x), x.dtype.itemsize)
        for phase in range(self.passes):
            sums = scan(
                self.images,
                size,
                x.dtype,
                sums,
                lambda sums, chunk, live, phase=phase: self.add(phase, known, sums, x, sigma, chunk, live),
            )
        return self.finish(known, sums)


def scan(images: Images, size: int, dtype: Any, sums: Any, add: Any) -> Any:
    """Fold ``add(sums, chunk, live)`` over all images; in reverse mode chunks are computed again, not stored."""

    @jax.checkpoint
    def body(sums, index):
        return add(sums, *piece(images, index, size, dtype)), None

    return jax.lax.scan(body, sums, jnp.arange(-(-len(images) // size)))[0]


def piece(images: Images, index: Array, size: int, dtype: Any) -> tuple[Array, Array]:
    """A chunk, and which of its images are new: the last chunk reaches back over images of the one before."""
    start = jnp.minimum(index * size, len(images) - size)
    return images.some(start, size, dtype), start + jnp.arange(size) >= index * size


def left_out(logits: Float[Array, "b k Q"], live: Array) -> Float[Array, "b k Q"]:
    """Without the candidates that are not live."""
    return jnp.where(live[None, :, None], logits, -jnp.inf)


# ---------------------------------------------------------------------------------------------- with progress and stop


class _Work(eqx.Module):
    denoiser: Streaming
    x: Float[Array, "b n"]
    sigma: Float[Array, ""]
    known: Any
    size: int = eqx.field(static=True)

    @property
    def chunks(self) -> int:
        return -(-len(self.denoiser.images) // self.size)


class _State(NamedTuple):
    sums: Any
    step: Int[Array, ""]


def _init(work: _Work) -> _State:
    return _State(work.denoiser.empty(work.x, work.known), jnp.int32(0))


def _step(work: _Work, state: _State) -> _State:
    chunk, live = piece(work.denoiser.images, state.step % work.chunks, work.size, work.x.dtype)

    def adds(phase):
        return lambda sums: work.denoiser.add(phase, work.known, sums, work.x, work.sigma, chunk, live)

    phases = [adds(phase) for phase in range(work.denoiser.passes)]
    return _State(jax.lax.switch(state.step // work.chunks, phases, state.sums), state.step + 1)


def _done(work: _Work, state: _State) -> Array:
    last = work.chunks * work.denoiser.passes
    return jnp.where(state.step >= last, Reason.CONVERGED, Reason.RUNNING).astype(jnp.int32)


_CHUNKS = Method(_init, _step, _done, lambda work, state: {"chunks": state.step.astype(work.x.dtype)})
_setup = jit(lambda denoiser, x, sigma: denoiser.setup(x, sigma))
_finish = jit(lambda denoiser, known, sums: denoiser.finish(known, sums))


class Streamed(NamedTuple):
    """An estimate, and whether all training images were seen: it is exact only then."""

    x0: Array
    reason: Any
    chunks: Any


def stream(denoiser: Denoiser, x: Any, sigma: ArrayLike, loop: Loop = pure) -> Streamed:
    r"""The estimate of a denoiser in a loop that reports after every few chunks of training images, and stops.

    $$ D = \frac{\sum_k w_k x_k}{\sum_k w_k}, \qquad w_k = e^{-|x - x_k|^2 / (2 \sigma^2)} $$

    and its like are summed chunk by chunk, exactly. For long work: 50,000 images of 3 x 32 x 32 take about 1 TFLOP for each
    noisy image. A run that is stopped gives the estimate from the images seen so far, and says so. Denoisers that do not
    stream are called as they are.

    Args:
        denoiser: any of ``lab.denoise``.
        x: (..., n) or (..., C, H, W) noisy images.
        sigma: one positive level.
        loop: ``pure``, or a ``Chunked`` that reports and stops.

    Returns:
        a ``Streamed``: the estimate, of the shape of x, the reason, and the chunks that were seen.

    Raises:
        ValueError: several levels, or what the denoiser refuses.

    Warns:
        NotConverged: stopped before the last chunk.

    Source:
        Milakov, Gimelshein, Online normalizer calculation for softmax, 2018.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import denoise
        >>> D = denoise.Optimal(denoise.Images(jnp.asarray([-1.0, 1.0]).reshape(2, 1, 1, 1)))
        >>> round(float(denoise.stream(D, jnp.asarray([[0.5]]), 1.0).x0[0, 0]), 6)  # tanh(0.5)
        0.462117
    """
    x, rows, sigma = denoiser._given(x, sigma)
    if sigma.ndim:
        raise ValueError(f"sigma has shape {sigma.shape}, but one level is needed here")
    if not isinstance(sigma, Tracer):
        denoiser = denoiser.at(float(sigma))
    if not isinstance(denoiser, Streaming):
        return Streamed(denoiser(x, sigma), Reason.CONVERGED, 0)
    size = denoiser.chunk_size(len(rows), rows.dtype.itemsize)
    work = _Work(denoiser, rows, sigma, _setup(denoiser, rows, sigma), size)
    run = loop(_CHUNKS, work, max_iterations=work.chunks * denoiser.passes)
    tell("lab.denoise.stream", run.reason, run.iterations)
    return Streamed(_finish(denoiser, work.known, run.state.sums).reshape(x.shape), run.reason, run.iterations)
