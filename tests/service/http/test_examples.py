"""The examples in the OpenAPI document are answers that the server could give."""

import pytest
from pydantic import BaseModel

from service.descriptions import TaskDetail, VersionDetail
from service.http.examples import ALIAS_BODY, EXAMPLES
from service.http.routes.feedback import CorrectionAnswer, CorrectionList
from service.schemas import (
    ALIAS_TARGET,
    AliasAnswer,
    AliasList,
    Health,
    TaskList,
    UploadAnswer,
    VersionList,
)

SHAPES: dict[str, type[BaseModel]] = {
    "correction": CorrectionAnswer,
    "corrections": CorrectionList,
    "tasks": TaskList,
    "alive": Health,
    "ready": Health,
    "upload": UploadAnswer,
    "upload_known": UploadAnswer,
    "task": TaskDetail,
    "versions": VersionList,
    "version": VersionDetail,
    "aliases": AliasList,
    "alias": AliasAnswer,
    "rollback": AliasAnswer,
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_fits_its_shape(name: str) -> None:
    SHAPES[name].model_validate(EXAMPLES[name])


def test_the_examples_of_a_target_are_targets() -> None:
    for example in ALIAS_BODY["content"]["application/json"]["examples"].values():
        ALIAS_TARGET.validate_python(example["value"])
