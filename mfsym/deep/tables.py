"""Tables of layers and powers of the width, as the reports of this room print them."""

from collections.abc import Mapping, Sequence


def exponent(value: float) -> str:
    """An exponent in words: halves as fractions."""
    if value != value or abs(value) == float("inf"):
        return "none"
    doubled = 2 * value
    if abs(doubled - round(doubled)) > 1e-9:
        return f"{value:.2f}"
    whole = round(doubled)
    return str(whole // 2) if whole % 2 == 0 else f"{whole}/2"


def power(value: float) -> str:
    """m^value, with brackets around fractions."""
    text = exponent(value)
    return f"m^({text})" if "/" in text else f"m^{text}"


def layer_names(count: int) -> tuple[str, ...]:
    """ "1", …, "output"."""
    return (*(str(number) for number in range(1, count)), "output")


def layer_table(columns: Mapping[str, Sequence[float]]) -> list[str]:
    """A table of exponents, one row for each layer."""
    count = len(next(iter(columns.values())))
    cells = {title: [exponent(value) for value in values] for title, values in columns.items()}
    return aligned([("layer", *columns), *zip(layer_names(count), *cells.values(), strict=True)])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, all but the first column to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [other.rjust(width) for other, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return lines
