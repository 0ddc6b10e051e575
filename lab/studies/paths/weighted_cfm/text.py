"""What the page of weighted conditional flow matching says."""

ABOUT = (
    "Pair noise with data at random, but let a pair count less the farther it is: the flow becomes shorter and straighter "
    "without solving any transport problem. "
    "Lower ε on eight Gaussians: at 2 the path energy is near that of optimal transport, and the samples are as good as "
    "before. Then take the noisy moons at 4, where the energy looks better still and the samples have left the data. "
    "Read energy and W₂² together: the price of the weights is that the marginals tilt."
)

MATHEMATICS = r"""
### Weights instead of transport

Flow matching regresses $v(t, x_t)$ on $y - x$ along $x_t = (1-t)x + ty$, for pairs of noise $x \sim \mu$ and data
$y \sim \nu$. W-CFM keeps independent pairs and multiplies the loss of each by a Gibbs weight:

$$ L(v) = E_{t,\, x \sim \mu,\, y \sim \nu}\; w\, |v(t, x_t) - (y - x)|^2, \qquad w = e^{-c(x, y)/\varepsilon} . $$

That is flow matching with the coupling $d\pi_w = w\, d\mu\, d\nu / Z$, $Z = E\,w$, whose minimiser is

$$ v(t, z) = \frac{E[w\,(Y - X) \mid X_t = z]}{E[w \mid X_t = z]} . $$

### What one gets, and what one pays

- **$\pi_w$ is entropic optimal transport**, at this very $\varepsilon$, of *its own* marginals
  $\mu_w = \mu\,\tau_\mu / Z$ and $\nu_w = \nu\,\tau_\nu / Z$, where $\tau_\nu(y) = E_\mu\, e^{-c(X, y)/\varepsilon}$ and
  $\tau_\mu(x) = E_\nu\, e^{-c(x, Y)/\varepsilon}$.
- They are $\mu$ and $\nu$ only where $\tau$ is constant. For noise around the origin and a cost of $|x - y|$, $\tau_\nu$
  depends on $|y|$ alone: **data of constant norm keep their masses**, other data are pulled to the origin. So
  centre the data, and expect less harm on a ring of Gaussians than on moons.
- **The flow carries $\mu_w$ to $\nu_w$.** Started from $\mu$, as one does, it ends at yet another law, near $\nu_w$.
- **Choosing $\varepsilon$**: the tilt $R = \mathrm{Var}[\tau]/E[\tau]^2$ and the effective share $(E w)^2/E w^2$ against
  $\kappa = \varepsilon/\sqrt d$. Large $\varepsilon$ gives independent pairs; with small ones all mass goes to where source and
  data meet, and few pairs of a batch count. Below 1 % the lab calls the weights degenerate.

### Why a low energy proves nothing

The path energy $PE = \int_0^1 E|v(t, Z_t)|^2\,dt$ of a path from $\mu$ to $\nu$ is at least $W_2^2(\mu, \nu)$; its normalised
form is $NPE = |PE - W_2^2|/W_2^2$. A path that does *not* end in $\nu$ may have any energy. On noisy moons at
$\varepsilon = 4$ the NPE is near 0 on its way *below* the bound, because mass moved to the origin. **An energy below
$W_2^2$ proves that the marginals are missed**; an energy just above it proves nothing. Hence every number here stands
beside the distance of the samples from fresh data.

### The four flows

| | pairs | its field here |
|---|---|---|
| I-CFM | independent | exact: a softmax over the data |
| W-CFM | independent, weighted | exact: the same softmax with $-c(x_j, y_j)/\varepsilon$ added, $x_j = (z - t y_j)/(1-t)$ |
| EOT-CFM | entropic transport of $\mu$ and $\nu$ | the same with $(f(x_j) + g_j)/\varepsilon$ added; no tilt |
| OT-CFM | optimal in each batch, for the squared distance | the mean over pairs near $z$, with a kernel of bandwidth $h$ |

The potential $g$ comes of Sinkhorn's algorithm on 1000 points of the source, and $f$ is tabulated (801 places on a line,
96 by 96 in the plane). The kernel blurs OT-CFM by $h$. In more than two dimensions only the first two are followed; a
network can be trained on the pairs of any.

### Small print

Fields are exact for the data *as points*, so samples end in data points; training a network on them would do no better.
Particles move by Heun's method in steps that crowd at the end, then by the conditional mean. The energy is that of the
polygon through their places: equal steps, and squares of velocities summed by the trapezoid rule, would give 54 where 18 is
right, since near $t = 1$ velocities are (point $- z)/(1-t)$. $W_2^2$ is exact, of at most 1000 particles; samples of one
law are not at distance 0 (of a mixture each component has its share of the fresh points), so compare with the *floor*. It
takes $W_2^2(\mu, \nu)$ from samples too, which is a little too large. Weights are computed in logarithms throughout. The
half-squared cost is $|x - y|^2/2$: its $\varepsilon$ is half of that for $|x - y|^2$.
"""
