"""The paper's numbers beside ours."""

from lab.studies.contract import PREDICTED, Reported

_RATE = "upper bound on the rate, any Fisher-non-degenerate policy"
_OURS = "tabular MDP of 5 states, one episode per estimate"
_CURVES = "curves of returns on CartPole, Acrobot and MuJoCo"
_GAPS = "tabular MDP of 5 states, 12 seeds, 1,200 updates"

REPORTED = (
    Reported("Slope of the gradient error, N-PG-M", "theory, momentum", PREDICTED, _RATE, _OURS, claim="slope-momentum"),
    Reported("Slope of the gradient error, N-PG-IGT", "theory, N-PG-IGT", PREDICTED, _RATE, _OURS, claim="slope-igt"),
    Reported("Slope of the gradient error, N-HARPG", "theory, N-HARPG", PREDICTED, _RATE, _OURS, claim="slope-harpg"),
    Reported("Slope of the gradient error, plain PG", "one episode per estimate", PREDICTED, "no memory, so no fall", _OURS,
             claim="slope-plain"),
    Reported("Gap J* − J at the end, plain PG", _CURVES, None, "returns; the curves were not readable", _GAPS, ours="gap_pg",
             note="The paper reports N-HARPG and N-PG-IGT at or above plain PG. In this run plain PG has the smallest "
             "mean gap, although its gradient has the largest error; over five seeds the returns of all five methods tie.",
             holds=lambda runs: all(runs().gap_pg <= runs()[name]
                                    for name in ("gap_npgm", "gap_igt", "gap_nharpg", "gap_harpg"))),
    Reported("Gap J* − J at the end, N-PG-IGT", _CURVES, None, "returns; the curves were not readable", _GAPS, ours="gap_igt"),
    Reported("Gap J* − J at the end, N-HARPG", _CURVES, None, "returns; the curves were not readable", _GAPS,
             ours="gap_nharpg"),
    Reported("Gap J* − J at the end, HARPG", _CURVES, None, "returns; the curves were not readable", _GAPS, ours="gap_harpg"),
)
