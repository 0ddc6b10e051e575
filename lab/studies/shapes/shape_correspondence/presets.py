"""What is worth trying, as parameter values."""

from typing import Any

from lab.studies.contract import Preset

LEARNED: dict[str, Any] = {"train_steps": 96}

PRESETS = (
    Preset("signatures", "Signatures alone", "Wave kernel signatures of a person and of a pose, compared.", {}),
    Preset("learned", "Learned without labels", "A network learns features of this one pair.", LEARNED),
    Preset("poses", "Learned from several poses", "The same network, from all ten pairs of five poses.",
           LEARNED | {"data": "person-in-poses"}),
    Preset("alone", "Without transport", "The same network, by the losses of maps alone.", LEARNED | {"ot_weight": 0.0}),
    Preset("heavy", "Much transport", "The weight of the paper, which is of many pairs.", LEARNED | {"ot_weight": 100.0}),
    Preset("refined", "Refined", "Fifteen steps more with an entropic plan.",
           LEARNED | {"ot_weight": 100.0, "refine_steps": 15}),
    Preset("animal", "An animal", "Four legs that are nearly alike.", {"data": "animal-in-a-pose"}),
    Preset("pial", "Cortex, inside and outside", "An easy pair: few distances change.", {"data": "cortex-pial"}),
    Preset("inflated", "Cortex, inflated", "A hard pair: edges change by a half.", {"data": "cortex-inflated"}),
    Preset("turned", "An exact isometry", "The same figure turned in space: nothing is off.", {"data": "person-turned"}),
)
