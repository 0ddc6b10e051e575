"""What the page of progressive partial transport says."""

ABOUT = (
    "Samples are clustered without labels by a transport plan between samples and clusters, where a few clusters are much "
    "larger than the others. "
    "Move rho, the share of the samples that get a pseudo-label: the confident ones come first, and the sizes of the "
    "clusters are free at a price, lambda. "
    "Set the number of epochs above 0 to train on these pseudo-labels from few to all, and compare with clusters of equal "
    "size, which cut the largest class to pieces."
)

MATHEMATICS = r"""
### The plan

$n$ samples with class probabilities $p_i$ of a network, $K$ clusters with a prior $\beta = 1/K$, cost
$C_{ik} = -\log p_{ik}$. A share $\rho$ of the samples is labelled:

$$ \min_{Q \ge 0} \ \langle Q, C\rangle + \lambda\,\mathrm{KL}(Q^\top \mathbf 1 \mid \rho\beta) + \varepsilon\,h([Q, \xi])
   \quad\text{with}\quad \xi = \tfrac1n - Q\mathbf 1 \ge 0, \quad \mathbf 1^\top Q \mathbf 1 = \rho. $$

The mass $\xi$ that is left goes to a *virtual cluster* of cost 0 whose size $1 - \rho$ is exact. With it, this is transport
whose rows hold and whose columns are held by a KL of weight $(\lambda, \dots, \lambda, \infty)$.

### How it is solved

With the row potentials eliminated, $R_{ik} = \frac1n \mathrm{softmax}_k((g_k - C_{ik})/\varepsilon)$ and
$s = R^\top \mathbf 1$, the dual is a concave function of the $K + 1$ potentials of the clusters, with

$$ \nabla_k = t_k - s_k, \quad t_k = \rho\beta_k e^{-g_k/\lambda}, \quad t_{K+1} = 1 - \rho, \qquad
   -\nabla^2 = \tfrac1\varepsilon\big(\mathrm{diag}(s) - n R^\top R\big) + \mathrm{diag}(t/\lambda). $$

Newton's method takes some 5 steps. *Scaling*, the generalized Sinkhorn iteration
$g_k \leftarrow \frac{\lambda}{\lambda + \varepsilon}(g_k + \varepsilon\log(\rho\beta_k/s_k))$, takes hundreds to thousands when
$\rho$ or $\varepsilon/\lambda$ is small.

### What to expect

- The size of a cluster is $s_k = \rho\beta_k e^{-g_k/\lambda}$: one larger than its prior has a negative potential.
- A sample is labelled by $w_i = \mathrm{sigmoid}(\log\sum_k e^{(g_k - C_{ik})/\varepsilon} - g_{K+1}/\varepsilon)$: a soft
  threshold on confidence, at a level where the mean of $w$ is $\rho$. Raising $\rho$ raises the mean, not every $w_i$.
- $\rho = 1$: only the sizes are relaxed (UOT). $\lambda \to \infty$: all clusters of size $\rho\beta_k$; both: balanced
  transport, the labels of SeLa and SwAV. $\lambda \to 0$: every sample to its cheapest cluster, with nothing against a
  collapse.

### The semantic term

SP2OT adds $-\mu\langle S, QQ^\top\rangle$ for a similarity $S$ of the samples, here a Gaussian of their nearest neighbours, by
majorization and minimization: $Q_{t+1}$ is the plan of the cost $C - \mu(S + S^\top)Q_t$. Where $S + S^\top$ is positive
semi-definite the objective never rises. **This similarity is not**: its diagonal is zero, so its eigenvalues sum to zero, and
the objective may rise or cycle. Adding $\delta I$ with $\delta = -\lambda_{\min}(S + S^\top)/2$ (*make it descend*) restores
the guarantee, for an objective that also rewards decided samples. Rows of $Q$ are of size $\rho/n$, so it is $\mu/n$ that
compares across sizes: the authors' $\mu = 1000$ belongs to a buffer of 5120 samples.

### The training

A linear layer and a cosine head see two noisy views of every sample; each view learns the pseudo-labels of the other,
$\mathrm{CE}(p^1, nQ^2) + \mathrm{CE}(p^2, nQ^1)$, while
$\rho_t = \rho_0 + (1 - \rho_0)e^{-5(1 - t/T)^2}$ grows and $\mu_t = (1 - \rho_t)\mu$
fades out. It starts from one run of k-means. The authors train the last block of a vision transformer on images; the order of
the methods can be seen here, their numbers cannot.

### Scores

Clusters are matched with classes so that most samples agree. Accuracy and F1 are means over classes, so that the rare
ones count; NMI is normalized by the arithmetic mean.
"""
