"""What the page of the stability of SGD says."""

ABOUT = (
    "One network, trained twice from the same weights: by gradient descent, and by SGD on a few samples at a time. "
    "Move the learning rate η and see that SGD comes to rest only where η tr(H) / 2 is below 1, which forces small weights and "
    "a small test error, while gradient descent stays far above. "
    "Then raise the batch size B, and watch what SGD can hold approach what gradient descent can."
)

MATHEMATICS = r"""
### Which minima can be held

$L(\theta) = \frac1{2n} \sum_i |f(x_i; \theta) - y_i|^2$, with an *interpolating* minimum, $f(x_i; \theta^*) = y_i$ for all i.
With $g_i = \nabla_\theta f(x_i; \theta^*)$ the Hessian there is the Gauss-Newton matrix

$$ H = G = \frac1n \sum_i g_i g_i^T , $$

and near it a step on a batch S is $\delta \leftarrow (I - \eta H_S) \delta$. The second moment $M = E[\delta\delta^T]$ becomes

$$ T(M) = (I - \eta H) M (I - \eta H) + \eta^2 c \Big[ \frac1n \sum_i H_i M H_i - H M H \Big], $$

with $c = 1/B$ for batches drawn with replacement, $c = (n - B) / (B (n - 1))$ without, and $c = 0$ for gradient descent. The
minimum is stable iff the spectral radius $\rho$ of T is at most 1. With $C(M) = (HM + MH)/2$ and
$D(M) = (1 - c) HMH + c \frac1n \sum_i H_i M H_i$ that is

$$ \eta \le \eta^* = 2 / \lambda_{\max}(C^{-1} D), $$

which is computed here exactly, without forming T.

### What it forces

$$ \text{gradient descent: } \lambda_{\max}(H) \le \frac2\eta, \qquad
   \text{SGD, } B = 1: \; \mathrm{tr}(H) \le \frac2\eta, \qquad
   \text{any } B: \; c\, \mathrm{tr}(H)^2 + (1 - c) \|H\|_F^2 \le \frac2\eta \mathrm{tr}(H) . $$

With k outputs $\mathrm{tr}(H_i^2) \ge \mathrm{tr}(H_i)^2 / k$ only, and the bounds on the trace are k times as large.

The trace bounds norms of the function, the top eigenvalue does not:

- **Diagonal network** $f = \langle a \circ b, x \rangle$, x uniform on $[-1, 1]^d$: $\mathrm{tr} = \frac13 \sum_j (a_j^2 +
  b_j^2) \ge \frac23 \|a \circ b\|_1$, with equality where $|a_j| = |b_j|$. Stable SGD finds $\|\beta\|_1 \le 3/\eta$.
- **Two-layer ReLU network** $f = \sum_j a_j\, \mathrm{relu}(w_j \cdot x)$, $|x| = \sqrt d$: $\mathrm{tr} = \frac12 \sum_j
  (|w_j|^2 + d a_j^2) \ge \sqrt d \sum_j |a_j| |w_j|$, the path norm.

SGD shrinks the trace, so it *balances* the layers: $a_j^2$ and $b_j^2$ become equal.

The loss itself cannot fall while $\|H\|_F > \sqrt{B / \mu} / \eta$, with the alignment
$\mu = \mathrm{tr}(\Sigma H) / (2 L \|H\|_F^2)$ of the noise.

### Small print

Thresholds say something at interpolation only: a run counts as interpolating where its loss is below a thousandth of that of
$f = 0$, and others are marked. The traces are of G; the spectra are of the Hessian itself, by stochastic Lanczos quadrature.
Reshuffled epochs have no closed form: their $\eta^*$ is that of batches drawn anew without replacement. A clipped gradient
hides instability, a falling learning rate moves the threshold, and cross-entropy has no interpolating minimum. With momentum
$\eta^*$ is found by bisection, for the batch size asked for. Thresholds for all batch sizes need n times outputs of at most 64,
for one of at most 320.
"""
