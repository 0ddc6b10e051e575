"""The long forms of the tests that attack: hours of kills, flips, visitors and bad inputs; the short ones are in ``tests/``.

Each part is a module of this package with a docstring, ``options(parser)``, which declares what can be asked of it, and
``main(options)``, which prints its figures and returns how many times it found a fault.
"""

PARTS = {
    "kills": "processes killed at any moment: no cell and no earlier file may be lost",
    "flips": "bytes and values changed in the store: the same result, or a sentence and a repair",
    "pages": "visitors of one server who must not starve each other",
    "visitors": "twelve visitors on all pages beside a greedy one: how long each waits",
    "inputs": "bad inputs to every face: one sentence each",
    "problems": "random transport problems: no false word of convergence",
}
