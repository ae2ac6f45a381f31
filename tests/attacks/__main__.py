"""Prints the table of all attacks, as the README has it: `python -m tests.attacks`."""

from tests.attacks.corpus import attacks


def table() -> str:
    """One line for each attack."""
    lines = ["| attack | what it tries | right answers |", "|---|---|---|"]
    return "\n".join(
        [*lines, *(f"| {each.name} | {each.tries} | {', '.join(map(str, each.statuses))} |" for each in attacks())]
    )


if __name__ == "__main__":
    print(table())
