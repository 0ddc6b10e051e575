"""Figures for print: sizes and styles, export with the recipe inside, and making a figure again from its file."""

from .card import card_of
from .embed import FOLDED, FORMATS, MOVING, read_recipe
from .export import check_motion, draw_into, export, export_picture, export_sweep, plotted
from .provenance import Comparison, compare, difference, digest, fingerprint, picture_difference, recipe_of
from .reproducing import recall, reproduce
from .styles import STYLES, WIDTHS, Style, check, find_style, inches

__all__ = [
    "FOLDED",
    "FORMATS",
    "MOVING",
    "STYLES",
    "WIDTHS",
    "Comparison",
    "Style",
    "card_of",
    "check",
    "check_motion",
    "compare",
    "difference",
    "digest",
    "draw_into",
    "export",
    "export_picture",
    "export_sweep",
    "find_style",
    "fingerprint",
    "inches",
    "picture_difference",
    "plotted",
    "read_recipe",
    "recall",
    "recipe_of",
    "reproduce",
]
