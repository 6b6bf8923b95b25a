"""The typed model of a site: one source of truth for every tool of this repository."""

from estate.load import load, load_secret, sites
from estate.model import Estate
from estate.problems import EstateError, Problem

__all__ = ["Estate", "EstateError", "Problem", "load", "load_secret", "sites"]
