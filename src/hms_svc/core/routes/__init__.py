"""routes.yml → `Config`: every problem at once, each with its place. Start reading in load.py."""

from hms_svc.core.routes.load import PolicyBuilder, RoutesInvalid, load
from hms_svc.core.routes.problems import Problem

__all__ = ["PolicyBuilder", "Problem", "RoutesInvalid", "load"]
