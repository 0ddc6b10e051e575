"""The paper's table and figures, and what is worth trying, as parameter values."""

from lab.studies.contract import Preset

TINY = 8.33333333333e-4  # 1 / 1200 in 12 digits, which a command or a link keeps

# as the paper runs it: costs scaled to [0, 1], eta = 1200, no ladder, a fixed number of entries, to machine precision
PAPER = {
    "cost_unit": "largest", "epsilon": TINY, "ladder": False, "threshold": "entries", "tolerance": 1e-12,
    "max_iterations": 2000, "max_sweeps": 30_000,
}
ASSIGNMENT = {"data": "random-assignment", "n": 500, "sweeps": 20, "per_row": 2.0}
MNIST_L2 = {"data": "mnist-pixels", "side": 28, "sweeps": 20, "per_row": 2.0}
MNIST_L1 = {"data": "mnist-pixels", "side": 28, "ground": "manhattan", "sweeps": 700, "per_row": 15.0}
_TINY = {"cost_unit": "largest", "epsilon": TINY, "tolerance": 1e-10}

PRESETS = (
    Preset(
        "digits", "A digit to a digit, L1 cost",
        "Real pixels, where many plans are optimal: thousands of sweeps against some twenty steps.",
        {"ground": "manhattan"},
    ),
    Preset(
        "knee", "Paper, key figure (at n = 200)",
        "Twenty sweeps, then Newton: the gap falls off a cliff at the knee.",
        {"data": "random-assignment", "n": 200, "sweeps": 20, "ladder": False} | _TINY,
    ),
    Preset(
        "knee-fixed", "The same with two entries in a row",
        "The paper's threshold: steps are cheap, and the error only falls along a line.",
        {"data": "random-assignment", "n": 200, "sweeps": 20, "ladder": False, "threshold": "entries"} | _TINY,
    ),
    Preset(
        "no-ladder", "From zero at a small ε",
        "Without the ladder, and one sweep only, Newton starts far away: see how many steps it needs.",
        {"data": "digits-pixels", "ground": "manhattan", "ladder": False} | _TINY,
    ),
    Preset(
        "bumps", "A plan along the line", "Histograms on 32 bins: watch the plan sharpen as ε falls.",
        {"data": "one-bump-to-two", "epsilon": 0.03},
    ),
    Preset(
        "colours", "Colours of two photographs", "64 colours a side, in the space of colours.", {"data": "photographs"},
    ),
    Preset(
        "large-epsilon", "Where Sinkhorn is the right tool",
        "At half the mean cost a few sweeps are enough, and Newton saves nothing.",
        {"data": "normal-clouds", "epsilon": 0.5},
    ),
    Preset(
        "relaxed", "Against over-relaxation",
        "Sinkhorn with optimal over-relaxation takes fewer sweeps: see how much of the gain is left.",
        {"ground": "manhattan", "baseline": "relaxed"},
    ),
    Preset(
        "table-assignment", "Paper, table: random assignment", "n = 500, the paper's 20 + 9 iterations against 56,199.",
        PAPER | ASSIGNMENT,
    ),
    Preset(
        "table-mnist-l2", "Paper, table: MNIST, squared L2", "784 pixels, the paper's 20 + 33 iterations against 2,041.",
        PAPER | MNIST_L2,
    ),
    Preset(
        "table-mnist-l1", "Paper, table: MNIST, L1", "784 pixels, the paper's 700 + 77 iterations against 5,748.",
        PAPER | MNIST_L1,
    ),
)
