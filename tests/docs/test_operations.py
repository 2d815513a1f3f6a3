"""The page on operations names what there is."""

import re
from pathlib import Path

import yaml

from regrade import settings
from regrade.core.metrics import CATALOGUE

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
SERIES = {
    name
    for metric in CATALOGUE
    for name in (
        [f"{metric.name}_{part}" for part in ("bucket", "sum", "count")] if metric.buckets else [metric.name]
    )
}


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


def test_every_metric_is_in_the_table_as_it_is():
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line[:3] == "| `"
    ]
    told = {row[0].strip("`"): row[1:] for row in rows if row[0].startswith("`regrade_")}
    assert told == {
        metric.name: [metric.kind, ", ".join(f"`{label}`" for label in metric.labels), metric.help]
        for metric in CATALOGUE
    }


def test_every_alert_asks_for_series_that_exist():
    _, text = blocks("yaml")
    [group] = yaml.safe_load(text)["groups"]
    assert len(group["rules"]) > 5
    for rule in group["rules"]:
        assert set(rule) == {"alert", "expr", "for"}
        names = set(re.findall(r"\bregrade_\w+", rule["expr"]))
        assert names <= SERIES, rule
        assert names or rule["expr"].startswith("up{")


def test_what_it_says_to_look_at_exists():
    for name in re.findall(r"`(regrade_\w+)`", PAGE):
        assert name in SERIES | {metric.name for metric in CATALOGUE} | {"regrade_engine"}
    for name in re.findall(r"`--([a-z-]+)", PAGE):
        assert name.replace("-", "_") in settings.options()
    for name in re.findall(r"\bREGRADE_([A-Z_]+)\b", PAGE):
        assert name.lower() in settings.options() or name == "ADMIN_KEY"
