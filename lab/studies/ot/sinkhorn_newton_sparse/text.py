"""What the page of Sinkhorn-Newton-Sparse says."""

ABOUT = (
    "Entropic transport at a small epsilon takes Sinkhorn's algorithm thousands of sweeps; a few sweeps and then Newton "
    "steps, whose Hessian keeps only the entries of the plan that matter, take some ten or twenty. "
    "Lower epsilon and watch the sweeps grow while the steps hardly do; then let the Hessian keep a fixed number of "
    "entries in a row, and see the fast end of the curve disappear. "
    "The map shows where it pays, in size and epsilon: at large epsilon Sinkhorn stays the right tool."
)

MATHEMATICS = r"""
### The problem

Masses $a \in \mathbb{R}^m_{>0}$, $b \in \mathbb{R}^n_{>0}$ of one total, cost $C$, and $\eta = 1/\varepsilon$:

$$ \min_{P\mathbf 1 = a,\ P^\top\mathbf 1 = b} \ \langle C, P\rangle + \varepsilon \sum_{ij} P_{ij}\log P_{ij}
   \;=\; \max_{x, y}\ f(x, y) = a^\top x + b^\top y - \varepsilon \sum_{ij} e^{\eta(x_i + y_j - C_{ij}) - 1} . $$

With $P(x,y)_{ij} = e^{\eta(x_i + y_j - C_{ij}) - 1}$ the gradient is the error of the marginals, and the Hessian holds the
plan itself:

$$ \nabla f = \begin{pmatrix} a - P\mathbf 1\\ b - P^\top\mathbf 1\end{pmatrix}, \qquad
   -\nabla^2 f = \eta M, \quad M = \begin{pmatrix}\mathrm{diag}(P\mathbf 1) & P\\ P^\top & \mathrm{diag}(P^\top\mathbf 1)
   \end{pmatrix}, \qquad z^\top M z = \sum_{ij} P_{ij}(x_i + y_j)^2 . $$

$(\mathbf 1, -\mathbf 1)$ is in the kernel of $M$, and the gradient is orthogonal to it.

### How fast is Sinkhorn

Let $1 = s_1 \ge s_2 \ge \dots$ be the singular values of $\mathrm{diag}(P\mathbf 1)^{-1/2} P\,
\mathrm{diag}(P^\top\mathbf 1)^{-1/2}$ at the optimum. In the end a sweep multiplies the error by $s_2^2$: a decade takes
$\ln 10 / (-\ln s_2^2) \approx 2.303 / (1 - s_2^2)$ sweeps. Conjugate gradients on $M$, scaled by its diagonal, have the
condition number $2/(1 - s_2)$: about the **square root** of that count, and their products need no exponential.

### Made sparse

At a small $\varepsilon$ nearly all mass is in few entries. Keep those, $S$, drop the others, $D = P - S$, and leave the
**full** sums in the diagonal:

$$ z^\top M_S z = \sum_{ij} S_{ij}(x_i + y_j)^2 + \sum_{ij} D_{ij}(x_i^2 + y_j^2) \ \ge\ 0 , $$

positive semidefinite for every threshold. A step then multiplies the error by about the mass that it dropped. With a fixed
number of entries (the paper keeps $\lceil\lambda n^2\rceil$) convergence is therefore **linear**; where the dropped mass is
at most $\min(\theta, e)$ for an error $e$, it is **superlinear** at the same cost. That is the default here.

### The steps

1. *Ladder*: $\varepsilon$ starts at a tenth of the mean cost and is lowered when the error is below 0.05. (The paper starts
   at $\varepsilon$.) On each level, $N_1$ Sinkhorn sweeps.
2. *Newton*: $d = M_S^{-1}\nabla f$ by preconditioned conjugate gradients, only as exactly as the error deserves. What runs
   here has the columns eliminated (the Schur complement of $M$): half the unknowns, and exact columns at every step.
3. *Line search* on $f$ by halving. Near the optimum $f$ changes by $e^2$, which drowns in rounding at $e = 10^{-8}$: there a
   step is taken where the error falls.
4. *Safeguard*: a sweep after every step that ends above 0.01, several after a refused one.

### When is the plan sparse

Let $\Delta$ be the gap between the best and the second best vertex of the transport polytope. The paper's theorem bounds
$\|P_\eta - P^*\|_1 \le 6 n^2 e^{-\eta\Delta}$ once $\eta > (1 + 2\log n)/\Delta$; it is true and very loose. Where several
vertices are optimal (L1 costs of pixels), the optimal face has more than one entry in a row and the Hessian needs more.

### Work

Time is a matter of machines, so pictures count multiply-adds: $2mn$ for a Sinkhorn sweep with the kernel at hand, $10\,mn$
for each evaluation of the plan in a Newton step, twice the entries kept for an iteration of conjugate gradients. A sweep in
the log domain, at $20\,mn$, would be ten times dearer than the one counted here.
"""
