"""`python -m archatlas`, for launchers that start modules: `torchrun --nproc-per-node 2 -m archatlas run CONFIG`."""

from archatlas.cli import main

main()
