"""Every class of errors has a title of its own, also if Python drops docstrings."""

import inspect
from collections.abc import Iterator

import pytest

from backbone import errors as backbone
from backbone.kernels import errors as kernels
from service.engine import errors as engine


def classes() -> Iterator[type[Exception]]:
    for module in (engine, backbone, kernels):
        for _, found in inspect.getmembers(module, inspect.isclass):
            if found.__module__ == module.__name__ and issubclass(found, Exception):
                yield found


@pytest.mark.parametrize("kind", list(classes()), ids=lambda kind: kind.__name__)
def test_a_title_is_a_sentence_of_its_own(kind: type[Exception]) -> None:
    title = vars(kind)["title"]
    assert title.endswith(".")
    assert title[0].isupper()
    assert [other for other in classes() if vars(other)["title"] == title] == [kind]
