"""What the page of kinetic-optimal probability paths says."""

ABOUT = (
    "A Gaussian path leads from noise to data, and how it mixes the two at each time is a choice: of all such schedules "
    "one has the least kinetic energy on these data, found from a single curve, without training. "
    "Move the number of Euler steps and play the particles: the schedule of least energy needs fewer of them than "
    "straight lines or the trigonometric schedule. "
    "Look at how far the energy falls below that of single pairs, and at how the best schedule turns into straight lines as "
    "the dimension of a small data set grows."
)

MATHEMATICS = r"""
### The paths

Data $x_1 \sim q$ in $R^d$ with mean 0 and $E|x_1|^2 = d$ (the data are centred and divided by *one* scale), noise
$z \sim N(0, I)$, and

$$ x_t = a_t x_1 + m_t z, \qquad a_0 = m_1 = 0, \quad a_1 = m_0 = 1. $$

The particles follow the marginal velocity $u_t(x) = \frac{m'}{m} x + \big(a' - a\frac{m'}{m}\big) D(x, t)$ with the denoiser
$D = E[x_1 | x_t = x]$, exact here. Its kinetic energy, per dimension, is

$$ E = \int_0^1 a'^2 + m'^2 - \beta_t^2 \big(1 - \lambda(a_t/m_t)\big)\, dt, \qquad \beta = m\,(a/m)', \qquad
   \lambda(s) = \tfrac1d\, E\,\big| E[x_1 | s x_1 + z] \big|^2 . $$

$1 - \lambda(s)$ is the error of the best denoiser. The first two terms are the energy of single pairs; the third is what
cancels where paths of different pairs meet.

### From one curve to the best path

With $\tan\theta = a/m$ and $r^2 = a^2 + m^2$ the energy is $\int r'^2 + r^2\theta'^2\gamma(\theta)\, dt$, where

$$ \gamma(\theta) = \frac{1 + s^2}{d}\, E\Big| D(y) - \frac{s y}{1 + s^2} \Big|^2, \quad s = \tan\theta, \quad y = s x_1 + z $$

tells how much better the denoiser is than the best *linear* one. This is a flat metric in $r$ and
$\varphi = \int_0^\theta\!\sqrt\gamma$, so the best path is a **chord** of the unit circle, from the angle 0 to
$\Phi = \varphi(\pi/2)$:

$$ X_t = 1 + t(\cos\Phi - 1), \quad Y_t = t \sin\Phi, \qquad E^* = 2 - 2\cos\Phi, \qquad W_2^2(N(0, I), q) \le d\,E^* . $$

$\gamma$ is estimated by Monte Carlo over data and noise, never by the difference $1 - (1 - \lambda)(1 + s^2)$, which is all
noise for $s > 3$.

### What to expect

- $\lambda \ge \sin^2\theta$ for every data set, with equality for $N(0, I)$, where nothing has to move: $E^* = 0$.
- $\lambda \to 1$, few points in many dimensions: $\Phi \to \pi/2$, the chord is $a = t,\ m = 1 - t$, and straight lines are
  best. For $n$ points $\int_0^\infty (1 - \lambda)\, ds \le 3n/\sqrt d$.
- $N(0, \Sigma)$ with two distinct eigenvalues: the path is that of optimal transport,
  $E^* = 2 - 2\,\mathrm{mean}\sqrt{e}$. With three or more it is not, since only Gaussian paths are compared.
- Where the covariance is not the identity, $a_t \sim \sqrt t$ at first: $a'$ and the energy of single pairs are infinite there,
  while the velocity is not. Energies of single pairs are taken from $t = 0.001$ on for such schedules.
- VP is not at pure noise at $t = 0$ ($a_0 = 0.0066$) and $m'$ is infinite at $t = 1$: its energies end at $t = 0.999$.

### How samples are judged

Equal Euler steps from $t = 0$ to 1; the last lands where the velocity before it says. $W_2^2$ is exact optimal transport to as
many fresh samples of the data, and two sets of fresh samples are at a distance too: the *floor*, below which nothing can be
told apart. Low energy makes a path easy to follow in few steps; it says nothing of a trained network's errors.

### With a network

*Training steps* above 0 train a small network for the velocity of each of the three schedules shown,
$\min_v E|v(x_t, t) - (a' x_1 + m' z)|^2$, whose least value is $d\,(E_c - E)$, and sample with it.
"""
