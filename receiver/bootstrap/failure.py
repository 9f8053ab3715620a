"""Why a service cannot start."""


class StartError(Exception):
    """The service cannot start; the message says why and what to do."""
