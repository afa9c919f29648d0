"""Grade a device: its findings and the user's rules in, a verdict out. Pure."""

from grading.verdicts import Verdict

__all__ = ["Verdict"]
