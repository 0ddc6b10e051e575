"""What is worth trying, as parameter values."""

from typing import Any

from lab.studies.contract import Preset

SHEET: dict[str, Any] = {"seeds": 24, "updates": 4000}
_CONTROL: dict[str, Any] = {"batch": 25, "batch_hessian": 25, "baseline": "others", "discount": 0.99, "seeds": 3}
CART: dict[str, Any] = _CONTROL | {
    "environment": "CartPole", "method": "N-PG-IGT", "g0": 0.3, "horizon": 200, "updates": 60, "ratio": 0.01,
}
LINKS: dict[str, Any] = _CONTROL | {
    "environment": "Acrobot", "method": "N-PG-IGT", "g0": 1.0, "horizon": 400, "updates": 60, "discount": 0.995,
}
SWING: dict[str, Any] = _CONTROL | {
    "environment": "pendulum", "method": "N-PG-IGT", "g0": 0.5, "horizon": 150, "updates": 400, "discount": 0.98, "batch": 50,
}
REGULATOR: dict[str, Any] = {
    "environment": "LQR", "g0": 0.3, "ratio": 5e-5, "batch": 10, "batch_hessian": 10, "baseline": "others", "updates": 500,
}
LARGE: dict[str, Any] = {"g0": 3.0}
SMALL: dict[str, Any] = {"g0": 0.5}
MORE: dict[str, Any] = {"batch_hessian": 8}

PRESETS = (
    Preset("table", "Five states, one episode an update", "Gradients are known: see how near each method comes.",
           {}),
    Preset("sheet", "The same with 24 seeds", "4,000 updates; slopes as the theory has them.", SHEET),
    Preset("large", "Steps that are three times as long", "N-PG-IGT has a small gradient error and a small return: its "
           "policies become nearly deterministic too soon.", LARGE),
    Preset("small", "Steps that are half as long", "HARPG, N-HARPG and N-PG-IGT tie for the final return.", SMALL),
    Preset("more", "Eight episodes for B v", "What HARPG gains where its correction is less noisy.", MORE),
    Preset("chain", "A reward at the end of a chain", "A small one at once, or a large one after five steps to the right.",
           {"data": "chain"}),
    Preset("regulator", "A mass that is pushed", "The linear-quadratic regulator: gradients are known, the Fisher matrix is "
           "never degenerate.", REGULATOR),
    Preset("cart", "A pole on a cart", "N-PG-IGT balances it within 60 updates of 25 episodes; about a minute.", CART),
    Preset("links", "Two links that swing up", "Acrobot: from 400 steps without success to 133 (mean of five seeds; 95% "
           "interval 67 to 199), within 60 updates of 25 episodes; about half a minute.", LINKS),
    Preset("swing", "A pendulum", "A motor that is too weak to lift it: N-PG-IGT halves what an episode of 150 steps costs "
           "within 400 updates of 50; about half a minute.", SWING),
)
