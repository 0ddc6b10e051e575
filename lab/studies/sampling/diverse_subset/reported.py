"""The paper's numbers beside ours."""

from lab.studies.contract import PREDICTED, Reported

_THEIRS = "definition of the k-DPP, any kernel"
_OURS = "600 handwritten digits, k = 20, 200 draws"
_EXTENT = "experiments of the paper"

REPORTED = (
    Reported("Sum of the inclusion probabilities", "k-DPP, cardinality k", PREDICTED, _THEIRS, _OURS, claim="sum"),
    Reported("Mean log-determinant of the chosen rows", "k-DPP, P(S) ∝ det(L_S)", PREDICTED, _THEIRS,
             "nine rows, k = 3, 10,000 draws; theory by enumeration", claim="volume"),
    Reported("Distance of a row to the nearest chosen row, k-DPP", _EXTENT, None, "values not available to us", _OURS,
             ours="cover", unit="median distances",
             note="On these digits the k-DPP and rows at random (next row) tie in coverage.",
             holds=lambda runs: abs(float(runs().cover - runs().cover_random)) < 0.01),
    Reported("The same, rows at random", _EXTENT, None, "values not available to us", _OURS, ours="cover_random",
             unit="median distances"),
    Reported("Classes among 20 chosen rows, k-DPP", _EXTENT, None, "values not available to us", _OURS, ours="classes_found"),
    Reported("Classes among 20 chosen rows, rows at random", _EXTENT, None, "values not available to us", _OURS,
             ours="classes_random"),
)
