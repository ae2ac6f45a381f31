"""If-Match and If-None-Match as this API means them: the entity tag of a task is its generation in quotes.

A precondition that does not hold raises StaleGeneration, here as in the store.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from adapters_store.errors import StaleGeneration
from service.errors import MalformedHeader

_TAGS = re.compile(r'\s*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*')
GZIPPED = "+gzip"  # ends the tag of a compressed answer
_GENERATION = re.compile(r"([1-9][0-9]{0,17})(?:-[0-9a-f]{8})?(?:\+gzip)?")
ANY = "*"


@dataclass(frozen=True, slots=True)
class Condition:
    """The preconditions of a change to a task; there may be none.

    Attributes:
        generations: one of these must be the task's; from If-Match with tags.
        exists: whether there must be such a task; from If-Match: * or If-None-Match: *.
    """

    generations: frozenset[int] | None = None
    exists: bool | None = None

    @property
    def given(self) -> bool:
        """Whether there is any condition."""
        return self.generations is not None or self.exists is not None

    def expected(self, task: str, actual: int) -> int | None:
        """The generation that the store must find, for a task at generation `actual` (0: there is no such task).

        Returns:
            The generation at which the change may be made; None: at any.

        Raises:
            StaleGeneration: the condition does not hold.
        """
        if self.generations is not None and actual not in self.generations:
            raise StaleGeneration(task, max(self.generations, default=0), actual)
        if self.exists is not None and self.exists != bool(actual):
            raise StaleGeneration(task, int(self.exists), actual)
        return actual if self.given else None


def tag(generation: int, *state: object) -> str:
    """The entity tag of a task at this generation; `state` is what else its document says, where it is unusual.

    Either form serves for If-Match.
    """
    if not state:
        return f'"{generation}"'
    return f'"{generation}-{sha256(repr(state).encode()).hexdigest()[:8]}"'


def parse(if_match: Sequence[str], if_none_match: Sequence[str] = ()) -> Condition:
    """The condition stated by the values of both headers.

    Raises:
        MalformedHeader: one does not follow RFC 9110, or has no meaning for this API.
    """
    wanted, unwanted = ",".join(if_match).strip(), ",".join(if_none_match).strip()
    if if_none_match and (unwanted != ANY or if_match):
        raise MalformedHeader("a change takes If-None-Match: * (create only) or If-Match, not both")
    if if_none_match:
        return Condition(exists=False)
    if not if_match:
        return Condition()
    if wanted == ANY:
        return Condition(exists=True)
    return Condition(generations=frozenset(n for n in map(_generation, tags(wanted)) if n is not None))


def tags(value: str) -> list[tuple[bool, str]]:
    """The entity tags of a header: whether each is weak, and its text.

    Raises:
        MalformedHeader: it is no list of entity tags.
    """
    found, end = [], 0
    while match := _TAGS.match(value, end):
        found.append((match[1] is not None, match[2]))
        end = match.end() + 1
        if value[match.end() : end] != ",":
            break
    if not found or end <= len(value):
        raise MalformedHeader("an entity tag stands in double quotes; several are separated by commas")
    return found


def _generation(found: tuple[bool, str]) -> int | None:
    """The generation of a strong tag; None for a weak or foreign one, which matches nothing."""
    weak, text = found
    ours = _GENERATION.fullmatch(text)
    return int(ours[1]) if ours and not weak else None


def fresh(if_none_match: Sequence[str], etag: str) -> bool:
    """Whether If-None-Match says that the client has the representation with this quoted tag, compressed or not.

    Raises:
        MalformedHeader: it is no list of entity tags.
    """
    value = ",".join(if_none_match).strip()
    return bool(value) and (value == ANY or etag in [f'"{text.removesuffix(GZIPPED)}"' for _, text in tags(value)])
