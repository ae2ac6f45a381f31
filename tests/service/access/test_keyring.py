"""The keys in force: of the settings and of a file that is read again when it changes, whole or not at all."""

import asyncio
from pathlib import Path

import pytest

from service.access.keyring import Keyring, _bytes
from service.access.keys import Scope, digest_of
from service.errors import Forbidden, SettingsError, Unauthorized
from service.settings import Settings
from tests.service.live import PATIENCE

pytestmark = pytest.mark.anyio

PREDICT, MANAGE, NEW = "predict-key-0123456789", "manage-key-0123456789", "rotated-key-0123456789"


def write(path: Path, *keys: tuple[str, str, str]) -> None:
    """A keys file: name, kind and key of each."""
    entries = (f'[[keys]]\nname = "{n}"\nkind = "{kind}"\nsha256 = "{digest_of(k).hex()}"\n' for n, kind, k in keys)
    path.write_text("\n".join(entries), encoding="utf-8")


def opens(keyring: Keyring, key: str, scope: Scope = Scope.PREDICT) -> bool:
    try:
        with keyring.admitted(key, scope):
            return True
    except (Unauthorized, Forbidden):
        return False


def settings(**given: object) -> Settings:
    return Settings.model_validate({"keys_seconds": 0.005, **given})


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Grows with every look at the file."""
    looks: list[Path] = []

    def read(path: Path) -> bytes:
        looks.append(path)
        return _bytes(path)

    monkeypatch.setattr("service.access.keyring._bytes", read)
    return looks


async def until_it_opens(keyring: Keyring, key: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not opens(keyring, key):
            await asyncio.sleep(0.005)


def test_without_keys_everything_is_open() -> None:
    keyring = Keyring(Settings())
    with keyring.admitted(None, Scope.MANAGE) as key:
        assert (key, keyring.needs_key) == (None, False)


def test_keys_of_settings_and_file_stand_beside_each_other(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    write(path, ("app", "predict", NEW), ("prometheus", "metrics", "metrics-key-0123456789"))
    keyring = Keyring(settings(predict_key=PREDICT, manage_key=MANAGE, keys_file=path))
    assert [opens(keyring, key) for key in (PREDICT, MANAGE, NEW)] == [True, True, True]
    assert opens(keyring, "metrics-key-0123456789", Scope.METRICS)
    assert not opens(keyring, NEW, Scope.MANAGE)


def test_json_is_told_by_the_name(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(f'{{"keys": [{{"name": "a", "kind": "predict", "key": "{NEW}"}}]}}', encoding="utf-8")
    assert opens(Keyring(settings(keys_file=path)), NEW)


@pytest.mark.parametrize("content", [None, "", "keys = []", "nonsense"])
def test_a_server_does_not_start_over_a_file_that_is_not_sound(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "keys.toml"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError):
        Keyring(settings(keys_file=path))


def test_a_key_may_not_stand_in_both_places(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    write(path, ("app", "metrics", MANAGE))
    with pytest.raises(SettingsError, match="two keys are the same") as refused:
        Keyring(settings(predict_key=PREDICT, manage_key=MANAGE, keys_file=path))
    assert MANAGE not in str(refused.value)


async def test_keys_are_rotated_while_the_server_runs(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    write(path, ("app", "predict", PREDICT))
    keyring = Keyring(settings(keys_file=path))
    following = asyncio.ensure_future(keyring.follow(0.005))
    write(path, ("app", "predict", PREDICT), ("app-2", "predict", NEW))
    await until_it_opens(keyring, NEW)
    assert opens(keyring, PREDICT)
    write(path, ("app-2", "predict", NEW))
    async with asyncio.timeout(PATIENCE):
        while opens(keyring, PREDICT):
            await asyncio.sleep(0.005)
    assert opens(keyring, NEW)
    following.cancel()


async def test_a_file_that_breaks_changes_nothing_and_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.toml"
    write(path, ("app", "predict", PREDICT))
    keyring = Keyring(settings(keys_file=path))
    looks = counted(monkeypatch)
    following = asyncio.ensure_future(keyring.follow(0.005))
    path.write_text(f'[[keys]]\nkey = "{NEW}" {MANAGE}', encoding="utf-8")
    async with asyncio.timeout(PATIENCE):
        while "not used" not in caplog.text:
            await asyncio.sleep(0.005)
        seen = len(looks)
        while len(looks) < seen + 5:
            await asyncio.sleep(0.005)
    assert caplog.text.count("not used") == 1
    assert opens(keyring, PREDICT)
    path.unlink()
    async with asyncio.timeout(PATIENCE):
        while "No such file" not in caplog.text:
            await asyncio.sleep(0.005)
    assert opens(keyring, PREDICT)
    write(path, ("app", "predict", NEW))
    await until_it_opens(keyring, NEW)
    assert not any(key in caplog.text for key in (PREDICT, MANAGE, NEW))
    following.cancel()


async def test_a_failure_nobody_thought_of_does_not_end_the_following(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.toml"
    write(path, ("app", "predict", PREDICT))
    keyring = Keyring(settings(keys_file=path))
    with monkeypatch.context() as patched:
        patched.setattr("service.access.keyring._bytes", lambda _: 1 / 0)
        following = asyncio.ensure_future(keyring.follow(0.005))
        async with asyncio.timeout(PATIENCE):
            while "ZeroDivisionError" not in caplog.text:
                await asyncio.sleep(0.005)
    write(path, ("app", "predict", NEW))
    await until_it_opens(keyring, NEW)
    following.cancel()
