"""What the page of survival from bags says."""

ABOUT = (
    "A patient's slide is a bag of patches, and how long it will live is predicted from all of them: a transport plan pools "
    "the bag into a few prototypes, and the risk is learnt from those. "
    "Move the shown share and watch which patches are left out, the price of sizes and see a few prototypes take all, or "
    "change the pooling to a plain mean. "
    "The C-index says how many pairs of bags are ordered right; with simulated times the truth is known, and no model can "
    "be expected to order better than it."
)

MATHEMATICS = r"""
### The model

A bag of $n$ patches is encoded, $H = \mathrm{relu}(XW + b)$, pooled into $K$ vectors, $G = A^\top H$, and these are
mixed into one, $s = \sum_k u_k G_k + u_0\mathbf 1$, from which the log risk is read, $r = \langle v, s\rangle + v_0$.

### The pooling

$A = Q/\rho$ with the plan $Q$ to trainable prototypes $z_k$:

$$ \min_{Q \ge 0} \ \langle Q, C\rangle + \lambda\,\mathrm{KL}(Q^\top \mathbf 1 \mid \tfrac\rho K\mathbf 1)
   + \varepsilon\,h([Q, \xi]) \quad\text{with}\quad \xi = \tfrac1n - Q\mathbf 1 \ge 0, \quad
   \mathbf 1^\top Q\mathbf 1 = \rho, $$

$C_{ik} = d_{ik}/\max d$, $d_{ik} = |\tilde h_i - \tilde z_k|$, where each row is taken less its own smallest entry.
The *global* part is the KL: prototypes may be used very differently, at a price. The *local* part is $\rho$: the mass
$1-\rho$ that fits worst is left out. $G$ is a sum weighted by mass, not a mean: a prototype without mass says
nothing. With $K = 1$, $\rho = 1$ it is the mean of the patches.

The plan takes Newton's method some five steps on $K + 1$ unknowns, and its derivatives one linear solve, whatever the
number of steps. Patches that pad a bag have no mass: padding, permuting the patches, or repeating each of them
changes nothing.

While the model trains, $\rho_t = \min(\rho, \rho_0 + e^{-5(1 - \min(t/T, 1))^2})$. With the published $\rho_0 = 0.1$,
$\rho = 1$ it begins at 0.1067 and is 1 from $t/T = 0.855$ on. Tests use $\rho$.

### The losses

With $e_i = 1$ where the event came at time $t_i$ and 0 where it had not come yet,

$$ \mathrm{Cox} = -\frac{1}{\sum e}\sum_{i: e_i = 1}\Big(r_i - \log\sum_{j: t_j \ge t_i} e^{r_j}\Big), $$

with Breslow's or Efron's form for equal times; the likelihood of hazards in four bins of time; or a smooth C-index.
They are taken over batches of bags, so a risk set is that of the batch.

With *patience* above 0 the fold after the test fold is kept out of the training and checked after every epoch, from the
11th on. Where its loss has not fallen for so many epochs the training ends, and the model that did best there is taken.

### The statistics

The *C-index* (Harrell) counts the comparable pairs ($e_i = 1$, $t_i < t_j$, or $t_i = t_j$ with $e_j = 0$) with $r_i
> r_j$, ties half. *Kaplan-Meier* curves have pointwise log-log bands with Greenwood's variance. The *log-rank* test
compares the test bags above and below their median risk. The median is that of the same bags, so the two groups are
of one size.

### What to expect

- With simulated times the C-index of the true risk is the ceiling, about 0.8 for the default data, for the times
  themselves are random. The risk is linear in the shares of kinds, so mean pooling can do it too: **transport, mean
  and attention are on a par here**, and folds differ more than methods. That holds for the paper's cohorts as well.
- The default is a short training. The preset *table* is the whole one.
- With artefacts, small shares leave the noise out.
- Only the C-index of test bags counts. That of the training bags goes on rising.

### Published, not computed here

The features of the cohorts can't be had offline. C-index: mean ± standard deviation over 5 folds. Log-rank test: of
the released predictions, split at the median.

| cohort | C-index | patients | events | $\chi^2$ | p |
|---|---|---|---|---|---|
| BRCA | 0.621 ± 0.071 | 868 | 60 | 4.457 | 0.035 |
| BLCA | 0.637 ± 0.065 | 359 | 113 | 12.916 | 0.00033 |
| LUAD | 0.638 ± 0.077 | 412 | 99 | 9.300 | 0.0023 |
| STAD | 0.565 ± 0.057 | 318 | 84 | 7.146 | 0.0075 |
| COADREAD | 0.667 ± 0.111 | 296 | 37 | 6.800 | 0.0091 |
| KIRC | 0.750 ± 0.149 | 340 | 58 | 38.428 | 5.7e-10 |
"""
