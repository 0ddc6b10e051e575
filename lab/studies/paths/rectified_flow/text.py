"""What the page of rectified flow says."""

ABOUT = (
    "Pair noise with data at random and draw straight lines: they cross, and no flow can follow them. The flow with the mean "
    "velocity of the lines through each point has the same marginals, and its own pairs cross less. "
    "Raise k from 1 to 2 and see the flow, fitted to its own pairs, become straight, so that a single Euler step serves. "
    "What a flow spends on bending, and what the lines lost by crossing, add up to the fall of the transport cost."
)

MATHEMATICS = r"""
### Rectification

Of a coupling $(X_0, X_1)$ with lines $X_t = (1-t) X_0 + t X_1$, the flow

$$ \dot Z_t = v(Z_t, t), \quad Z_0 = X_0, \qquad v(x, t) = E[X_1 - X_0 \mid X_t = x]
   = \arg\min_v \int_0^1 E\,|(X_1 - X_0) - v(X_t, t)|^2\,dt $$

has the law of $X_t$ at every $t$, and ends in a new coupling $(Z_0, Z_1)$. $Z^0$ is the independent coupling; $Z^k$, the
*k-rectified flow*, comes of $k$ rectifications. Three things are measured:

$$ S = \int_0^1 E\,|(Z_1 - Z_0) - \dot Z_t|^2\,dt, \qquad
   V = \int_0^1 E\,|(X_1 - X_0) - v(X_t, t)|^2\,dt, \qquad \text{cost} = E\,|Z_1 - Z_0|^2 . $$

$S = 0$ where every particle goes straight at constant speed, which is where one Euler step is exact; $V = 0$ where lines do
not cross, and it is the least loss of a training.

### What holds

- **Bookkeeping**: $E|X_1 - X_0|^2 - E|Z_1 - Z_0|^2 = S(Z) + V(X)$. Summed over rounds,
  $\sum_k [S(Z^{k+1}) + V(Z^k)] \le E|X_1 - X_0|^2$, so the least $S$ of $k$ rounds is $O(1/k)$.
- **Every convex cost** falls: $E\,c(Z_1 - Z_0) \le E\,c(X_1 - X_0)$, by Jensen's inequality twice.
- **Straight is not optimal.** An optimal coupling is straight. The converse holds on a line, where the only straight
  coupling is the monotone map, reached after one rectification, and fails in the plane: see *two Gaussians that do not
  commute*.
- **One Euler step** of the 1-rectified flow takes every $x$ to the mean of the data, since $v(x, 0) = E[X_1] - x$.

### Fields without training

The first field is in closed form: for mixtures of Gaussians, for uniform laws on boxes, for points (by a softmax over them).
The coupling of a flow is known by pairs only, on which the conditional mean says nothing off the lines; from $k = 2$ on

$$ v(x, t) = \sum_i w_i\,(z_1^i - z_0^i), \qquad w = \mathrm{softmax}_i\big(-|x - z_t^i|^2 / 2h^2\big), $$

the Nadaraya-Watson mean with bandwidth $h$, given in units of the spread of the data. It is the exact field of the pairs
blurred by $h$: too large a bandwidth narrows the data a little in each round, too small a one sees a single pair at a time and
repeats it. New pairs start from fresh points in every round, and all that is measured is measured on particles that no field
was fitted to.

### One step: distil or reflow?

Distillation fits $z_0 + v(z_0, 0)$ to the pairs, keeping the coupling; a rectification replaces it. Fitted by conditional
means they agree in one step: $v^{k+1}(x, 0) = E[Z_1^k - Z_0^k \mid Z_0^k = x]$, so one Euler step of the next flow *is* the
distilled map. They differ in what a network makes of them. Distilling the 1-rectified flow asks a network for a map that
tears the source apart between the modes.

### Other schedules

$X_t = \alpha_t X_0 + \beta_t X_1$ keeps the marginals whatever $\alpha, \beta$ are: the probability flow of VP and sub-VP
diffusions, and VP at constant speed. But convex costs need not fall, paths bend, and the speed is uneven. The schedule here is
that of the *first* flow; later ones rectify its pairs along straight lines, which is how a diffusion is made straight.

### Small print

Particles are carried in 96 steps, of order 4 along fields in closed form and of order 2 along kernel means. $W_2^2$ is exact,
of at most 1000 particles and as many fresh points of the data. Two samples of one law are not at distance 0: compare with the
*floor*, the distance of the data's own samples. $k$ counts rectifications, as in the paper: $k = 1$ is what others call flow
matching.
"""
