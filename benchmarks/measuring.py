"""What the benchmarks share: functions that are timed in turns, their memory, and tables in Markdown."""

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax

Step = Callable[[], object]


class Contender:
    """One way to do the work, timed in turns with the others; calls shorter than `shortest` seconds are repeated."""

    def __init__(
        self,
        step: Step,
        wait: Callable[[object], object] = jax.block_until_ready,
        memory: int | None = None,
        compile_seconds: float | None = None,
        shortest: float = 0.2,
    ):
        self.step, self.wait, self.memory, self.compile_seconds = step, wait, memory, compile_seconds
        self.wait(self.step())
        started = time.perf_counter()
        self.wait(self.step())
        self.repeats = max(1, round(shortest / (time.perf_counter() - started)))
        self.seconds: list[float] = []

    def advance(self) -> None:
        """One timing."""
        started = time.perf_counter()
        for _ in range(self.repeats):
            last = self.step()
        self.wait(last)
        self.seconds.append((time.perf_counter() - started) / self.repeats)

    @property
    def least(self) -> float:
        """Seconds of the shortest call, the mean of its repetitions."""
        return min(self.seconds)


def compiled(function: Callable, arguments: tuple, precision: str = "highest", shortest: float = 0.2) -> Contender:
    """A jitted function as a contender, with its temporary memory and the seconds that its compilation took."""
    started = time.perf_counter()
    with jax.default_matmul_precision(precision):
        run = jax.jit(function).lower(*arguments).compile()
    spent = time.perf_counter() - started
    return Contender(
        functools.partial(run, *arguments), memory=temporary_bytes(run), compile_seconds=spent, shortest=shortest
    )


def temporary_bytes(run: Any) -> int | None:
    """Memory of a compiled function besides its arguments and results, where the backend tells it."""
    analysis = run.memory_analysis()
    return None if analysis is None else int(analysis.temp_size_in_bytes)


def take_turns(contenders: Iterable[Contender], turns: int) -> None:
    """Time all, one after the other, `turns` times: whatever else the machine does falls on all alike."""
    contenders = list(contenders)
    for _ in range(turns):
        for contender in contenders:
            contender.advance()


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]], notes: Iterable[str] = ()) -> str:
    """A Markdown table, aligned for the terminal, and notes below it."""
    rows = [tuple(header), *map(tuple, lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    padded = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    padded.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join([*padded, "", *(f"- {note}" for note in notes)])


def time_text(seconds: float) -> str:
    """Seconds to three digits, in s, ms or µs."""
    for unit, name in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{1e6 * seconds:.3g} µs"


def memory_text(size: int | None) -> str:
    """Bytes in GiB, MiB or KiB; nothing where they are not known."""
    if size is None:
        return ""
    for power, name in ((30, "GiB"), (20, "MiB")):
        if size >= 2**power:
            return f"{size / 2**power:.1f} {name}"
    return f"{size / 2**10:.1f} KiB"
