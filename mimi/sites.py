"""The neurons at each site of a task as bars: one line for each site, removed ones visible, the bare trunk marked."""

from collections.abc import Sequence

from mimi.terminal import CYAN, DIM, bar, styled, width

_BESIDE = 32  # columns beside the bars


def neurons_chart(widths: Sequence[int], initial: Sequence[int]) -> str:
    """One line for each site: its number, a bar, neurons kept of those at the start.

    Args:
        widths: neurons at each site; 0: removed.
        initial: neurons before pruning.
    """
    most, columns = max([*widths, 1]), max(8, width() - _BESIDE)
    first = next((site for site, count in enumerate(widths) if count), len(widths))
    lines = []
    for site, (count, before) in enumerate(zip(widths, initial, strict=True)):
        place = "trunk" if site < first else ""
        if not count:
            lines.append(styled(f"{place:5} {site:4}  ·  removed (0 of {before})", DIM))
            continue
        drawn = bar(count, most, columns)
        lines.append(f"{place:5} {site:4}  {styled(drawn, CYAN)} {count} of {before}")
    return "\n".join(lines)


def trunk_note(widths: Sequence[int]) -> str:
    """One sentence about the part that tasks share."""
    live = [site for site, count in enumerate(widths) if count]
    if not live:
        return "all sites are bare: the whole network is shared with other tasks"
    if not live[0]:
        return "no trunk: the first site is live, so nothing is shared with other tasks"
    return f"trunk: sites 0 to {live[0] - 1} are bare and shared with other tasks; the first live site is {live[0]}"
