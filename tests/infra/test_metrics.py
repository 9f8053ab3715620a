"""What the alerts and the dashboard ask for is what the service tells."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

from receiver.telemetry.catalogue import CATALOGUE, OURS, Kind
from tests.infra.tools import HOUSE, INFRA, assert_passes
from tests.source import parsed

#: What the kinds of metrics add to a name.
ENDINGS = {"count": ("_total",), "observe": ("_bucket", "_sum", "_count"), "gauge": ("",), "follow": ("",)}
#: The same by the kinds of the catalogue.
KINDS = {"count": Kind.COUNTER, "observe": Kind.HISTOGRAM, "gauge": Kind.GAUGE, "follow": Kind.GAUGE}
METRIC = re.compile(r"receiver_[a-z_]+")
SELECTOR = re.compile(r"(receiver_[a-z_]+)\{([^}]*)\}")
RULES = INFRA / "prometheus" / "rules.yml"
DASHBOARD = INFRA / "grafana" / "dashboard.json"


def calls() -> Iterator[tuple[str, str, set[str]]]:
    """Return what each call says of a metric: its method, the name without prefix and endings, the labels."""
    for path in (HOUSE / "receiver").rglob("*.py"):
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            name, owner = node.args[0], ast.unparse(node.func.value)
            if (
                node.func.attr in ENDINGS
                and owner.endswith("metrics")
                and isinstance(name, ast.Constant)
                and isinstance(name.value, str)
            ):
                yield node.func.attr, name.value, {word.arg for word in node.keywords if word.arg is not None}


def told() -> dict[str, set[str]]:
    """Return every metric that the code tells, as Prometheus sees it, with its labels."""
    found: dict[str, set[str]] = {}
    for method, name, labels in calls():
        for ending in ENDINGS[method]:
            found.setdefault(f"receiver_{name}{ending}", set()).update(labels | {"le"})
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Return every expression of the dashboard with its panel's title."""
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def asked() -> str:
    without_names = re.sub(r"^ *(- alert|runbook|summary):.*$", "", RULES.read_text("utf-8"), flags=re.MULTILINE)
    return "\n".join([without_names, *(expression for _, expression in expressions())])


def test_the_catalogue_holds_every_metric_that_is_told_with_its_kind_and_labels_and_no_other() -> None:
    said = {(name, KINDS[method], frozenset(labels)) for method, name, labels in calls()}
    assert said == {(name, measure.kind, frozenset(measure.labels)) for name, measure in CATALOGUE.items()}


def test_every_counter_that_an_alert_asks_the_increase_of_stands_at_0_from_the_start() -> None:
    names = set(re.findall(r"(?:increase|rate)\(receiver_(\w+)_total", RULES.read_text("utf-8")))
    assert names
    # Of answers there are some all the time.
    assert {name for name in names if OURS in CATALOGUE[name].labels.values()} == {"requests"}


def test_every_metric_that_is_asked_for_exists() -> None:
    names = set(METRIC.findall(re.sub(r"#.*", "", asked())))
    assert names
    assert names - told().keys() == set()


def test_every_label_that_is_asked_for_exists() -> None:
    known = told()
    selectors = SELECTOR.findall(asked())
    assert selectors
    wrong = [(name, labels) for name, labels in selectors if not set(re.findall(r"(\w+)[=!]", labels)) <= known[name]]
    assert wrong == []


def test_every_expression_of_the_dashboard_can_be_read(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, (_, expression) in enumerate(expressions())
    ]
    assert len(rules) > 10
    path = tmp_path / "dashboard-rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert_passes("promtool", "check", "rules", path)


def test_the_panels_of_the_dashboard_do_not_cover_each_other() -> None:
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_every_alert_has_its_section_in_the_runbook_and_leads_there() -> None:
    text, runbook = RULES.read_text("utf-8"), (INFRA / "runbook.md").read_text("utf-8")
    alerts = re.findall(r"- alert: (\w+)", text)
    assert re.findall(r"^### (\w+)$", runbook, flags=re.MULTILINE) == alerts
    assert re.findall(r"runbook: runbook\.md#(\w+)", text) == [alert.lower() for alert in alerts]
