"""Requirements for importing flowsim: light imports, no writable cache."""

import os
import subprocess
import sys

import pytest

DRAW = (
    "import sys; from flowsim import MotionPrior, sample_motion, read_flo\n"
    "sample_motion(MotionPrior.preset('camera+object'), 0, 'x', 0)\n"
    "print(sorted({'torch', 'numba', 'cv2', 'ray', 'transformers'} & set(sys.modules)))"
)
SIMULATE = (
    "import numpy as np; from flowsim import MotionPrior, sample_motion, simulate_flow\n"
    "motion = sample_motion(MotionPrior.preset('camera'), 0, 'x', 0)\n"
    "print(simulate_flow(np.ones((30, 40), np.float32), None, motion).valid.all())"
)


def run(program, **environment):
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def test_priors_and_draws_need_no_heavy_package():
    assert run(DRAW) == "[]"


@pytest.mark.skipif(sys.platform == "win32", reason="needs /dev/null")
def test_works_where_machine_code_cannot_be_kept():
    assert run(SIMULATE, NUMBA_CACHE_DIR="/dev/null/nothing") == "True"


def test_modules_are_not_hidden_by_functions_of_their_names():
    program = (
        "import flowsim.statistics, flowsim.objects, flowsim\n"
        "print(type(flowsim.statistics).__name__, type(flowsim.objects).__name__)"
    )
    assert run(program) == "module module"
    with pytest.raises(AttributeError, match="has no attribute 'depth'"):
        _ = __import__("flowsim").depth
