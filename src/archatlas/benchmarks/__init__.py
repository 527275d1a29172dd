"""Ground-truth tables, and how well predictors rank them (`archatlas bench`)."""

from archatlas.benchmarks.predictors import bench_predictors
from archatlas.benchmarks.rows import BenchRow
from archatlas.benchmarks.tables import Task, find_tasks, one_shot_task

__all__ = ["BenchRow", "Task", "bench_predictors", "find_tasks", "one_shot_task"]
