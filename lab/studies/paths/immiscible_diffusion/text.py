"""What the page of immiscible diffusion says."""

ABOUT = (
    "Diffusion sends every image to all of the noise, so that at high noise a denoiser can only predict an average. "
    "Give each image a noise that is near to it, the nearest of k or one assigned within the batch, and images mix less. "
    "Move k and watch the plane of noise fall into territories; then look at what it costs: the nearest noise is not the "
    "sampler's."
)

MATHEMATICS = r"""
### Three ways to pair noise and images

$x_t = \sqrt{\bar\alpha}\, x_0 + \sqrt{1 - \bar\alpha}\, n$, with noise $n \in R^d$ and $\bar\alpha$ the share of the data in
the variance. The best prediction of the noise is $E[n | x_t]$ under the joint law of image and noise, which a rule makes:

- **independent**: any noise with any image;
- **assignment** (2024): of a batch of B images and B noises the permutation of least $\sum_i |x_i - n_{\pi(i)}|$. The noises
  are the same as before: their law stays N(0, I);
- **nearest** (2025): for each image the nearest of k noises. No batch is needed, and time grows with k only. The law of the
  noise is tilted:

$$ p_k(n | x) = k\, \phi(n)\, [1 - F_x(|n - x|^2)]^{k - 1}, $$

$F_x$ the distribution function of the noncentral $\chi^2$ law with d degrees of freedom and noncentrality $|x|^2$.

**Image scaling** by c multiplies the images and leaves the noise: the same as $\bar\alpha' = c^2\bar\alpha /
(1 - \bar\alpha + c^2\bar\alpha)$ without it, under the independent rule. Under the others the territories change too.

### The exact denoiser under each

Of images $x_1, \dots, x_N$ with $n_i = (x_t - \sqrt{\bar\alpha}\, x_i) / \sqrt{1 - \bar\alpha}$ the posterior is

$$ w_i \propto e^{-|n_i|^2/2}\, p(x_i | n_i), \qquad E[n | x_t] = \sum_i w_i n_i, \qquad E[x_0 | x_t] = \sum_i w_i x_i, $$

where $p(x_i | n)$, whose noise n is, is constant (independent), $[1 - F_{x_i}(|n - x_i|^2)]^{k-1}$ up to a factor (nearest),
and for assignment the chance that the batch which n falls into gives it to image i. That chance is exact for any B: whatever
the other noises and images of a batch are, one noise more goes to

$$ \arg\min_j\; |x_j - n| + V_j, $$

with prices $V_j$ of least cost without image j, found by shortest paths. The mean over batches is taken by Monte Carlo. As B
grows the prices settle, and the cells are those of semi-discrete optimal transport.

### What is measured

$$ H = \frac{E[-\textstyle\sum_i w_i \log w_i]}{\log N}, \qquad \text{collision} = E \textstyle\sum_i w_i^2, \qquad
   \varepsilon\text{-MSE} = \tfrac1d\, E\,\big|E[n | x_t] - n\big|^2 . $$

H is 1 where nothing is known of the image and 0 where all is; the ε-MSE is the loss that no network goes below. What it
costs: the *norm drift* $E|n|^2/d - 1$ and Kolmogorov's test of $|n|^2$ against $\chi^2_d$, and the share of samples that end
at the wrong image, since samplers start from N(0, I). The *cluster distance* is that between mean noises of two images; M
noises each would add $\sqrt{2d/M}$ to it by chance, which is taken off here, unlike in the paper.

### In many dimensions

With $m_k$ the mean of the largest of k standard normals and $\sigma = \sqrt{2d + 4|x|^2}$, nearest brings the noise nearer by
$m_k \sigma / (2 (d + |x|^2))$ and shifts $E|n|^2$ by $-2 d\, m_k / \sigma$. At d = 3072, k = 8 that is 1.8 %, and a drift of
3 %: which is why the best k was 4 to 8 there, and 64 in larger latents.

### Small print

The denoiser under assignment is computed for up to 64 images. Its posterior is estimated from as many batches as were drawn,
each query being left out of its own; one imaginary batch that gives every image alike keeps chances from 0. Batches hold
different images where there are enough, else images drawn with replacement. *Norm* is the cost of the paper, *half-squared*
that of minibatch optimal transport; the assignments hardly differ. Speed-ups of the paper (2.5 to 4.5 times fewer steps to a
FID) need its networks and data: here are the quantities behind them. "Gaussianity is preserved" holds for assignment only.
"""
