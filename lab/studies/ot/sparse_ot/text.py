"""What the page of sparsity-constrained transport says."""

ABOUT = (
    "Every target may receive mass from at most k sources, so the support of the plan is chosen directly instead of "
    "guessed through a regularization strength. "
    "Move k from large to 1 and watch the plan go from the quadratic solution to an assignment. "
    "At small k some targets tie between sources, and no k-sparse plan meets both marginals: the row error says by "
    "how much."
)

MATHEMATICS = r"""
### The problem

Masses $a \in \mathbb{R}^m_{>0}$ of the sources and $b \in \mathbb{R}^n_{>0}$ of the targets have one total, and
$c_{ij}$ is the cost of moving a unit from $i$ to $j$. With the plans
$U(a,b) = \{T \ge 0 : T\mathbf 1 = a,\ T^\top \mathbf 1 = b\}$, whose columns are $t_1, \dots, t_n$,

$$ \min_{T \in U(a,b)} \ \langle T, C\rangle + \sum_{j=1}^n \Omega(t_j), \qquad
\Omega(t) = \begin{cases} \frac{\gamma}{2}\|t\|_2^2 & \text{if } t \text{ has at most } k \text{ nonzeros,} \\
+\infty & \text{otherwise.} \end{cases} $$

$k = m$ is quadratically regularized transport, $k = 1$ lets each target have one source. Instead of columns the rows
may be constrained: that is the problem of $(C^\top, b, a)$, transposed.

### What is solved: the semi-dual

The primal is not convex, its dual is concave. Maximized over the potentials of the targets it leaves $m$ unknowns,

$$ V_k = \max_{\alpha} \ \alpha^\top a - \sum_j \Omega^*_{b_j}(\alpha - c_j), \qquad
\Omega^*_{b}(s) = \max_{t \ge 0,\ \mathbf 1^\top t = b} s^\top t - \Omega(t). $$

The maximizer in $\Omega^*_b(s)$ is a projection: keep the $k$ largest entries of $s/\gamma$ and subtract the one
threshold $\theta$ with which the positive parts sum to $b$,

$$ t_i = [\, s_i/\gamma - \theta \,]_+ \ \text{ on the } k \text{ largest}, \quad 0 \text{ elsewhere}. $$

So at **every** $\alpha$ each column has at most $k$ nonzeros and sums to $b_j$ exactly; the gradient is
$a - T\mathbf 1$, the error in the rows. The potentials of the targets are $\beta_j = -\gamma\theta_j$. The dual keeps
both potentials, needs no threshold, and violates both marginals until it has converged. Other regularizers change
the column only:

| $\Omega(t)$ | dual, $s = \alpha + \beta_j - c_j$ | semi-dual, $s = \alpha - c_j$ |
|---|---|---|
| $\gamma \sum_i t_i \log t_i$ (entropic) | $e^{s/\gamma - 1}$ | $b_j\, \mathrm{softmax}(s/\gamma)$ |
| $\frac{\gamma}{2}\|t\|^2$ (quadratic) | $[s]_+/\gamma$ | $[s/\gamma - \theta]_+$ |
| the same, at most $k$ nonzeros | $[s]_+/\gamma$ on the $k$ largest | $[s/\gamma - \theta]_+$ on the $k$ largest |

### What is solved really: the biconjugate

A dual sees $\Omega$ only through its convex hull. $V_k$ is the optimum of the relaxed problem in which

$$ \Omega^{**}(t) = \tfrac{\gamma}{2}\,\|t\|_{k\text{-sup}}^2 = \tfrac{\gamma}{2}
\min\Big\{ \sum_i \frac{t_i^2}{\eta_i} : 0 \le \eta_i \le 1,\ \sum_i \eta_i \le k \Big\} $$

takes the place of $\Omega$: half the squared $k$-support norm, between $\frac\gamma2\|t\|_2^2$ at $k = m$ and
$\frac\gamma2\|t\|_1^2$ at $k = 1$. The *relaxed* plan solves it and meets both marginals, with more than $k$ nonzeros
in some columns.

### When the k-sparse plan is feasible

Its columns always are. Its rows are if and only if zero is the gradient at the maximizer, that is if in each column the
$k$-th and the $(k{+}1)$-th largest of $\alpha - c_j$ differ, or the $k$-th gets no mass. Then the plan also solves the
non-convex problem. Where they tie, zero is only a convex combination of subgradients: the one plan that comes of
breaking the tie (here: for the smallest index) misses the row marginals, and the duality gap is positive. **This is the
usual case at small $k$.** Larger $k$ means fewer ties, a smoother objective, and faster solvers.

### Limits and bounds

- $V_1 \ge V_2 \ge \dots \ge V_m$, and $V_k = V_m$ as soon as $k$ is the largest number of nonzeros in a column of the
  quadratic plan.
- $V_1 = \mathrm{LP} + \frac{\gamma}{2}\|b\|_2^2$ with any optimal potentials of the linear program. Each target goes to
  $\arg\max_i \alpha_i - c_{ij}$: for squared distances the sources own Laguerre cells, and $\gamma$ moves nothing.
- $\mathrm{LP} + \gamma L \le V_k \le \mathrm{LP} + \gamma U$ with $U = \frac12\|b\|_2^2$ and
  $L = \frac12\max\big(\|a\|_2^2/n + \|b\|_2^2/m - M^2/(mn),\ \|b\|_2^2/k\big)$ for total mass $M$.
- $(C, \gamma) \mapsto (sC, s\gamma)$ leaves the plan as it is. The *effective strength*
  $\gamma \|b\|_2^2 / \mathrm{LP}$ compares across sizes and units: around 1 the regularization weighs as much as
  the cost.

### Derivatives

By the envelope theorem $\partial V/\partial C = T$, $\partial V/\partial a = \alpha$, $\partial V/\partial b = \beta$:
a potential is the price of a unit more. The plan is differentiated implicitly through $T(\alpha, C)\mathbf 1 = a$; with
the support $S = \mathbf 1[T > 0]$ and its column counts $s$ the matrix is
$H = \frac1\gamma \big( \mathrm{diag}(S\mathbf 1) - S\,\mathrm{diag}(s)^{-1} S^\top \big)$,
the Laplacian of the graph in which sources are joined by shared targets. It holds while the support does not change.
"""
