"""Step control: landing on the times of the record, and ending after a number of steps."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

CFL_SAFETY = 0.9  # the admissible step is measured at the start of a step and moves during it


class LandingController(diffrax.AbstractAdaptiveStepSizeController):
    """Error control that lands on every save time and never exceeds the admissible step.

    The way to the next save time is divided evenly, so that no tiny step is left over; interpolation, which could
    make a density negative, is never used.
    """

    error_control: diffrax.PIDController
    save_times: Float[Array, " T"]
    ssp_coefficient: float = eqx.field(static=True)

    def __init__(self, error_control: diffrax.PIDController, save_times: Array, ssp_coefficient: float):
        self.error_control, self.save_times, self.ssp_coefficient = error_control, save_times, ssp_coefficient

    @property
    def rtol(self):
        return self.error_control.rtol

    @property
    def atol(self):
        return self.error_control.atol

    @property
    def norm(self):
        return self.error_control.norm

    def wrap(self, direction):
        return eqx.tree_at(lambda c: c.error_control, self, self.error_control.wrap(direction))

    def init(self, terms, t0, t1, y0, dt0, args, func, error_order):
        end, state = self.error_control.init(terms, t0, t1, y0, dt0, args, func, error_order)
        return self._end(t0, end - t0, y0, args), state

    def adapt_step_size(self, t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state):
        keep, next_t0, next_t1, jump, state, result = self.error_control.adapt_step_size(
            t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state
        )
        start = jax.tree.map(lambda old, new: jnp.where(keep, new, old), y0, y1_candidate)
        return keep, next_t0, self._end(next_t0, next_t1 - next_t0, start, args), jump, state, result

    def _end(self, t, step, state, dynamics):
        limit = self.ssp_coefficient * CFL_SAFETY * dynamics.largest_step(jax.lax.stop_gradient(state))
        step = jax.lax.stop_gradient(jnp.minimum(step, limit.astype(step.dtype)))
        index = jnp.minimum(jnp.searchsorted(self.save_times, t, side="right"), len(self.save_times) - 1)
        save = self.save_times[index]
        pieces = jnp.ceil((save - t) / step)
        after = 1e-12 * self.save_times[-1]  # beyond the last save time there has to be some step, in any unit of time
        return jnp.where(pieces > 1, t + (save - t) / jnp.maximum(pieces, 1), jnp.maximum(save, t + after))


class SegmentController(diffrax.AbstractStepSizeController):
    """Another controller, resumed where an earlier segment of the run left it, for a number of steps.

    Its state is (state of the other, end of the next step, steps still allowed). When none is left the loop ends
    with the result `max_steps_reached`. diffrax's own bound is a constant of the compiled code; this one is a number.
    """

    inner: diffrax.AbstractStepSizeController
    resumed: tuple[PyTree, Float[Array, ""]]
    most: Int[Array, ""]

    def wrap(self, direction):
        return SegmentController(self.inner.wrap(direction), self.resumed, self.most)

    def init(self, terms, t0, t1, y0, dt0, args, func, error_order):
        state, end = self.resumed
        return end, (state, end, self.most)

    def adapt_step_size(self, t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state):
        state, _, left = controller_state
        keep, next_t0, next_t1, jump, state, result = self.inner.adapt_step_size(
            t0, t1, y0, y1_candidate, args, y_error, error_order, state
        )
        spent = (left <= 1) & (result == diffrax.RESULTS.successful)
        result = diffrax.RESULTS.where(spent, diffrax.RESULTS.max_steps_reached, result)
        return keep, next_t0, next_t1, jump, (state, next_t1, left - 1), result
