"""Which prompts can this model almost do? Attempts at every prompt, verified, and a zone for each."""

from teachable.probe.config import ProbeConfig
from teachable.probe.estimate import always_the_same, probe_stats
from teachable.probe.run import ProbeResult, probe

__all__ = ["ProbeConfig", "ProbeResult", "always_the_same", "probe", "probe_stats"]
