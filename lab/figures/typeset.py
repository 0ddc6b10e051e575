"""Figures as TeX takes them: EPS, and PGF, whose words are set by the document that they are in."""

import io
import re
import unicodedata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SUPER, _SUB = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵀ", "₀₁₂₃₄₅₆₇₈₉₊₋"
_SIGNS = {
    "−": "-",
    "×": r"\times",
    "·": r"\cdot",
    "±": r"\pm",
    "≤": r"\leq",
    "≥": r"\geq",
    "≈": r"\approx",
    "≠": r"\neq",
    "∞": r"\infty",
    "√": r"\surd",
    "∇": r"\nabla",
    "∂": r"\partial",
    "‖": r"\Vert",
    "∈": r"\in",
    "→": r"\to",
    "←": r"\gets",
    "⟨": r"\langle",
    "⟩": r"\rangle",
    "∑": r"\sum",
    "Σ": r"\Sigma",
    "∫": r"\int",
    "ℓ": r"\ell",
    "°": r"^{\circ}",
    "′": "'",
    "″": "''",
    "∗": "*",
    "⊤": r"\top",
    "∝": r"\propto",
    "½": r"\frac{1}{2}",
    "¼": r"\frac{1}{4}",
    "∘": r"\circ",
    "⊙": r"\odot",
    "⊗": r"\otimes",
    "∪": r"\cup",
    "∩": r"\cap",
    "⊂": r"\subset",
    "≪": r"\ll",
    "≫": r"\gg",
    "∼": r"\sim",
    "↦": r"\mapsto",
    "⇒": r"\Rightarrow",
    "∀": r"\forall",
    "∃": r"\exists",
    "∅": r"\emptyset",
    "⟂": r"\perp",
    "⋯": r"\cdots",
}
_WORDS = {
    "\u00a0": "~",
    "\u2009": r"\,",
    "\u202f": r"\,",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "“": "``",
    "”": "''",
    "’": "'",
}
_ROMAN = {"Alpha": "A", "Beta": "B", "Epsilon": "E", "Mu": "M", "Nu": "N", "Rho": "P", "Tau": "T", "omicron": "o"}
_DATED = re.compile(rb"^%%(CreationDate|Title):.*\n", re.MULTILINE)


def pgf(figure: "Figure", stem: str, **settings: Any) -> dict[str, bytes]:
    """The files of a figure by their names: ``stem.pgf``, and a PNG for each of its images, which that one reads.

    Words are measured with our own type, so that no TeX is needed here; signs beyond ASCII are written as mathematics, which
    TeX knows in any document.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.backends.backend_pgf import RendererPgf

    def measured(self: Any, s: str, prop: Any, ismath: Any) -> tuple[float, float, float]:
        return RendererAgg(1, 1, self.dpi).get_text_width_height_descent(s, prop, ismath)

    backend = "matplotlib.backends.backend_pgf"
    with (
        TemporaryDirectory() as folder,
        matplotlib.rc_context({"pgf.rcfonts": False, "pgf.preamble": ""}),
        patch.object(RendererPgf, "get_text_width_height_descent", measured),
        patch(f"{backend}._tex_escape", mathematics),
        patch(f"{backend}._get_image_inclusion_command", lambda: r"\includegraphics"),
    ):
        try:
            figure.savefig(Path(folder, f"{stem}.pgf"), format="pgf", backend="pgf", **settings)
        except OSError as problem:  # which would not say where
            raise ValueError(
                f"the figure can't be written to the temporary folder {folder}: {problem.strerror or problem}; free space "
                "there, or set the variable TMPDIR to another folder"
            ) from None
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def mathematics(words: str) -> str:
    r"""A text for TeX: what is special there escaped, Greek letters and signs as mathematics: ``γ ≤ 1`` is
    ``\ensuremath{\gamma} \ensuremath{\leq} 1``. What is between dollars is mathematics, as Matplotlib writes powers of ten."""
    parts = words.split("$")
    if len(parts) % 2 == 0:  # a dollar that ends nothing
        return "".join(map(_sign, words))
    parts[::2] = ["".join(map(_sign, part)) for part in parts[::2]]
    parts[1::2] = ["".join(sign if sign.isascii() else _sign(sign) for sign in part) for part in parts[1::2]]
    return "$".join(parts).replace(r"\mathdefault", "")


def _sign(sign: str) -> str:
    if sign.isascii():
        return {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}.get(
            sign, f"\\{sign}" if sign in "&#{}$_" else sign
        )
    if sign in _WORDS:
        return _WORDS[sign]
    if sign in _SUPER or sign in _SUB:
        plain = unicodedata.normalize("NFKC", sign).replace("−", "-")
        return rf"\ensuremath{{{'^' if sign in _SUPER else '_'}{{{plain}}}}}"
    if sign in _SIGNS:
        return rf"\ensuremath{{{_SIGNS[sign]}}}"
    found = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (?:FINAL )?(\w+)", unicodedata.name(sign, ""))
    if found:
        name = found[2].replace("LAMDA", "LAMBDA")
        name = name.lower() if found[1] == "SMALL" else name.capitalize()
        return rf"\ensuremath{{{_ROMAN[name]}}}" if name in _ROMAN else rf"\ensuremath{{\{name}}}"
    return sign  # letters with accents, which TeX reads


def eps(figure: "Figure", **settings: Any) -> bytes:
    """The figure in encapsulated PostScript, which has no transparency: what lets the page through is laid on white."""
    _lay_on_white(figure)
    out = io.BytesIO()
    figure.savefig(out, format="eps", **settings)
    return _DATED.sub(b"", out.getvalue())


def _lay_on_white(figure: "Figure") -> None:
    from matplotlib.collections import Collection
    from matplotlib.colors import to_rgba
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.text import Text

    def solid(colour: Any, alpha: float | None = None) -> tuple[float, float, float, float]:
        red, green, blue, share = to_rgba(colour, alpha)
        if not share:  # nothing stays nothing
            return red, green, blue, share
        return 1 - share * (1 - red), 1 - share * (1 - green), 1 - share * (1 - blue), 1.0

    for artist in figure.findobj():
        if isinstance(artist, AxesImage):
            colours = artist.get_cmap()
            bad = tuple(map(float, colours.get_bad()))
            artist.set_cmap(colours.with_extremes(bad=solid(bad) if bad[3] else "white"))
            if (array := np.ma.asarray(artist.get_array())).ndim == 3 and array.shape[2] == 4:
                part = array / 255.0 if array.dtype == np.uint8 else array
                artist.set_data(1 - part[..., 3:] * (1 - part[..., :3]))
        elif isinstance(artist, Collection):
            if artist.get_array() is not None:
                artist.update_scalarmappable()
                artist.set_array(None)
            artist.set_facecolor([solid(c) for c in artist.get_facecolor()])
            artist.set_edgecolor([solid(c) for c in artist.get_edgecolor()])
            setattr(artist, "_alpha", None)  # noqa: B010  set_alpha can't compare one alpha for each with none
        elif isinstance(artist, Patch):
            face, edge = solid(artist.get_facecolor()), solid(artist.get_edgecolor())
            artist.set_alpha(None)
            artist.set_facecolor(face)
            artist.set_edgecolor(edge)
        elif isinstance(artist, Line2D | Text) and artist.get_alpha() is not None:
            artist.set_color(solid(artist.get_color(), artist.get_alpha()))
            artist.set_alpha(None)
