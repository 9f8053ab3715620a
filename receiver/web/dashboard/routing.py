"""What tells the routes for people from those of the interface."""

from starlette.routing import Route


class PageRoute(Route):
    """A route for people: no part of the interface that the document describes."""
