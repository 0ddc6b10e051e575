"""Shares as one reads them."""

from lab.words import number


def percent(share: float, digits: int = 2) -> str:
    """A share in percent: never 0% where there is some, nor 100% where some is missing.

    Examples:
        >>> from lab.studies.vocabulary.shares import percent
        >>> percent(0.0017), percent(0.42), percent(0.998), percent(1.0)
        ('0.17%', '42%', '99.8%', '100%')
    """
    told = number(100 * float(share), digits)
    while told == "100" and float(share) != 1 and digits < 8:
        digits += 1
        told = number(100 * float(share), digits)
    return f"{told}%"
