"""The suite runs as two processes; with one thread each they do not wait for each other."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
