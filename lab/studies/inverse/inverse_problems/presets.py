"""What is worth trying, as parameter values."""

from lab.studies.contract import Preset

PRESETS = (
    Preset("half", "Half of the pixels", "A Gaussian prior, whose posterior is known: click a pixel that was hidden.", {}),
    Preset("box", "A hole in the middle", "Nothing is seen there, and the answers differ: look where the variance sits.",
           {"damage": "box", "hole": 0.5}),
    Preset("blur", "Out of focus", "Fine detail is lost, and no method gets it back.", {"damage": "blur", "blur": 1.5}),
    Preset("larger", "Four pixels from one", "Averages of squares, each answer a guess at what was in them.",
           {"damage": "average", "factor": 2}),
    Preset("tomography", "Six views", "Backprojection beside what a prior makes of the same rays.",
           {"damage": "tomography", "views": 6}),
    Preset("resonance", "A third of the frequencies", "Lines of a Fourier transform, as in magnetic resonance.",
           {"damage": "magnetic resonance", "seen": 0.33}),
    Preset("memory", "The exact prior of the training images", "Samples are training images: they look perfect and are wrong.",
           {"prior": "optimal", "noise": 0.5}),
    Preset("local", "A prior that generalises", "PCA locality, without training: nobody knows its posterior.",
           {"prior": "PCA locality", "seeds": 4}),
    Preset("loud", "As much noise as signal", "With strong noise the weight of the data matters.", {"noise": 1.0}),
    Preset("clip", "Too bright", "Grey values above the limit are cut: methods that need a linear damage have no answer.",
           {"damage": "clip"}),
    Preset("phase", "Phases lost", "Only amplitudes of a Fourier transform are seen: the hardest of all.",
           {"damage": "phase retrieval"}),
    Preset("digits", "Eight pixels a side", "Everything at once, in a second.",
           {"data": "digit-images", "row": 3, "column": 3}),
    Preset("patches", "Patches of photographs", "What a Gaussian knows of nature.",
           {"data": "natural-patches", "row": 8, "column": 8, "damage": "average"}),
)
