"""Everything on this machine in one call: a scheduler and worker clusters as child processes."""

from scaler.cluster.combo import SchedulerClusterCombo

__all__ = ["SchedulerClusterCombo"]
