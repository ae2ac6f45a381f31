"""Lists in pages: a cursor names the last entry of a page, so that it stays valid while entries come and go.

Also what every document of the API has in common on its way out: an entity tag, and 304 for those who have it.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import urlencode

from fastapi import Request, Response
from pydantic import BaseModel

from service.errors import InvalidRequest
from service.schemas import TASK_PATTERN, ListOptions
from service.tasks.conditions import fresh

_TASK = re.compile(TASK_PATTERN)
_VERSION = re.compile(r"[1-9][0-9]{0,15}")
_TAG_LETTERS = 32  # of SHA-256 in hex
_CACHED = {"Cache-Control": "private, no-cache"}  # kept, and asked for again each time


class Page(NamedTuple):
    """Some entries of a list, and the cursor of the page behind them; None: there is none."""

    entries: list[str]
    next: str | None


def page_of_tasks(names: Iterable[str], asked: ListOptions) -> Page:
    """A page of names in alphabetical order.

    Raises:
        InvalidRequest: the cursor is none of this list.
    """
    after = _last(asked.cursor, _TASK) if asked.cursor else ""
    found = sorted(name for name in names if name > after and name.startswith(asked.prefix))
    return _page(found, asked.limit)


def page_of_versions(numbers: Iterable[int], asked: ListOptions) -> Page:
    """A page of version numbers, newest first.

    Raises:
        InvalidRequest: the cursor is none of this list.
    """
    before = int(_last(asked.cursor, _VERSION)) if asked.cursor else None
    found = sorted((n for n in numbers if before is None or n < before), reverse=True)
    return _page([str(n) for n in found], asked.limit)


def _page(found: list[str], limit: int) -> Page:
    entries = found[:limit]
    return Page(entries, _cursor(entries[-1]) if len(found) > limit else None)


def _cursor(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")


def _last(cursor: str, expected: re.Pattern[str]) -> str:
    """The entry that a cursor names; it need not be in the list any more."""
    try:
        last = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        last = ""
    if not expected.fullmatch(last):
        raise InvalidRequest("cursor: give `next` of the page before, as it is")
    return last


def link_to(request: Request, cursor: str | None) -> dict[str, str]:
    """The header that leads to the next page (RFC 8288): this address with another cursor; empty on the last page."""
    if cursor is None:
        return {}
    rest = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return {"Link": f'<?{urlencode([*rest, ("cursor", cursor)])}>; rel="next"'}


def document(
    request: Request, answer: BaseModel, *, tag: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    """A document with its entity tag, which is made of its bytes unless one is given; 304 where the client has it.

    Raises:
        MalformedHeader: If-None-Match is no list of entity tags.
    """
    data = answer.model_dump_json().encode()
    tag = tag or f'"{sha256(data).hexdigest()[:_TAG_LETTERS]}"'
    headers = {"ETag": tag, **_CACHED, **(headers or {})}
    if fresh(request.headers.getlist("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    return Response(data, headers=headers, media_type="application/json")
