"""Workers over Ray, of one machine or a cluster: scoring of sub-networks, and stand-alone trainings."""

from archatlas.workers.pool import RayConfig, RayWorkers, Subject, WorkersName, connected, fanned_out
from archatlas.workers.scoring import Scoring
from archatlas.workers.task import Task
from archatlas.workers.training import Trainings

__all__ = [
    "RayConfig",
    "RayWorkers",
    "Scoring",
    "Subject",
    "Task",
    "Trainings",
    "WorkersName",
    "connected",
    "fanned_out",
]
