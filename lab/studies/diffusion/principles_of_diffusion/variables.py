"""The variables of a result of the principles of diffusion."""

from lab.studies.contract import Result
from lab.studies.vocabulary.training import UNTRAINED, Trained

DRAWS = "the sampler draws random numbers, so that no start has an end of its own: choose ddim, say"
_FREE = "no class is asked for: switch guidance on"
_NO_PLANE = "the data are not in the plane: choose three-gaussians, say"
_NO_LINE = "the data are not on a line: choose modes-1d, say"

DIMS = {
    "t": ("way from noise to data", ""), "way": ("way", ""), "particle": ("particle", ""), "axis": ("coordinate", ""),
    "goal": ("fresh point of the data", ""), "row": ("x₂", ""), "column": ("x₁", ""), "position": ("x", ""),
    "place": ("place", ""), "kind": ("prediction", ""), "compared": ("sampler", ""), "budget": ("steps", ""),
    "grid": ("grid", ""), "knot": ("step", ""), "schedule_name": ("schedule", ""), "clock": ("way from noise to data", ""),
    "few": ("calls", ""), "maker": ("by", ""), "identity": ("identity", ""), "looked": ("level", ""), **Trained.dims,
}
RESULTS = (
    Result("error", (), "error", "root mean square distance of its ends from those of the exact flow", headline=True,
           absent=DRAWS),
    Result("w2sq", (), "W₂² of the sampler", "squared distance of its ends from fresh data, exact", headline=True),
    Result("w2sq_exact", (), "W₂² of the exact flow", "the same, without errors of steps", headline=True),
    Result("w2sq_floor", (), "W₂² of the data", "of two samples of the data: the floor", headline=True),
    Result("evaluations", (), "evaluations", "of the denoiser, for all points at once", headline=True),
    Result("spread", (), "spread", "root mean variance of a coordinate where the sampler ends", headline=True),
    Result("share", (), "in the class", "mean probability of the class at the ends", headline=True, absent=_FREE),
    Result("spread_tilted", (), "spread of the tilted law", "of the law p(x|c)^(1+w) p(x)^-w, which guidance does not draw "
           "from", absent=f"{_FREE}, of data in the plane or on a line"),
    Result("errors", ("compared", "budget"), "error", "of each sampler with each number of steps, over 64 starts, or 16"),
    Result("calls", ("compared", "budget"), "evaluations", "of the denoiser"),
    Result("order", ("compared",), "observed order", "of the error, from 80 to 160 steps"),
    Result("grid_error", ("grid",), "error", "of the sampler with its steps on each grid", absent=DRAWS),
    Result("knots", ("grid", "knot"), "log-SNR", "log(a/s) of the times of each grid"),
    Result("paths", ("t", "way", "particle", "axis"), "position", "on the scale of the data, on at most two axes"),
    Result("goals", ("goal", "axis"), "position", "fresh data"),
    Result("log_snr", ("t",), "log-SNR", "log(a/s) of the frames"),
    Result("density", ("t", "row", "column"), "density", "of the noised law, on the scale of the data", absent=_NO_PLANE),
    Result("line", ("t", "position"), "density", "of the noised law, on the scale of the data", absent=_NO_LINE),
    Result("arrows", ("t", "kind", "place", "axis"), "prediction", "all five kinds, of the data from the place",
           absent=_NO_PLANE),
    Result("places", ("place", "axis"), "position", "of the arrows", absent=_NO_PLANE),
    Result("tilted", ("row", "column"), "mass", "of the tilted law in each cell", absent=f"{_FREE}; {_NO_PLANE}"),
    Result("table_log_snr", ("schedule_name", "clock"), "log-SNR", "log(a/s)"),
    Result("weight", ("schedule_name", "kind", "clock"), "weight", "of the data's squared error, in a loss of each kind"),
    Result("curve_loss", ("train_step",), "loss", "of the network, on the batch of each step", absent=UNTRAINED),
    Result("one_error", (), "error of one call", "root mean square distance of the ends of one call of the learned map from "
           "those of the exact flow", headline=True, absent=UNTRAINED),
    Result("few_errors", ("maker", "few"), "error of few calls", "the same of 1, 2, 4 and 8 calls, and of samplers that ask "
           "the exact denoiser as often; NaN where fresh noise was added", absent=UNTRAINED),
    Result("few_w2sq", ("few",), "W₂² of few calls", "of the learned map, from fresh data", absent=UNTRAINED),
    Result("few_ends", ("few", "particle", "axis"), "position", "where the learned map leads in a few calls", absent=UNTRAINED),
    Result("residual", ("identity", "looked"), "residual", "root mean square of what is left of each identity of the learned "
           "map, in units of the data", absent=UNTRAINED),
    Result("looked_log_snr", ("looked",), "log-SNR", "at which residuals are taken", absent=UNTRAINED),
    Result("lost", (), "lost after step", "after which something was not finite; 0: nowhere"),
    Result("iterations", (), "steps", "that were done"),
    Result("converged", (), "finite", "whether all steps were done and all numbers are finite"),
)
