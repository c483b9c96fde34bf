"""The catch-all function: a router, built once an environment from its variables, called with each event."""

import os

from hms_svc.aws.router import Router
from hms_svc.aws.settings import RouterSettings

handler = Router(RouterSettings.from_environment(os.environ), os.environ)
