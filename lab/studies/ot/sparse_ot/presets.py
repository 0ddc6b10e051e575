"""The paper's figures and what is worth trying, as parameter values."""

from lab.studies.contract import Preset

_LINE = {"data": "bump-to-bump"}
_TWO = {"data": "one-bump-to-two"}
_PLANE = {"data": "gaussians-2d"}

PRESETS = (
    Preset(
        "colours", "Colours of two photographs",
        "Real colours, two sources for each target: the picture takes the palette of the other.",
        {"data": "photographs", "k": 2, "gamma": 1.0},
    ),
    Preset(
        "ties", "Columns that tie",
        "One bump to two at k = 2: exact plans with two sources per target exist, but the one from the dual misses the rows.",
        _TWO | {"k": 2, "gamma": 1.0},
    ),
    Preset(
        "relaxed", "What the dual really solves",
        "The same problem, the relaxed plan: it meets both marginals, and its tied columns have more than k nonzeros.",
        _TWO | {"k": 2, "gamma": 1.0, "plan": "relaxed"},
    ),
    Preset(
        "routing", "Tokens to experts",
        "Each of 8 experts takes at most 32 of 256 tokens: transport leaves few tokens without an expert.",
        {"data": "tokens-to-experts", "k": 32, "gamma": 1.0},
    ),
    Preset(
        "assignment", "An assignment (k = 1)",
        "Every target has one source: the linear program itself, whatever the strength.",
        _PLANE | {"k": 1, "gamma": 1.0},
    ),
    Preset(
        "figure-1d-entropic", "Paper, 1-D: entropic",
        "KL regularization at 2e-3: the plan is dense.",
        _LINE | {"regularizer": "entropic", "gamma": 2e-3},
    ),
    Preset(
        "figure-1d-quadratic", "Paper, 1-D: quadratic",
        "Quadratic regularization at 0.1: sparse, but not by how much one says.",
        _LINE | {"regularizer": "quadratic", "gamma": 0.1},
    ),
    Preset(
        "figure-1d", "Paper, 1-D: k = 2",
        "At most two nonzeros in a column at strength 1.",
        _LINE | {"k": 2, "gamma": 1.0},
    ),
    Preset(
        "figure-2d-entropic", "Paper, 2-D: entropic",
        "Entropic links between two clouds at 0.1: every pair is linked.",
        _PLANE | {"regularizer": "entropic", "gamma": 0.1},
    ),
    Preset(
        "figure-2d-quadratic", "Paper, 2-D: quadratic",
        "Quadratic links at strength 10.",
        _PLANE | {"regularizer": "quadratic", "gamma": 10.0},
    ),
    Preset(
        "figure-2d", "Paper, 2-D: k = 2",
        "Two links at each target at most; drag a point and they follow.",
        _PLANE | {"k": 2, "gamma": 10.0},
    ),
    Preset(
        "fuzzy-cells", "Fuzzy cells",
        "Sources share the plane: at k = 1 each owns a Laguerre cell, at larger k the borders widen.",
        _PLANE | {"k": 3, "gamma": 20.0},
    ),
    Preset(
        "digits", "Two handwritten digits",
        "The ink of one digit to the ink of another, pixel by pixel.",
        {"data": "digits-8x8", "k": 4, "gamma": 1.0},
    ),
    Preset(
        "rows", "At most k experts for a token",
        "The constraint on the rows: every token is sent to at most two experts.",
        {"data": "tokens-to-experts", "k": 2, "gamma": 1.0, "constraint": "rows"},
    ),
)
