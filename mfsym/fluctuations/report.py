"""What `error_budget` returns: the coefficients of 1/m along a run, and questions about one width."""

from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from ..errors import Words, argument_error, check_integer, is_traced, positive_number
from ..reduced.line.isotypic import Blocks
from ..types import IntLike, RealLike
from .panels import value_at

_FINE = 2001  # points on which a crossing is looked for
_WIDTHS = (64, 256, 1024, 4096)  # on the card


class ExpectedError(NamedTuple):
    """E‖f_net − f_∞‖² of networks of one width, with one kind of batches or one amount of data, at one time.

    `squared`, its `parts` by cause ("width", "batches", "data") and its `uncertainty` (half the bracket of the harmonics);
    `share` of E f_∞²; `next_order`, the mean squared fluctuation over the squared residual that drives it, E‖f_net −
    f_∞‖²/2F, and for batches η(1 + d/B) more: where it is not small, orders beyond the first count.
    """

    squared: float
    uncertainty: float
    share: float
    next_order: float
    parts: dict[str, float]

    def __str__(self) -> str:
        warning = "" if self.next_order < 0.1 else " Orders beyond the first count here."
        parts = ", ".join(f"{name} {value:.3g}" for name, value in self.parts.items())
        return (
            f"E‖f_net − f_∞‖² = {self.squared:.4g} ± {self.uncertainty:.2g} ({parts}), {100 * self.share:.3g} % of E f_∞²; "
            f"next order {self.next_order:.2g}.{warning}"
        )


class ErrorBudget(eqx.Module):
    """The coefficients of 1/m along a run, each [T] at its times `ts`.

    - `risk` F and `energy` E f_∞² of the infinite network.
    - `by_width` C = lim m E‖f_m − f_∞‖², and `least`, the part of the harmonics up to `degree`: C is between the two, and
      usually near the first.
    - `by_block` [B, T]: the share of every block (ℓ_H, ℓ_⊥) of `blocks`, all its copies together; they sum to `least`.
    - `by_batch` C_b = lim (B/η) E‖f_η − f_∞‖² for fresh batches of B samples in steps η, and `by_samples` C_n, the limit of
      n E‖f_n − f_∞‖² for n fixed ones. None without a problem to draw them from.
    - `passive`: what C would be if nothing answered the noise.
    - `bias`: lim m (E F_m − F) and lim m (E mass^± − mass^±) by observable; `scatter`: lim m Var of these. None where they
      were not asked for. Near the optimum the variance of F_m is that of ½‖f_m − f‖², of order 1/m², and not its first term.
    - `defect`: how far the record is from the flow that it is taken for, in nats and radians. `dim`: d.
    """

    ts: Float[Array, " T"]
    risk: Float[Array, " T"]
    energy: Float[Array, " T"]
    by_width: Float[Array, " T"]
    least: Float[Array, " T"]
    by_block: Float[Array, "B T"]
    passive: Float[Array, " T"]
    by_batch: Float[Array, " T"] | None
    by_samples: Float[Array, " T"] | None
    bias: dict[str, Array] | None
    scatter: dict[str, Array] | None
    defect: Float[Array, ""]
    dim: Float[Array, ""]
    blocks: Blocks = eqx.field(static=True)
    degree: int = eqx.field(static=True)
    signs: str = eqx.field(static=True)

    def error(
        self,
        t: RealLike,
        width: IntLike | None = None,
        *,
        step: RealLike | None = None,
        batch: IntLike | None = None,
        samples: IntLike | None = None,
    ) -> ExpectedError:
        """E‖f_net − f_∞‖² at any time `t` of the run, of a network of `width` m neurons (None: infinitely many), trained by
        the flow, or in steps η of `step` with a fresh `batch` of B samples each, or by the flow on n fixed `samples`:
        C/m + C_b η/B + C_n/n. For batches f_∞ is the limit in steps of the same length."""
        time = self._time(t)
        parts = self._parts(time, width, step, batch, samples)
        squared = sum(parts.values())
        uncertainty = 0.0
        if width is not None:
            uncertainty = (self._at(self.by_width, time) - self._at(self.least, time)) / 2 / width
        risk, energy = self._at(self.risk, time), self._at(self.energy, time)
        order = _ratio(squared, 2 * risk)
        if step is not None and batch is not None:
            order += float(step) * (1 + float(self.dim) / batch)
        return ExpectedError(squared, uncertainty, _ratio(squared, energy), order, parts)

    def _parts(self, time: float, width, step, batch, samples) -> dict[str, float]:
        """The error by cause."""
        found = {}
        if width is not None:
            found["width"] = self._at(self.by_width, time) / check_integer("width", width, 1, "It is the number of neurons.")
        if (step is None) != (batch is None):
            remedy = "Their noise is C_b·step/batch; steps on the population risk have none."
            raise argument_error("step", "given together with batch", Words(f"step={step}, batch={batch}"), remedy)
        if batch is not None and samples is not None:
            remedy = "Batches out of fixed samples are not derived; what lies between, neither bounds."
            raise argument_error("samples", "None where there is a batch: fresh samples each step", samples, remedy)
        if step is not None and batch is not None:
            ratio = float(positive_number("step", step, "It is the step η, in flow time.")) / check_integer(
                "batch", batch, 1, "It is the number of fresh samples of a step."
            )
            found["batches"] = self._at(self._of_samples(self.by_batch), time) * ratio
        if samples is not None:
            count = check_integer("samples", samples, 1, "It is the number of samples.")
            found["data"] = self._at(self._of_samples(self.by_samples), time) / count
        if not found:
            remedy = "The infinite network on the population risk is the reference."
            raise argument_error("width", "given, or batch or samples", None, remedy)
        return found

    def _of_samples(self, record: Float[Array, " T"] | None) -> Float[Array, " T"]:
        if record is None:
            remedy = "Pass problem= to mf.error_budget: it says what samples are."
            raise argument_error("budget", "one with the noise of samples", Words("one without"), remedy)
        return record

    def width(self, t: RealLike, share: RealLike) -> int:
        """The smallest number of neurons with E‖f_m − f_∞‖² at most this share of E f_∞² at time t."""
        time = self._time(t)
        share = float(positive_number("share", share, "It is a fraction of E f², for example 0.01."))
        energy = self._at(self.energy, time)
        if not energy > 0:
            raise argument_error(
                "t", "a time when the network is not 0", t, "At the start there is nothing to compare with."
            )
        return int(np.ceil(self._at(self.by_width, time) / (share * energy)))

    def breaks_at(self, width: IntLike) -> float | None:
        """The first time at which the fluctuation is as large as the residual, C/m = 2F; None where it is not in the run.

        From then on a network of m neurons is on its own: it has left the symmetry of its target.
        """
        width = check_integer("width", width, 1, "It is the number of neurons.")
        self._require_known()
        times = np.linspace(0.0, float(self.ts[-1]), _FINE)
        gap = [self._at(self.by_width, t) / width - 2 * self._at(self.risk, t) for t in times]
        above = np.flatnonzero(np.asarray(gap) >= 0)
        return float(times[above[0]]) if above.size else None

    def _time(self, t: RealLike) -> float:
        self._require_known()
        time, last = float(positive_number("t", t, "It is a flow time of the run.", strict=False)), float(self.ts[-1])
        if time > last * (1 + 1e-9):
            raise argument_error("t", f"at most {last:g}, the last time of the run", t, "Run to a later time.")
        return min(time, last)

    def _require_known(self) -> None:
        if is_traced(self.by_width) or self.by_width.ndim != 1:
            remedy = "Read its arrays `ts` and `by_width` there."
            raise argument_error("budget", "a single one, outside of jit", self.by_width, remedy)

    def _at(self, record: Float[Array, " T"], time: float) -> float:
        return value_at(self.ts, record, time)

    def __repr__(self) -> str:
        if any(is_traced(leaf) for leaf in jax.tree.leaves(self)) or self.ts.ndim != 1:
            return f"ErrorBudget(degree={self.degree}, signs={self.signs!r}, traced or batched)"
        return _card(self)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("inf")


