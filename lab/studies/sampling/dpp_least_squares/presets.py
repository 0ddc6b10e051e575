"""What is worth trying, as parameter values."""

from lab.studies.contract import Preset

PRESETS = (
    Preset("runge", "Runge's function", "Ten polynomials: at n = 3 m nearly half of the DPP designs are stable, of "
           "independent ones 2%.", {}),
    Preset("table-legendre", "The table: Legendre, m = 10", "2000 draws of each design, for all rows of the first table.",
           {"oversampling": 5, "replicates": 2000}),
    Preset("table-hermite", "The table: Hermite, m = 10", "On the whole line independent points of the law itself fail.",
           {"data": "bell", "family": "hermite", "oversampling": 5, "replicates": 2000}),
    Preset("table-corner", "The table: Legendre, m = 20", "|x| with twenty polynomials: of n = 5 m, seven in ten DPP designs "
           "are stable, one in a hundred independent ones.",
           {"data": "distance", "m": 20, "oversampling": 5, "replicates": 2000}),
    Preset("thin", "Thin stable designs", "From 3 m points to about 1.1 m, still stable. Compare the error estimates before "
           "and after.", {"thinned": 25}),
    Preset("thin-iid", "Thin independent designs", "From 10 m independent points to much the same.",
           {"sampler": "iid-optimal", "oversampling": 10, "thinned": 25}),
    Preset("interpolate", "As many points as functions", "n = m: in theory the mean squared error of a DPP is m + 1 times "
           "the minimum.", {"oversampling": 1, "replicates": 2000}),
    Preset("haar", "Steps: strata", "A DPP of Haar functions has one point in each cell, so that G is the identity.",
           {"data": "jump", "family": "haar", "m": 16, "oversampling": 1}),
    Preset("waves", "Waves", "Fourier functions: all weights are 1, and the points are eigenangles of a random unitary matrix.",
           {"data": "waves", "family": "fourier", "m": 11, "oversampling": 2}),
    Preset("plane", "Two variables, total degree", "Fifteen polynomials of degree 4 at most in the square.",
           {"dimension": 2, "m": 15, "data": "ridge"}),
    Preset("cross", "Two variables, hyperbolic cross", "High degrees in one variable at a time: points line up on the axes' "
           "edges.", {"dimension": 2, "m": 20, "space": "hyperbolic-cross", "data": "runge"}),
    Preset("space", "Three variables", "Twenty polynomials of degree 3 at most in the cube.",
           {"dimension": 3, "m": 20, "data": "bell", "replicates": 200}),
    Preset("exact", "A function of the space", "A cubic: every fit is exact, to rounding, whatever the design.",
           {"data": "cubic", "m": 6}),
    Preset("mixture", "Bounded weights", "Half of the independent points come from the law itself: no weight is above 2.",
           {"t": 0.5, "sampler": "iid-optimal", "oversampling": 8}),
    Preset("diabetes", "A table: diabetes", "442 patients, a constant and ten lines: how few outcomes the regression on all of "
           "them needs.", {"data": "diabetes-progression", "m": 11}),
)
