"""What is worth trying, as parameter values."""

from lab.studies.contract import Preset

PRESETS = (
    Preset("digits", "Twenty digits of six hundred", "Which handwriting differs: more classes than chance finds, without "
           "asking for them.", {}),
    Preset("moons", "Two moons", "Points along both moons, evenly: set the length-scale to see them spread.",
           {"data": "two-moons", "length": 0.3}),
    Preset("short", "A length-scale that is too short", "All rows are unlike: the k-DPP is as good as chance.",
           {"data": "two-moons", "length": 0.01}),
    Preset("long", "A long length-scale", "The extremes first: little is left to tell neighbours apart.",
           {"data": "two-moons", "length": 1.0, "k": 12}),
    Preset("gaussian", "A cloud", "Where rows are few they are chosen more often, and weigh less.",
           {"data": "gaussian-points", "n": 500, "length": 0.5}),
    Preset("eight", "Eight Gaussians, eight points", "They meet some six of the eight, random ones five.",
           {"data": "eight-gaussians", "k": 8, "length": 0.3}),
    Preset("all-digits", "Fifty of all 1,797 digits", "A coreset to label first.", {"n": 1797, "k": 50, "draws": 50}),
)
