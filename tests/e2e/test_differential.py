"""Random data and queries beside Prometheus 3.14, built from its module: see tests/promql/differential/README.md."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMPARE = Path(__file__).resolve().parents[1] / "promql" / "differential" / "compare.py"
QUESTIONS = 450


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed: nothing was compared with Prometheus 3.14")
@pytest.mark.parametrize("arguments", [["--seed=11", "--histograms"], ["--seed=200"], ["--seed=300", "--histograms", "--delayed"]])
def test_random_questions_are_answered_as_by_prometheus_3(binaries, arguments):
    done = subprocess.run([sys.executable, str(COMPARE), "servers", f"--binaries={binaries}", f"--count={QUESTIONS}", "--stop-after=3", *arguments],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    [same] = re.findall(r"(\d+) same\b(?! but)", done.stdout)
    assert int(same) > QUESTIONS / 2, done.stdout  # or the rules have excused what they should not
