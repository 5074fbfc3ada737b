"""A part is tried three times at most; the last time with care."""

import pickle
from pathlib import Path

import pytest

from pipeline.engine.health.attempts import Stalled, following, next_step
from pipeline.engine.health.device_fault import DeviceFault, pass_on
from pipeline.engine.task import Task

TASK = Task(Path("store"), (), "p0")


class KilledWorker(Exception):
    """Named like Dask's, which is how the engine knows it."""


class AcceleratorError(RuntimeError):
    """Named like torch's."""


@pytest.mark.parametrize("error", [Stalled("no sign of life", "7"), DeviceFault("assert", "7")])
def test_a_part_is_tried_elsewhere_then_with_care_then_given_up(error):
    second = following(TASK, error)
    assert (second.attempt, second.careful, second.avoid) == (2, False, "7")
    assert next_step(TASK, error).startswith("the part is tried again, on another worker")
    third = following(second, error)
    assert (third.attempt, third.careful) == (3, True)
    assert next_step(second, error).startswith("its images are tried in child processes")
    assert following(third, error) is None
    assert next_step(third, error) == "the part is given up"


def test_a_death_leads_to_care_at_once_since_dask_has_tried_again_itself():
    careful = following(TASK, KilledWorker())
    assert careful.careful and careful.attempt == 3 and following(careful, KilledWorker()) is None


def test_an_error_of_a_stage_is_not_tried_again():
    assert following(TASK, RuntimeError("odd")) is None


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be …"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        AcceleratorError("an illegal memory access was encountered"),
    ],
)
def test_an_error_that_stays_with_the_device_is_known_by_name(error):
    with pytest.raises(DeviceFault, match=type(error).__name__) as fault:
        pass_on(error)
    assert "\n" not in str(fault.value)
    again = pickle.loads(pickle.dumps(fault.value))
    assert (again.why, again.worker, again.first) == (fault.value.why, "", True)


def test_so_is_one_that_a_library_has_wrapped():
    try:
        try:
            raise AcceleratorError("device-side assert triggered")
        except AcceleratorError as error:
            raise ValueError("generation failed") from error
    except ValueError as error:
        with pytest.raises(DeviceFault, match="AcceleratorError: device-side assert"):
            pass_on(error)


@pytest.mark.parametrize(
    "error",
    [
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. CUDA error: none"),
        ValueError("CUDA error: a text of the user's"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    ],
)
def test_other_errors_are_the_rows_own(error):
    assert pass_on(error) is None
