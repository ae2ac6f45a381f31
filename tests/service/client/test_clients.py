"""Both clients against a real server: every method, once at least."""

from hashlib import sha256
from itertools import count

import pytest
from PIL import Image

from service.client import Client, Conflict, Forbidden, InvalidRequest, NotConnected, NotFound, Unauthorized
from tests.service.client.conftest import PREDICT
from tests.service.live import encode, picture

pytestmark = pytest.mark.timeout(400)  # the server imports torch, which takes its time on a busy machine

PNG, JPEG = encode(picture(1)), encode(picture(2), "JPEG")
_numbers = count()


@pytest.fixture
def task(client: Client, adapter: bytes) -> str:
    """A task of its own, with one version."""
    name = f"own-{next(_numbers)}"
    client.upload(name, adapter)
    return name


def test_the_server_is_there(client: Client) -> None:
    assert client.live()
    assert client.ready()
    assert {"digits", "digits-parity"} <= {entry.task for entry in client.tasks().tasks if entry.ready}


def test_one_image_is_answered_and_several_in_their_order(client: Client) -> None:
    one = client.predict("digits", PNG, top_k=2)
    assert (one.task, one.version) == ("digits", 1)
    assert [len(result.predictions or ()) for result in one.results] == [2]
    several = client.predict("digits", [JPEG, PNG, Image.fromarray(picture(1))], top_k=2)
    best = [[each.label for each in result.predictions or ()] for result in [*several.results, *one.results]]
    assert best[1] == best[2] == best[3]
    assert len(several.results) == 3


def test_a_threshold_takes_the_place_of_those_in_the_file(client: Client) -> None:
    (everything,) = client.predict("digits", PNG, threshold=0.0).results
    assert everything.labels == [label.label for label in everything.predictions or ()][:1]
    assert client.predict("digits", PNG, threshold=1.0).results[0].labels == []
    many = client.predict_many(["digits", "cifar10"], [PNG, JPEG], threshold=1.0)
    assert [result.labels for answer in many.answers for result in answer.results] == [[]] * 4
    with pytest.raises(InvalidRequest, match="threshold"):
        client.predict("digits", PNG, threshold=1.5)


def test_logits_and_features_are_answered_instead(client: Client) -> None:
    (logits,) = client.predict("digits", PNG, output="logits").results
    (features,) = client.predict("digits", PNG, output="features", at=1).results
    assert (logits.predictions, logits.features, len(logits.logits or ())) == (None, None, 10)
    assert (features.logits, len(features.features or ()) > 10) == (None, True)


def test_a_version_or_an_alias_answers(client: Client, task: str) -> None:
    client.set_alias(task, "spare", 1)
    answers = [
        client.predict(task, PNG, at=1),
        client.predict(task, PNG, at="spare"),
        client.predict(task, PNG),
    ]
    assert {answer.sha256 for answer in answers} == {answers[0].sha256}
    with pytest.raises(NotFound):
        client.predict(task, PNG, at=9)
    with pytest.raises(NotFound):
        client.predict(task, PNG, at="nowhere")


def test_many_tasks_answer_about_the_same_images(client: Client) -> None:
    two = client.predict_many(["digits", "cifar10"], [PNG, JPEG], top_k=1, output="probabilities")
    assert [answer.task for answer in two.answers] == ["digits", "cifar10"]
    assert all(len(answer.results) == 2 for answer in two.answers)
    assert {"digits", "gtsrb"} <= {answer.task for answer in client.predict_many("all", PNG).answers}


def test_an_upload_is_checked_published_and_known_again(client: Client, adapter: bytes) -> None:
    name, digest = f"fresh-{next(_numbers)}", sha256(adapter).hexdigest()
    dry = client.upload(name, adapter, dry_run=True)
    assert (dry.dry_run, dry.created, dry.sha256) == (True, True, digest)
    with pytest.raises(NotFound):
        client.task(name)
    done = client.upload(name, adapter, activate=False, sha256=digest, generation=0)
    assert (done.created, done.active, done.version) == (True, False, 1)
    assert {check.name: check.outcome for check in done.checks}["checksum"] == "passed"
    with pytest.raises(Conflict) as caught:
        client.upload(name, adapter, generation=0)
    assert caught.value.problem.code == "stale_generation"
    assert not client.upload(name, adapter).created
    client.delete_task(name, generation=client.task(name).generation)
    with pytest.raises(NotFound):
        client.task(name)


def test_what_is_no_task_adapter_is_refused(client: Client) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.upload("pets", b"no task adapter, by far")
    assert caught.value.problem.status in (415, 422)


def test_a_task_and_its_versions_are_described_and_downloaded(client: Client, task: str, adapter: bytes) -> None:
    described = client.task(task)
    assert (described.version, described.labels) == (1, [str(digit) for digit in range(10)])
    again = client.describe(task, "digits, as on cheques", generation=described.generation)
    assert (again.description, again.generation > described.generation) == ("digits, as on cheques", True)
    with pytest.raises(Conflict):
        client.describe(task, "", generation=described.generation)
    assert client.describe(task, "").description == described.description
    (listed,) = client.versions(task).versions
    assert (listed.version, listed.bytes, listed.aliases) == (1, len(adapter), ["live"])
    assert client.version(task, 1).provenance == described.provenance
    assert client.download(task, 1) == adapter


def test_aliases_move_split_return_and_go_and_so_do_versions(client: Client, task: str, adapter: bytes) -> None:
    other = client.download("digits-parity", 1)
    assert client.upload(task, other).version == 2
    canary = client.set_alias(task, "live", {1: 3, 2: 1}, generation=client.task(task).generation)
    assert canary.weights == {"1": 0.75, "2": 0.25}
    assert client.alias(task, "live") == canary
    assert client.rollback(task, generation=canary.generation).weights == {"2": 1.0}
    with pytest.raises(Conflict):
        client.rollback(task, generation=canary.generation)
    with pytest.raises(Conflict):
        client.delete_version(task, 2)
    client.set_alias(task, "old", 1)
    assert [entry.alias for entry in client.aliases(task).aliases] == ["live", "old"]
    generation = client.delete_alias(task, "old", generation=client.aliases(task).generation)
    assert client.delete_version(task, 1, generation=generation) == client.versions(task).generation
    assert [entry.version for entry in client.versions(task).versions] == [2]


def test_a_key_may_do_what_it_is_for(address: str, adapter: bytes) -> None:
    with Client(address) as nobody, Client(address, key=PREDICT) as somebody:
        assert nobody.ready()
        with pytest.raises(Unauthorized):
            nobody.tasks()
        assert somebody.predict("digits", PNG).task == "digits"
        with pytest.raises(Forbidden):
            somebody.upload("pets", adapter)


def test_a_server_that_is_not_there_is_named() -> None:
    with Client("http://127.0.0.1:9") as client:
        assert not client.ready()
        with pytest.raises(NotConnected, match=r"http://127\.0\.0\.1:9") as caught:
            client.tasks()
    assert caught.value.attempts == 4
