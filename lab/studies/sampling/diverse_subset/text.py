"""What the page of diverse subsets says."""

ABOUT = (
    "A few rows that stand for all of a data set, chosen by a k-DPP so that they differ from each other. "
    "Play the first picture, where every chosen row makes its neighbours less likely; then move the length-scale: short, and "
    "the choice is like chance; long, and it takes the extremes. "
    "Look at how far other rows are from the chosen ones, and at how well weighted sums over the few stand for sums over all."
)

MATHEMATICS = r"""
### A law of subsets

With a kernel of similarity $L_{ij} = \kappa(|x_i - x_j| / \ell)$, the **k-DPP** takes k of N rows with probability

$$ P(S) = \frac{\det L_S}{e_k(\lambda)}, \qquad |S| = k , $$

$\lambda$ the eigenvalues of $L$ and $e_k$ their elementary symmetric polynomial. $\det L_S$ is a squared volume: it is small
where two rows are alike. One chooses row after row; what a row still adds is its squared distance from the span of those
before, $L_{ii} - L_{iS} L_{SS}^{-1} L_{Si}$, which is the shade of the first picture.

### Sums over the few

A row is chosen with probability $\pi_i = P(i \in S)$, known exactly; with weights $1/\pi_i$ every sum is unbiased,

$$ E \sum_{i \in S} \frac{f(x_i)}{\pi_i} = \sum_{i=1}^N f(x_i) . $$

How well it does for *all* functions that are smooth for the kernel at once is the distance of mean embeddings,

$$ \mathrm{MMD}^2 = \Big| \frac1N \sum_{i=1}^N \Phi_i - \frac1N \sum_{i \in S} \frac{\Phi_i}{\pi_i} \Big|^2 , \qquad
   \Phi_i \cdot \Phi_j = L_{ij} . $$

Unbiased weights sum to $N$ on average only. The weights that make this distance least, $L_{SS}^{-1}$ times the means of
$L$ over all rows, err less and are biased: both are shown. For k rows at random, $\pi_i = k/N$. The **greedy** choice
takes always the row that adds most: it is one fixed set, without probabilities, and takes outliers first; its unbiased weights
are those of chance.

### What to choose

- **length-scale** $\ell$, in units of the median distance of rows. Very short: $L$ is the identity and the k-DPP is chance.
  Very long: the kernel has fewer than k directions to rounding, and the lab says so.
- **standardise** columns where their units differ: a column of large numbers decides all distances otherwise.
- **k** is at most the rank of the kernel; equal rows count once.

### Small print

Up to 2,000 rows the kernel is decomposed as it is. Beyond, it is replaced by a pivoted Cholesky factor of rank
min(N, max(10 k, 600)): subsets become somewhat less even. At most 20,000 rows are taken. Distances are Euclidean, of all
columns; for pictures rows are shown on their two principal axes.
"""
