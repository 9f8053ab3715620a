"""The templates, ready to be filled: everything that is put into one is escaped."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from receiver.lifecycle.ports import MOST_COUNTED
from receiver.web.dashboard import words
from receiver.web.dashboard.assets import address


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("receiver.web.dashboard", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    names = (
        "span",
        "short",
        "ago",
        "cut",
        "moment",
        "exact",
        "clock",
        "money",
        "amount",
        "share",
        "number",
        "counted",
        "named",
    )
    environment.filters.update({name: getattr(words, name) for name in names})
    environment.globals |= {"asset": address, "MOST_COUNTED": MOST_COUNTED}
    return environment


#: Filled by ``Visit.render``.
TEMPLATES = _environment()
