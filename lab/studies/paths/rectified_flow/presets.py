"""What is worth trying, as parameter values."""

from lab.studies.contract import Preset

PRESETS = (
    Preset(
        "crossing", "Lines that cross, rewired",
        "Two modes to two modes, paired at random: one Euler step goes to the middle. Then raise k to 2.", {},
    ),
    Preset(
        "reflow", "Straight after one reflow (Fig. 2)",
        "The flow fitted to its own pairs: they no longer cross, and one Euler step is exact.", {"k": 2},
    ),
    Preset(
        "eight-gaussians", "Noise to eight Gaussians",
        "The 1-rectified flow costs hardly more than optimal transport, and still one Euler step fails.",
        {"data": "eight-gaussians"},
    ),
    Preset(
        "eight-reflow", "Eight Gaussians, in one step",
        "The 2-rectified flow in one Euler step. The kernel blurs the pairs: move the bandwidth.",
        {"data": "eight-gaussians", "k": 2},
    ),
    Preset(
        "line", "On a line, once is enough",
        "Modes on a line: the first rectification is the monotone map, optimal for every convex cost.",
        {"data": "modes-1d"},
    ),
    Preset(
        "not-optimal", "Straight, but not optimal",
        "Gaussians whose covariances do not commute: a reflow changes nothing, and the cost is 7% above the optimum.",
        {"data": "crossed-gaussians", "particles": 800},
    ),
    Preset(
        "diffusion", "The probability flow of a diffusion (Fig. 5)",
        "The VP schedule: the same marginals along curved paths, with uneven speed.",
        {"schedule": "vp", "euler_steps": 8},
    ),
    Preset(
        "moons", "Data of which only points are known", "Noise to two moons, by a softmax over the points.",
        {"data": "two-moons", "euler_steps": 4},
    ),
    Preset(
        "digits", "Digits from noise", "The exact flow to 1797 digits: every particle ends in one of them.",
        {"data": "digit-samples", "particles": 200, "pairs": 200, "euler_steps": 8},
    ),
    Preset(
        "network", "A network beside the exact field",
        "A small network learns the same flow; its loss comes down to V, and not below.", {"train_steps": 2000},
    ),
    Preset(
        "distil", "A network that does it in one step", "The pairs of the 2-rectified flow, distilled into one map.",
        {"k": 2, "train_steps": 2000, "learns": "one step"},
    ),
)