def _card(budget: ErrorBudget) -> str:
    """The budget as text."""
    times = np.linspace(0.0, float(budget.ts[-1]), 6)
    columns = {"t": times}
    records = {"F": budget.risk, "C": budget.by_width, "C at least": budget.least}
    if budget.by_batch is not None and budget.by_samples is not None:
        records |= {"C_b": budget.by_batch, "C_n": budget.by_samples}
    if budget.bias is not None and budget.scatter is not None:
        names = {"risk": "F", "mass_plus": "mass+", "mass_minus": "mass−"}
        records |= {f"m bias {short}": budget.bias[name] for name, short in names.items()}
        records |= {f"m Var {short}": budget.scatter[name] for name, short in names.items()}
    columns |= {name: np.array([value_at(budget.ts, record, t) for t in times]) for name, record in records.items()}
    head = f"Error budget of finite width: f_m against f_∞, {budget.signs} signs, harmonics up to degree {budget.degree}"
    conventions = (
        "f = (1/m) Σ a σ(b·x), F = ½E(f − f*)², t is flow time; C = lim m E(f_m − f_∞)², and biases and variances times m"
    )
    if budget.by_batch is not None:
        conventions += "\nbatches of B in steps η: C_b η/B more; n fixed samples: C_n/n more"
    rows = [head, conventions, " ".join(f"{name:>13}" for name in columns)]
    rows += [" ".join(f"{values[i]:13.6g}" for values in columns.values()) for i in range(len(times))]
    late = float(budget.ts[-1])
    order = np.argsort(-np.asarray(budget.by_block[:, -1]))[:5]
    rows.append(
        f"largest blocks at t = {late:g}: " + ", ".join(f"{budget.blocks[i]} {budget.by_block[i, -1]:.4g}" for i in order)
    )
    found = {width: budget.breaks_at(width) for width in _WIDTHS}
    words = ", ".join(f"m = {width}: " + ("not by then" if t is None else f"t = {t:.3g}") for width, t in found.items())
    rows += [
        f"fluctuation as large as the residual (C/m = 2F): {words}",
        f"defect of the record: {float(budget.defect):.1e}",
    ]
    return "\n".join(rows)
