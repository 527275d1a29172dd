"""The explorer: a local page that asks an atlas while budgets are moved. Needs the extra `ui`."""

from archatlas.explorer.app import LOOPBACK, build_app, open_server
from archatlas.explorer.explorer import Explorer
from archatlas.explorer.knowledge import Knowledge, load_knowledge

__all__ = ["LOOPBACK", "Explorer", "Knowledge", "build_app", "load_knowledge", "open_server"]
