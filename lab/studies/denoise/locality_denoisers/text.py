"""What the page of locality denoisers says."""

ABOUT = (
    "A trained diffusion model denoises a pixel by looking around it, and the data alone say where: these denoisers were never "
    "trained. "
    "Click a pixel in any picture and move σ: what each denoiser looks at grows with the noise. "
    "Look at the Wiener filter beside the others, whose field needs nothing but the covariance of the images."
)

MATHEMATICS = r"""
### One call for all denoisers

An image is a vector $x$ of $n$ pixels between -1 and 1, and $x_\sigma = x_0 + \sigma\varepsilon$. A denoiser $D(x, \sigma)$
estimates $E[x_0 \mid x_\sigma = x]$; score, noise and velocity follow from it. Diffusion models are trained to be $D$. The
exact minimiser of their loss on images $x_1, \dots, x_N$ is a softmax average,

$$ D_{opt} = \sum_k w_k x_k, \qquad w = \mathrm{softmax}_k\Big(-\frac{|x - x_k|^2}{2\sigma^2\tau}\Big), $$

which only memorises: at low noise it is the nearest training image. Trained networks do better, because each pixel looks at a
neighbourhood. The paper's claim: **that neighbourhood is in the covariance of the data**, not in the convolutions.

### Why fields are local

The best *linear* denoiser is the Wiener filter. With mean $\mu$ and covariance $S = U\,\mathrm{diag}(\lambda)\,U^\top$,

$$ D_W = \mu + W (x - \mu), \qquad W = S (S + \sigma^2 I)^{-1}
       = U\,\mathrm{diag}\Big(\frac{\lambda}{\lambda + \sigma^2}\Big)\,U^\top . $$

Its *sensitivity field* of pixel $q$, $\partial D_q / \partial x$, is row $q$ of $W$, whatever $x$. A direction passes if
$\lambda > \sigma^2$, half of it where $\lambda = \sigma^2$. If the law of the images does not change under shifts, the
directions are waves, $\lambda$ is their power spectrum, and the field is a low pass filter around $q$: for $\lambda \sim 1/f^2$
its width grows in proportion to $\sigma$. Centred faces or digits have directions, and fields, of their own.

### The denoisers

| | pixel $q$ of the estimate |
|---|---|
| optimal | the softmax average above: one for the whole image |
| Wiener | linear, as above |
| **PCA locality** | $\sum_k \mathrm{softmax}_k(l_k^q)\, x_k[q]$, through the mask below |
| LS | the same with a square patch of $2r + 1$ pixels around $q$ in place of $B$ |
| PSPC | the plain mean of the posterior means of all square crops that contain $q$ |
| ELS | patches from all places of all images compete; those that overlap the border only with their like |
| nearest | the nearest training image |

PCA locality has the logits $l_k^q = -\frac{1}{2\sigma^2\tau} \sum_j B_{jq} (x_j - x_{kj})^2$. The mask of the paper is
$B_{jq} = [\,|M_{jq}| \ge \theta \max|M|\,]$. Released is $M_{jq} = W_{jq} / W_{jj}$ ("row"): nearly
constant pixels have a tiny $W_{jj}$, so that $\max |M|$ is far above 1 and $\theta$ must be small (0.005 on MNIST), or
most masks are empty. With $M_{jq} = W_{jq} / \sqrt{W_{jj} W_{qq}}$ ("symmetric", $\theta = 0.1$) each pixel that varies sees
itself. $\theta = 0$ keeps the numbers $M$ themselves.

### What is measured

- **Intervals** are 95 % intervals of a mean over test images, by Student's t: each image has noise of its own, the same at all
  levels, so that for means over levels an image counts once. They do not hold the luck of the network's training.
- **Agreement** of an estimate $a$ with a network's $b$: $r^2 = 1 - |a - b|^2 / (n \mathrm{Var}\,b)$, for each image. It is not
  symmetric and may be negative. Where images are nearly constant, such as patches of a sky, these alone decide its mean: look
  at the pooled $r^2 = 1 - \sum |a-b|^2 / \sum n \mathrm{Var}\,b$ instead, the last row of the table.
- All denoisers see the *same* noisy test images. Samples follow each denoiser's own path: ten steps of DDIM at the noise
  levels of the released runs, from the same noise.
- **Planted pattern**: $x' = x + c\,g\,P$ with $g \sim N(0, 1)$ for each image. Then $S' = S + c^2 P P^\top$ and
  $W' - W = \frac{\sigma^2 c^2}{1 + c^2 P^\top u} u u^\top$ with $u = (S + \sigma^2 I)^{-1} P$: every pixel $q$ now looks at
  the same image $u$ too, near or far, in proportion to $u_q$. Where $\sigma^2$ is far above the other $\lambda$, $u$ is $P$
  itself, and the field of a pixel on the pattern is the pattern. The page shows fields of single pixels and their correlation
  with $P$; also $J^\top P$, where a denoiser looks for the whole pattern, and how much of it passes,
  $\langle P, J P\rangle$. LS cannot: it sees nothing beyond its patch.

### Small print

Up to $10^8$ products for an image and a level the work is in float64, beyond that in float32 (the spectrum never). The softmax
is over all training images; the released code averages softmaxes of chunks, which "chunk_mean" repeats. The effective number
of pixels of a field is $(\sum w^2)^2 / \sum w^4$. Fields at fixed levels are signed means over at most eight test images.
Networks: EDM preconditioning, Adam at $2\cdot 10^{-3}$ with a cosine, batches of 64, averaged weights. On MNIST at full size
a U-Net of 1000 steps leaves the symmetric mask below its bar ($r^2$ of .929, and .93 is asked for); 1200 steps bring both masks
to theirs, as a tie: over 64 test images the released mask has .923 (95 %: .918 to .927, bar .92) and the symmetric one
.931 (.927 to .935, bar .93). 
A perceptron learns little from a few thousand images: a weak reference reverses the order of the denoisers.

Kamb and Ganguli, *An analytic theory of creativity in convolutional diffusion models*, 2024 (LS, ELS). Niedoba et al., *Towards
a mechanistic explanation of diffusion model generalization*, 2024 (PSPC).
"""
