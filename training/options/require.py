"""One sentence for every option that could not train."""


def require(condition: bool, name: str, value: object, rule: str) -> None:
    """Refuse an option that breaks its rule.

    Raises:
        ValueError: naming the option and its value.
    """
    if not condition:
        raise ValueError(f"{name} must be {rule}, not {value}")
