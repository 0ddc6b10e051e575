"""What is worth trying, as parameter values."""

from typing import Any

from lab.studies.contract import Preset

LATER: dict[str, Any] = {"warmup": 50}
WIDE: dict[str, Any] = {"radius": 50.0, "scale": 10.0, "threshold": 0.05}
STREAMS: dict[str, Any] = {"train_steps": 800, "forecast": "two streams"}
QUICK: dict[str, Any] = {"train_steps": 120, "units": 32, "forecast": "one stream"}
SECTION: dict[str, Any] = {"data": "highway-section"}

PRESETS = (
    Preset("platoon", "A platoon that disperses", "Three kinds of drivers start together; the rule sees who loses neighbours.",
           {}),
    Preset("later", "After half a minute", "When fast drivers are ahead and slow ones behind, more agents are alone: neutral.",
           LATER),
    Preset("wide", "A graph that reaches far", "Weights fall over 10 m, neighbours within 50 m.", WIDE),
    Preset("nearest", "Four nearest neighbours", "The other graph of the released code, made symmetric.",
           {"neighbours": "nearest"}),
    Preset("kept", "Edges that stay", "An edge once seen stays for a window, with its largest weight.",
           {"edges": "cumulative"}),
    Preset("velocity", "Constant velocity", "The baseline: every agent keeps its velocity.", {"forecast": "constant velocity"}),
    Preset("short", "Two seconds ahead", "All forecasts are good for four frames.", {"predicted": 4}),
    Preset("fast", "Many fast drivers", "Half of them want 33 m/s.", {"fast": 0.5, "slow": 0.1}),
    Preset("section", "A section of the road", "Agents come and go: who is absent counts nowhere.", SECTION),
    Preset("streams", "Two streams of LSTMs", "About a minute of training. Compare with the ridge.", STREAMS),
    Preset("quick", "A short training", "Seconds of training. Compare with the ridge.", QUICK),
    Preset("pulled", "Pulled hard to clusters", "Predictions shrink to the centres.",
           QUICK | {"forecast": "two streams", "b1": 1.0}),
)
