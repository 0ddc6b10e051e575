"""What the page of least squares on repelling points says."""

ABOUT = (
    "Points of a determinantal process repel each other: play the first picture, where each point takes a bite out of the "
    "density of the next, while independent points fall where they like. "
    "Then move n/m: how many points a stable fit needs is what repulsion buys, read off the curves of P(λmin ≥ 1 - δ). "
    "Look at the median and the quantiles of the error, not at means, which a few bad designs of independent points rule."
)

MATHEMATICS = r"""
### The problem

$f$ is expensive. It is to be approximated in $L^2(\mu)$ from $n$ evaluations, by a function of
$V_m = \mathrm{span}(\varphi_1, \dots, \varphi_m)$, with $\int \varphi \varphi^T d\mu = I$:

$$ \hat f = \arg\min_{v \in V_m} \frac1n \sum_i w(x_i)\,(f(x_i) - v(x_i))^2, \qquad
   G = \frac1n \sum_i w(x_i)\, \varphi(x_i) \varphi(x_i)^T . $$

The error splits exactly, $\|f - \hat f\|^2 = \|f - Pf\|^2 + |\hat c - c|^2$, with $P f$ the best approximation. Every number
here is a **ratio to the best error**: 1 is perfect. Whether a design is good for *every* $f$ is told by
$\lambda_{\min}(G)$: it is **stable** where $\lambda_{\min}(G) \ge 1 - \delta$.

### Where to put the points

With $k_m(x) = |\varphi(x)|^2$, the optimal (Christoffel) law is $d\nu_m = (k_m/m)\, d\mu$, with weight $w = m/k_m$; then
$E\,G = I$. The five designs:

| | points | unbiased | $E\,G = I$ |
|---|---|---|---|
| **i.i.d. μ** | independent, weight 1 | no | yes |
| **volume μ** | density $\propto \det G$ for $\mu^{\otimes n}$ | yes | no |
| **i.i.d. Christoffel** | independent of $\nu_m$ | no | yes |
| **volume Christoffel** | density $\propto \det G$ for $\nu_m^{\otimes n}$ | yes | yes |
| **DPP** | $n/m$ independent projection DPPs | at $n = m$ | yes |

A **projection DPP** has density $\det[\varphi_j(x_i)]^2 / m!$: $m$ points, of marginal $\nu_m$, that keep apart. Point by
point (the first picture), with $Q_k$ an orthonormal basis of the span of $\varphi(x_1), \dots, \varphi(x_k)$,

$$ p(x \mid x_1, \dots, x_k) = \frac{|\varphi(x)|^2 - |Q_k^T \varphi(x)|^2}{m - k} . $$

Volume-rescaled sampling is one projection DPP and $n - m$ independent points, exactly. At $n = m$ the fit interpolates, and
for a DPP $E\,\|f - \hat f\|^2 = (m+1)\,\|f - Pf\|^2$ whatever $f$ is; its law has heavy tails, and its median is about half of
that.

### What is proved

For independent points of $\nu_m$, $P(\lambda_{\min} < 1 - \delta) \le m \exp(-c_\delta\, n/m)$ with
$c_\delta = \delta + (1-\delta)\log(1-\delta)$, 0.153 at 1/2: some $6.5\, m \log m$ points. For any design with $E\,G = I$ from
its marginals, on the event $S$ that it is stable,

$$ E[\|f - \hat f\|^2 \mid S] \le \Big(1 + \frac{1}{(1-\delta)\,P(S)}\Big)\, \|f - Pf\|^2 . $$

To *condition* on $S$, draw whole designs until one is stable: $1/P(S)$ of them on average.

### Thinning, and a warning

From a stable design points can be deleted greedily while $\lambda_{\min} \ge 1 - \delta$: nearly all that are more than $m$.
Set *thin so many designs*. **The error estimate of a thinned design is far too high**: with $n$ near $m$ hardly any point is
left to test on, leaving one out makes the fit of the others nearly singular, and the estimate may be tens or thousands of
times the true error. Take the estimate of the design before it was thinned, or spend a few points on testing. The estimate of
a whole design leaves out one repetition at a time (for the other designs single points) and is somewhat too high as well.

### A table of your own

With a table, $\mu$ is uniform on its rows, the functions are the first $m$ products of polynomials in its columns (constant,
lines, squares and products), and the best fit is least squares on *all* rows: the designs say what it costs to know only $n$
of the values. A row may be drawn twice.

### Small print

The designs of one draw share random numbers, so that they can be compared; the first $n$ points of 12 m serve each n/m.
Fits are by an orthogonal factorisation that grows block by block, never by normal equations. In more than one variable $m$ is
the size of the largest whole index set with at most that many functions. For three variables pictures show the first two: of
densities the marginal, of functions the slice at the middle of the third. Nothing here proves that the repeated DPP
needs few repetitions: that is seen, not proved.
"""
