"""A study with a story, for the tests of the page that tells it."""

from gradual import Gradual

from lab.studies import Group, Picture, Pictures, Step, Story

OFF = Picture(
    "off",
    "Another",
    "another penalty",
    Gradual.pictures.values.draw,
    when={"regularizer": ("quadratic",)},
    why="it is entropic",
)
STORY = Story(
    "What is pulled comes to its limit.",
    hero=("values", "convergence"),
    moves=("gamma", "k"),
    steps=(
        Step("Half as strong?", {"gamma": 0.5}, "The sum is {total:.3g}, it was {before.total:.3g}.",
             lambda before, after: after.total < before.total),
        Step("Does a slow rate change the limit?", {"rate": 0.25}, "It takes {iterations:.0f} steps.",
             lambda before, after: after.iterations > before.iterations),
        Step("A false hope?", {"gamma": 2.0}, "The sum is {total:.3g}.", lambda before, after: after.total < before.total),
    ),
    groups=(Group("More", "The gap is {gap:.1g}.", ("links", "against_gamma", "off")),),
    says=("The sum is {total:.3g}.",),
    question="Where does it end?",
)  # fmt: skip


class Told(Gradual):
    slug = "told"
    pictures = Pictures(*Gradual.pictures, OFF)
    story = STORY
