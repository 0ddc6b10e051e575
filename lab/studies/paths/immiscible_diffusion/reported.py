"""The paper's numbers beside ours."""

from lab.studies.contract import PREDICTED, Reported

_THEIRS = "CIFAR-10, 3,072 dimensions"
_OURS = "three points in the plane"


def _clusters(rule):
    return lambda runs: float(runs().cluster_dist.sel(rule=rule))


REPORTED = (
    Reported("Noise nearer by, nearest of k = 4", "table of L2 distances", 1.10, _THEIRS, _OURS, ours="saved_nearest", unit="%",
             note="The reduction falls with the dimension: in the plane a near noise vector is easily found."),
    Reported("Noise nearer by, linear assignment", "table of L2 distances", 1.93, _THEIRS + ", batch 128", _OURS + ", batch 32",
             ours="saved_assignment", unit="%",
             note="A batch of 32 has fewer noise vectors to choose from than the paper's 128."),
    Reported("Cluster distance, independent noise", "table of cluster distances", "0.92 ± 0.06", _THEIRS + ", DDIM", _OURS,
             ours=_clusters("independent"),
             note="For independent noise the distance is sampling error alone, √(2d/M) with M noise vectors per image."),
    Reported("Cluster distance, linear assignment", "table of cluster distances", "4.11 ± 0.37", _THEIRS + ", DDIM",
             _OURS + ", batch 32", ours=_clusters("assignment")),
    Reported("Cluster distance, nearest of k", "table of cluster distances", "2.17 ± 0.35", _THEIRS + ", DDIM, k = 8",
             _OURS + ", k = 4", ours=_clusters("nearest")),
    Reported("Best FID: independent, assignment, nearest of k = 8", "table of FID", "6.63, 5.14, 4.45", _THEIRS + ", DDIM",
             _OURS,
             note="FID needs trained image networks; the lab measures miscibility (next row) instead."),
    Reported("Miscibility H of independent pure noise", "definition of miscibility", PREDICTED, "one noise vector per image",
             _OURS + ", k = 1", claim="vanilla"),
)
