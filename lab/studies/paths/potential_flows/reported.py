"""The paper's numbers beside ours."""

from lab.studies.contract import ONLY_HERE, PREDICTED, Reported

_TABLE = "tables of VP scores"
_THEIRS = "SNGAN, BigGAN, StyleGAN2 and VAEs"
_DIGITS = "digits, autoencoder of 8 latent dimensions, 4 potentials, one seed"

REPORTED = (
    Reported("Pairs told apart, wave potentials", _TABLE, None, f"VP score; {_THEIRS}", _DIGITS + ", 2,000 steps",
             ours=lambda runs: 100 * float(runs.preset("digits").accuracy), unit="%"),
    Reported("Pairs told apart, no equation", _TABLE, None, f"VP score of other directions; {_THEIRS}",
             _DIGITS + ", 6,000 steps",
             ours=lambda runs: 100 * float(runs.preset("digits-none").accuracy), unit="%",
             note="After only 2,000 steps, as for the wave potentials, most pairs are still told apart without an equation."),
    Reported("VP score, wave potentials", _TABLE, None, _THEIRS, _DIGITS + ", short traversals",
             ours=lambda runs: float(runs.preset("digits").vp_short)),
    Reported("VP score, no equation", _TABLE, None, _THEIRS, _DIGITS + ", short traversals",
             ours=lambda runs: float(runs.preset("digits-none").vp_short),
             note="The two scores differ by less than 0.05: at this size the VP score does not show the paper's advantage.",
             holds=lambda runs: abs(float(runs.preset("digits").vp_short - runs.preset("digits-none").vp_short)) < 0.05),
    Reported("Energy of the Hamilton-Jacobi flow between Gaussians", "Benamou and Brenier", PREDICTED, "W₂² of the endpoints",
             "crossed Gaussians", claim="hj-is-optimal"),
    Reported("Energy over W₂² of a wave that starts from rest", "wave equation", PREDICTED, "shift of a Gaussian", "the same",
             claim="rest-costs-a-third"),
    Reported("Energy over W₂², wave potential", ONLY_HERE, None, "theory: at least 1", "noisy moons, ripples",
             ours="ratio_wave"),
)
