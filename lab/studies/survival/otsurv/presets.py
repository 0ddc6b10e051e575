"""What is worth trying, as parameter values."""

from lab.studies.contract import Preset

TABLE = {"rho": 1.0, "epochs": 40, "ramp": 10, "rate": 4e-3}  # the length of training of the synthetic table

PRESETS = (
    Preset(
        "synthetic", "Bags with known risk",
        "Six kinds of patches, risk in the shares of the two rarest: compare the C-index with that of the truth.", {},
    ),
    Preset(
        "table", "The synthetic table",
        "The whole training, 40 epochs; sweep pooling and seed to get the table of mean C-indices.", TABLE,
    ),
    Preset(
        "artefacts", "Artefacts are left out",
        "A third to more than half of each bag is noise: at small shares it goes to the slack. Look at what is left out.",
        {"data": "artefact-bags", "rho": 0.5, "share": 0.4},
    ),
    Preset(
        "artefacts-mean", "Artefacts in the mean", "The same bags, all patches alike.",
        {"data": "artefact-bags", "pooling": "mean"},
    ),
    Preset(
        "schedule", "A slow growth of the mass",
        "The pooled share grows from a tenth to all over the whole training; published: over ten of fifty epochs.",
        {"rho": 1.0, "ramp": 15},
    ),
    Preset(
        "long-tail", "A long tail of prototypes",
        "A low price of sizes: a few prototypes take a large part of a bag. Raise λ and they even out.", {"lam": 0.01, "k": 16},
    ),
    Preset(
        "tissue", "Stained tissue",
        "Windows of a photograph, their times simulated: which patches share a prototype, and what is left out.",
        {"data": "stained-tissue", "k": 4, "epsilon": 0.05, "lam": 0.2, "rho": 0.6, "share": 0.6},
    ),
    Preset(
        "bins", "Hazards in bins of time", "The discrete likelihood in place of Cox's.", {"objective": "nll"},
    ),
)
