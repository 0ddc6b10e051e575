"""What is worth trying, as parameter values."""

from lab.studies.contract import Preset

PRESETS = (
    Preset("perceptual", "Judged by slopes", "A metric that penalizes blur more: compare the searched start with x_T = 0.",
           {"metric": "perc"}),
    Preset("few-steps", "Five steps", "The fewer steps, the nearer all starts are to each other, and to 0.", {"steps": 5}),
    Preset("many-steps", "Forty steps", "The flow is followed to its end: a random start costs twice what 0 costs.",
           {"steps": 40}),
    Preset("one-gaussian", "One Gaussian", "Here sharing is exact, and two single images still agree by a third only.",
           {"modes": 1}),
    Preset("lucky-few", "Ten candidates, five images", "A cheap search: what it finds is half luck.",
           {"candidates": 10, "references": 5}),
    Preset("paper-like", "As in the paper", "More candidates, judged by the slopes of images.",
           {"candidates": 300, "references": 100, "metric": "perc", "refine": False}),
    Preset("loud", "A loud measurement", "Little is known of the image: candidates differ by more.", {"noise": 0.5}),
    Preset("patches", "Patches of photographs", "8 x 8 pixels from averages of 2 x 2, pooled from 16.",
           {"data": "natural-patches", "pool": 2}),
)
