"""What the page of stochastic interpolants says."""

ABOUT = (
    "A path between any two laws mixes a sample of each with latent Gaussian noise, and its velocity and score are known "
    "exactly here, without training. "
    "Move a, the size of the latent noise, and see the ridges of the density merge; move ε, the noise level, and see the "
    "trajectories change while the density at every time does not. "
    "Let the fields miss by a little, as learned ones do, to see when some noise is better than none, and how much."
)

MATHEMATICS = r"""
### The path

$$ x_t = \alpha(t)\, x_0 + \beta(t)\, x_1 + \gamma(t)\, z, \qquad
   x_0 \sim \rho_0, \quad x_1 \sim \rho_1, \quad z \sim N(0, I), $$

independent of each other. $\alpha$ goes from 1 to 0, $\beta$ from 0 to 1, and $\gamma$, zero at both ends, makes the density
$\rho(t)$ smooth in between. With the means $\eta_0, \eta_1, \eta_z$ of $x_0, x_1, z$ given $x_t = x$,

$$ s = \nabla\log\rho = -\eta_z/\gamma, \qquad b = \alpha'\eta_0 + \beta'\eta_1 - \gamma\gamma' s, \qquad
   \partial_t\rho + \nabla\cdot(b\rho) = 0 . $$

Where $\rho_0 = N(0, I)$ it can play $z$ itself (*one-sided*). A *mirror* has $x_0 = x_1$: data are noised and denoised.

### The samplers

All have the density $\rho(t)$ at each time, for any $\epsilon \ge 0$:

$$ dX = b\,dt, \qquad dX = (b + \epsilon s)\,dt + \sqrt{2\epsilon}\,dW . $$

$\epsilon$ is chosen after the fields are known. Where an end is points or has edges, $\epsilon$ fades like $\gamma^2$ (or
$\alpha^2$), which keeps $\epsilon s$ bounded.

### Fields that miss

With $\hat b$ and $\hat s$ instead, and $\hat\rho$ what comes out,

$$ \mathrm{KL}(\rho_1|\hat\rho_1) \le \frac1{4\epsilon}\int_0^1 E|\hat b_F - b_F|^2\,dt
   \le \frac1{2\epsilon}\int_0^1 E|\hat b - b|^2\,dt + \frac\epsilon2\int_0^1 E|\hat s - s|^2\,dt, $$

least at $\epsilon^* = \sqrt{\mathrm{excess}_b/\mathrm{excess}_s}$: the better the score, the more noise. Of the ODE there is no
such bound. **With the half squares of the losses** $L_b = E[\frac12|\hat b|^2 - \dot x_t\cdot\hat b]$ the constants are
$1/\epsilon$ and $\epsilon$; with $1/2\epsilon$ and $\epsilon/2$, as one reads, the bound fails (*Does it hold?* shows where).

The divergence shown is not sampled on a line: $\hat\rho = \rho e^u$, where $e^u$ solves a linear equation along the exact
diffusion run down, from $u = 0$. In the plane it is the mean over rollouts of that diffusion, with its standard error.

### The bridge of Schrödinger

Of all paths between two laws, the bridge of $\sqrt{2\epsilon}\,W$ has the least drift energy $\int E|b + \epsilon s|^2\,dt$.
Between $N(m_0, \sigma_0^2)$ and $N(m_1, \sigma_1^2)$ the linear path with $\gamma^2 = a\,t(1-t)$ is that bridge at

$$ a^* = 2\sqrt{\sigma_0^2\sigma_1^2 + \epsilon^2}, \qquad
   \mathrm{Var}_t = (1-t)^2\sigma_0^2 + t^2\sigma_1^2 + a^*\,t(1-t), $$

although its ends are independent; with the covariance $\kappa$ of coupled ends at $a^* = 2\sqrt{\sigma_0^2\sigma_1^2 +
\epsilon^2} - 2\kappa$. For other laws the minimum over a is only the nearest of this family. The latent noise *bridge* is
$\gamma^2 = t(1-t)\,e^{p(t)}$ with the polynomial p, of degree 2, of least drift energy, found by Newton's method.

### Rectification

The flow of independent ends has a map T, and *rectified* ends are $(x_0, T(x_0))$. Without latent noise, and where
$\alpha I + \beta\nabla T$ is invertible at all times (lines do not cross), the new flow follows the lines
$\alpha x_0 + \beta T(x_0)$: **its map is T again, and only $\rho(t)$ inside has changed.** On a line that is so with any latent
noise, as a flow keeps the order of points. In more dimensions latent noise moves the map.

Between two Gaussians T is affine, of slope A, and all is in closed form with the covariance $C_0 A^\top$ of both ends. Else the
field is the exact one of 1000 pairs that the flow has carried, which needs the latent noise.

### Likelihood

$\log\rho_1(x) = \log\rho_0(X_0) - \int_0^1 \nabla\cdot b(t, X_t)\,dt$ along the ODE that ends at x.

### Learning

Training regresses a network on $\alpha' x_0 + \beta' x_1 + \gamma' z$ and one on $z$, each pair seen with $z$ and $-z$; the
score is $-\hat\eta_z/\gamma$, which is used at times in $[0.001, 0.999]$ only.
"""
