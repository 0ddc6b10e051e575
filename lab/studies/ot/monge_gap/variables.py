"""What is told of a map."""

from lab.studies.contract import Result

_UNTRAINED = "no map was learned: set the training steps above 0"
_UNKNOWN = "the best map of these data is not known: choose planted-map"
_NO_SPHERE = "the points are not on a sphere in space: choose patches-of-the-sphere, the cost geodesic and the form sphere"
_FLAT = "the points are not in the plane"

RESULTS = (
    Result("gap", (), "gap", "what the pairs cost beyond the least, exact", headline=True),
    Result("displacement", (), "mean cost", "of the pairs", headline=True),
    Result("least", (), "least cost", "of the same points and images, by another assignment", headline=True),
    Result("crossing", (), "crossing lines", "pairs of lines from points to images that cross", headline=True),
    Result("gap_entropic", (), "gap, with entropy", "as it is learned by: at least ε log n", headline=True),
    Result("gap_kl", (), "gap, in KL form", "the same less 2 ε log n; may be negative"),
    Result("fit", (), "divergence", "Sinkhorn divergence of the images from held-out targets", headline=True),
    Result("uvp", (), "unexplained variance", "L2-UVP: 100 for the constant map", "%", headline=True, absent=_UNKNOWN),
    Result("source", ("point", "axis"), "position", "points"),
    Result("mapped", ("point", "axis"), "position", "their images"),
    Result("best", ("point", "axis"), "position", "where the least assignment sends them"),
    Result("target", ("goal", "axis"), "position", "held-out targets"),
    Result("on_sphere", ("point", "space"), "position", "points, on the sphere", absent=_NO_SPHERE),
    Result("mapped_on_sphere", ("point", "space"), "position", "their images, on the sphere", absent=_NO_SPHERE),
    Result("share_of_gap", ("point",), "contribution", "of each pair to the gap, above the optimal potentials"),
    Result("gap_turned", ("turn",), "gap", "of the turned maps, on the points"),
    Result("gap_closed", ("turn",), "gap", "of Gaussians with these moments: 2 (1 - cos θ) tr C in the plane",
           absent="there is no closed form of this cost: choose squared"),
    Result("entropic_by", ("epsilon_share",), "gap, with entropy", "of the same pairs"),
    Result("kl_by", ("epsilon_share",), "gap, in KL form", "of the same pairs"),
    Result("primal_by", ("epsilon_share",), "gap to the entropic plan", "mean cost of the pairs less that of the plan"),
    Result("low_by", ("epsilon_share",), "lower bound", "gap + ε log n"),
    Result("high_by", ("epsilon_share",), "upper bound", "gap + 2 ε log n"),
    Result("uvp_of", ("rival",), "unexplained variance", "of several maps", "%", absent=_UNKNOWN),
    Result("gap_of", ("rival",), "gap", "of several maps"),
    Result("fit_of", ("rival",), "divergence", "of their images from held-out targets"),
    Result("field_to", ("gy", "gx", "axis"), "displacement", "where the map moves the plane", absent=_FLAT),
    Result("curve_loss", ("train_step",), "loss", "of the batch of each step", absent=_UNTRAINED),
    Result("film", ("frame", "point", "axis"), "position", "images as the map is learned", absent=_UNTRAINED),
    Result("film_gap", ("frame",), "gap", "exact, as the map is learned", absent=_UNTRAINED),
    Result("film_entropic", ("frame",), "gap, with entropy", "as it is learned by, on held-out points", absent=_UNTRAINED),
    Result("film_floor", (), "ε log n", "what the entropy adds at least", absent=_UNTRAINED),
    Result("film_fit", ("frame",), "divergence", "as the map is learned", absent=_UNTRAINED),
    Result("film_crossing", ("frame",), "crossing lines", "as the map is learned", absent=_UNTRAINED),
    Result("iterations", (), "steps", "of the training that were done"),
    Result("converged", (), "converged", "whether all that was solved for was, and the training came to its end"),
)
