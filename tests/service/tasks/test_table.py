"""Contents are counted entry by entry, and the result is always that of counting the whole table."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from adapters_store import VersionInfo
from service.tasks.table import AliasTarget, Content, ContentReferences, TaskEntry, TaskVersion

CONTENTS = st.sampled_from(["one", "two", "three", "four"])


def info(number: int, sha256: str) -> VersionInfo:
    return VersionInfo(number, sha256, 1, 0.0, "a blob")


@st.composite
def entries(draw: st.DrawFn) -> TaskEntry:
    """Versions, some of equal content, and aliases that point at some of them, some of them split."""
    contents = draw(st.lists(CONTENTS, max_size=3))
    versions = {number: info(number, sha256) for number, sha256 in enumerate(contents, start=1)}
    splits = draw(st.lists(st.lists(st.sampled_from(sorted(versions)), unique=True), max_size=2)) if versions else []
    named = {n: TaskVersion("a task", info, Content(info.sha256)) for n, info in versions.items()}
    targets = {f"alias-{i}": AliasTarget(tuple((named[n], 1) for n in split)) for i, split in enumerate(splits)}
    return TaskEntry(0, targets, versions)


def aliased(table: Mapping[str, TaskEntry]) -> set[str]:
    return {named.info.sha256 for entry in table.values() for named in entry.aliased()}


def versions(table: Mapping[str, TaskEntry]) -> set[str]:
    return {its.sha256 for entry in table.values() for its in entry.versions.values()}


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.none() | entries(), max_size=3), max_size=5))
def test_it_counts_as_the_whole_table_would(changes: list[dict[str, TaskEntry | None]]) -> None:
    table: dict[str, TaskEntry] = {}
    references = ContentReferences()
    for change in changes:
        before = dict(table)
        table = {name: entry for name, entry in {**table, **change}.items() if entry is not None}
        replaced = [before[name] for name in change if name in before]
        lost = references.replace(replaced, [entry for entry in change.values() if entry is not None])
        assert lost == (aliased(before) - aliased(table)) | (versions(before) - versions(table))
        for sha256 in ("one", "two", "three", "four"):
            assert references.aliased(sha256) == (sha256 in aliased(table))
            assert references.named(sha256) == (sha256 in versions(table))
