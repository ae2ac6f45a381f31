"""Settings are read from MIMI_ variables, and refused if they are unknown, out of range, or unsafe."""

import pytest

from service.errors import SettingsError
from service.process.configuration import load
from service.settings import Settings, is_loopback

KEYS = {"MIMI_PREDICT_KEY": "p" * 16, "MIMI_MANAGE_KEY": "m" * 16}


def test_nothing_set_serves_on_loopback_with_the_documented_limits() -> None:
    settings = load({})
    assert (settings.host, settings.port, settings.store) == ("127.0.0.1", 8000, "./var/store.db")
    assert (settings.image_bytes, settings.adapter_bytes) == (10 * 2**20, 32 * 2**20)
    assert (settings.queue_images, settings.request_seconds, settings.drain_seconds) == (256, 5.0, 30.0)


def test_the_environment_is_read_and_overrides_win() -> None:
    settings = load({"MIMI_PORT": "9000", "MIMI_QUEUE_IMAGES": "32", "HOME": "/"}, {"port": 9001, "backbone": None})
    assert (settings.port, settings.queue_images, settings.backbone) == (9001, 32, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MIMI_PROT", "1"),
        ("MIMI_PORT", "65536"),
        ("MIMI_PORT", "x"),
        ("MIMI_BODY_SECONDS", "inf"),
        ("MIMI_HEADERS", "0"),
    ],
)
def test_an_unknown_name_or_a_value_out_of_range_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name.removeprefix("MIMI_").lower()):
        load({name: value})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.org", ""])
def test_a_host_beyond_loopback_needs_keys(host: str) -> None:
    with pytest.raises(SettingsError, match="needs keys"):
        load({}, {"host": host})
    assert load(KEYS, {"host": host}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_keys(host: str) -> None:
    assert is_loopback(host)
    assert load({"MIMI_HOST": host}).predict_key is None


@pytest.mark.parametrize(
    "keys",
    [
        {"MIMI_PREDICT_KEY": "p" * 16},
        {**KEYS, "MIMI_MANAGE_KEY": "p" * 16},
        {**KEYS, "MIMI_METRICS_KEY": "p" * 16},
        {**KEYS, "MIMI_MANAGE_KEY": "short"},
        {**KEYS, "MIMI_MANAGE_KEY": "pppp pppp pppp pppp"},
        {"MIMI_METRICS_KEY": "p" * 16},
    ],
)
def test_keys_come_in_pairs_differ_and_are_long(keys: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as refused:
        load(keys)
    assert "pppp" not in str(refused.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"cors_origins": "*"},
        {"cors_origins": "pages.example"},
        {"cors_origins": "https://pages.example/"},
        {"cors_origins": "https://Pages.example"},
        {"allowed_hosts": "mimi.example:8000"},
        {"allowed_hosts": "a b"},
        {"allowed_hosts": "*"},
    ],
)
def test_pages_and_hosts_are_named_exactly(settings: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        load({}, settings)


def test_lists_are_words_between_commas() -> None:
    given = {"MIMI_ALLOWED_HOSTS": "a.example, b.example,", "MIMI_CORS_ORIGINS": "http://[::1]:3000"}
    settings = load(given)
    assert (settings.allowed_hosts, settings.cors_origins) == (("a.example", "b.example"), ("http://[::1]:3000",))


def test_a_keys_file_is_as_good_as_keys_and_may_stand_beside_one_of_them() -> None:
    assert load({"MIMI_HOST": "0.0.0.0", "MIMI_KEYS_FILE": "keys.toml"}).needs_key
    assert load({"MIMI_KEYS_FILE": "keys.toml", "MIMI_PREDICT_KEY": "p" * 16}).manage_key is None


def test_made_directly_settings_look_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMI_PORT", "9")
    assert Settings().port == 8000


def test_keys_never_show(capsys: pytest.CaptureFixture[str]) -> None:
    print(load(KEYS))
    assert "pppp" not in capsys.readouterr().out


def test_one_request_can_never_be_larger_than_the_lines_it_waits_in() -> None:
    with pytest.raises(ValueError, match="images_per_request"):
        Settings(images_per_request=300)
