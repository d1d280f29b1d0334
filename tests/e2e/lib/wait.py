# SPDX-License-Identifier: Apache-2.0
"""Waiting for a condition with a deadline: the only way tests wait."""
import time

DEADLINE_S = 60


def until(condition, what, deadline_s=DEADLINE_S):
    """The first true value of condition(); AssertionError naming `what` at the deadline."""
    end = time.monotonic() + deadline_s
    pause = 0.005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)
