"""Shared trunks, forks, and the places of the answers."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.engine import Resident
from service.engine.planning import Plan, plan
from tests.service.engine.conftest import TASKS

Batch = list[tuple[int, int]]


def planned(residents: list[Resident], batch: Batch) -> Plan:
    return plan([residents[task] for task, _ in batch], [image for _, image in batch])


def lying(residents: list[Resident], found: Plan) -> list[tuple[Resident | None, int]]:
    """Play a plan: what lies in each place at the end (None: still the trunk), as (task, image)."""
    rows: list[tuple[Resident | None, int]] = [(None, image) for image in found.images]
    for site in range(len(residents[0].sites) + 30):
        rows = [rows[place] for place in found.forks.get(site, range(len(rows)))]
        for group in found.groups:
            if group.resident.first_site == site:
                assert all(task is None for task, _ in rows[group.rows]), "an adapted row was forked"
                rows[group.rows] = [(group.resident, image) for _, image in rows[group.rows]]
    return rows


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(st.tuples(st.integers(0, TASKS - 1), st.integers(0, 4)), min_size=1, max_size=16))
def test_every_row_ends_as_its_own_task_on_its_own_image(residents: list[Resident], batch: Batch) -> None:
    found = planned(residents, batch)
    rows = lying(residents, found)
    assert [rows[place] for place in found.places] == [(residents[task], image) for task, image in batch]
    assert len(rows) == len(set(batch))
    assert len(found.images) == len({image for _, image in batch})


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(st.tuples(st.integers(0, TASKS - 1), st.integers(0, 9)), min_size=1, max_size=16))
def test_an_adapter_acts_from_its_fork_on_and_on_its_own_slice(residents: list[Resident], batch: Batch) -> None:
    found = planned(residents, batch)
    slices = {id(weights): rows for lives in found.live.values() for weights, rows in lives}
    for group in found.groups:
        assert all(slices[id(weights)] == group.rows for weights in group.resident.sites.values())
        assert min(group.resident.sites, default=24) == group.resident.first_site


def test_rows_lie_by_first_live_site_and_then_by_task(residents: list[Resident]) -> None:
    late, early = sorted(residents[:7], key=lambda resident: -resident.first_site)[:: len(residents) - 2]
    assert early.first_site < late.first_site
    found = plan([late, early, late])
    assert found.groups == ((early, slice(0, 1)), (late, slice(1, 3)))
    assert found.images == (1, 0, 2)
    assert found.places == (1, 0, 2)


def test_different_images_are_never_moved(residents: list[Resident]) -> None:
    assert plan(residents).forks == {}
    assert plan(residents * 2).forks == {}


def test_a_row_that_is_there_twice_is_computed_once(residents: list[Resident]) -> None:
    found = planned(residents, [(3, 0), (3, 0), (3, 1), (3, 0)])
    assert found.groups == ((residents[3], slice(0, 2)),)
    assert found.places == (0, 0, 1, 0)
    assert found.forks == {}


def test_tasks_without_a_live_site_part_at_the_features(residents: list[Resident]) -> None:
    found = planned(residents, [(7, 0), (6, 0)])
    assert residents[7].first_site == 24
    assert found.forks == {residents[6].first_site: [0, 0]}


def test_a_plan_names_a_site_only_where_a_row_is_live(residents: list[Resident]) -> None:
    found = plan([residents[6], residents[7]])  # the first six sites of one are removed, all of the other
    assert set(found.live) == set(residents[6].sites)
    assert min(found.live) >= 6
