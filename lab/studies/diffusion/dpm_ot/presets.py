"""What is worth trying, as parameter values."""

from lab.studies.contract import Preset

PRESETS = (
    Preset("jump", "The jump alone", "No steps: the samples are denoised targets.", {"k": 0}),
    Preset("forty", "Forty steps", "Samples are nearly as far from the stored points as held-out data.", {"k": 40}),
    Preset("digits", "Digits", "Handwritten digits on 16 axes, with a smooth score: a Gaussian for each class.",
           {"data": "digit-samples", "m": 800, "particles": 300}),
    Preset("digits-points", "Digits, remembered", "The same with the score of the stored ones: each sample is one of them.",
           {"data": "digit-samples", "m": 800, "particles": 300, "score": "points"}),
    Preset("remembers", "A score that knows the points", "Every way ends in stored points then.", {"score": "points"}),
    Preset("uniform", "From uniform noise", "As the official code has it: noise that is uniform on the square.",
           {"source": "uniform"}),
    Preset("official", "The official schedule", "Few points at first, twice as many when the gradient gets no shorter.",
           {"doubling": True, "batch": 500}),
    Preset("moons", "Two moons", "Wide moons: the samples keep to the stored points, far nearer than fresh data.",
           {"data": "noisy-moons"}),
)
