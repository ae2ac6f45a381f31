"""The dashboard and how Grafana finds it; that its queries give data is shown in test_scraping.py."""

import json
from collections import Counter

from tests.deploy.configuration import COMPOSE, DASHBOARD, ROOT, panels, read

PROVISIONING = ROOT / "deploy/grafana/provisioning"
BOARD = json.loads(DASHBOARD.read_text(encoding="utf-8"))


def test_every_panel_asks_the_data_source_that_is_provisioned() -> None:
    (source,) = read(PROVISIONING / "datasources/prometheus.yml")["datasources"]
    asked = [item["datasource"] for panel in panels() for item in (panel, *panel["targets"])]
    asked += [variable["datasource"] for variable in BOARD["templating"]["list"]]
    assert all(found == {"type": source["type"], "uid": source["uid"]} for found in asked)
    assert source["url"] == "http://prometheus:9090"


def test_grafana_looks_where_the_dashboard_is_mounted() -> None:
    (provider,) = read(PROVISIONING / "dashboards/mimi.yml")["providers"]
    grafana = read(COMPOSE)["services"]["grafana"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in grafana["volumes"]
    assert "./deploy/grafana/provisioning:/etc/grafana/provisioning:ro" in grafana["volumes"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/{DASHBOARD.name}"


def test_every_panel_has_a_place_a_name_and_a_number_of_its_own() -> None:
    everything = BOARD["panels"]
    assert max(Counter(panel["id"] for panel in everything).values()) == 1
    assert max(Counter(panel["title"] for panel in everything).values()) == 1
    taken = Counter(
        (place["x"] + column, place["y"] + row)
        for place in (panel["gridPos"] for panel in everything)
        for column in range(place["w"])
        for row in range(place["h"])
    )
    assert max(taken.values()) == 1
    assert all(column < 24 for column, _ in taken)


def test_every_panel_says_what_it_counts_in() -> None:
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in panels())
