"""The sections of a report; each is a function of what the run holds."""

from collections.abc import Callable

from archatlas.reporting.page import Section
from archatlas.reporting.reading import RunFacts
from archatlas.reporting.sections.answer import answer_section
from archatlas.reporting.sections.fit import agreement_section, correlation_section
from archatlas.reporting.sections.measured import measured_section
from archatlas.reporting.sections.network import network_section
from archatlas.reporting.sections.setup import setup_section, time_section
from archatlas.reporting.sections.space import map_section, operators_section
from archatlas.reporting.sections.training import training_section

RUN_SECTIONS: tuple[Callable[[RunFacts], Section], ...] = (
    answer_section,
    network_section,
    map_section,
    operators_section,
    agreement_section,
    correlation_section,
    measured_section,
    training_section,
    time_section,
    setup_section,
)
TABLE_SECTIONS = (
    answer_section,
    network_section,
    map_section,
    operators_section,
    agreement_section,
    correlation_section,
)
"""Of a fit to a user's own table, which has no super-network."""

__all__ = ["RUN_SECTIONS", "TABLE_SECTIONS"]
