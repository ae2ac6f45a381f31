"""Sources of settings: options, then variables, then the file, then defaults; unknown names are refused."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import SettingsError
from service.process.configuration import load, option, read, variable
from service.settings import Settings
from tests.service.hostile import quick


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mimi.toml"


def test_options_win_over_variables_over_the_file_over_defaults(file: Path) -> None:
    file.write_text('port = 1\nheaders = 11\nconnections = 111\nallowed_hosts = ["a.example"]', encoding="utf-8")
    found = read({"MIMI_PORT": "2", "MIMI_HEADERS": "22"}, {"port": "3", "store": None}, file)
    settings = found.settings
    assert (settings.port, settings.headers, settings.connections) == (3, 22, 111)
    assert settings.allowed_hosts == ("a.example",)
    origins = [found.origin(name) for name in ("port", "headers", "connections", "store")]
    assert origins == ["--port", "MIMI_HEADERS", str(file), "default"]


def test_a_variable_may_name_the_file_and_an_option_names_another(file: Path) -> None:
    other = file.with_name("other.toml")
    file.write_text("port = 1", encoding="utf-8")
    other.write_text("port = 2", encoding="utf-8")
    assert load({"MIMI_CONFIG": str(file)}).port == 1
    assert read({"MIMI_CONFIG": str(file)}, None, other).settings.port == 2


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_a_variable_an_option_and_a_place_in_the_help(name: str) -> None:
    field = Settings.model_fields[name]
    assert (variable(name), option(name)) == (f"MIMI_{name.upper()}", "--" + name.replace("_", "-"))
    assert field.description


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "prot: there is no such setting ({}); the nearest is port (MIMI_PORT)"),
        ("[server]\nport = 1", "server: there is no such setting ({})"),
        ('"p\\u0007" = 1', "'p\\x07': there is no such setting ({})"),
        ("port = 70000", "port: Input should be less than or equal to 65535 ({})"),
        ("port = \n", "{}: not TOML, at line 1, column 8"),
        ("port = 1\nport = 2\n", "{}: not TOML, at line 2"),
        ("port = " + "[" * 50_000, "{}: not TOML, "),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_name(file: Path, text: str, said: str) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        read({}, None, file)
    assert said.format(file) in str(refused.value)


def test_a_file_that_is_none_is_refused(tmp_path: Path, file: Path) -> None:
    file.write_bytes(b"\xff")
    for path, said in ((tmp_path, "not a plain file"), (tmp_path / "no", "No such file"), (file, "not UTF-8")):
        with pytest.raises(SettingsError, match=said):
            read({}, None, path)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("MIMI_PROT", "MIMI_PORT"),
        ("MIMI_IMAGEBYTES", "MIMI_IMAGE_BYTES"),
        ("MIMI_port", "MIMI_PORT"),
        ("MIMI_", "MIMI"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_that_exists(name: str, nearest: str) -> None:
    with pytest.raises(SettingsError, match=rf"there is no such setting \('{name}'\); the nearest is \w+ \({nearest}"):
        load({name: "1", "HOME": "/"})


def test_everything_that_is_wrong_is_told_at_once_and_no_value(file: Path) -> None:
    file.write_text('predict_key = "sesame"\nqueue_images = "sesame"', encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        read({"MIMI_PORT": "sesame", "MIMI_MANAGE_KEY": "sesame"}, {"headers": "sesame"}, file)
    text = str(refused.value)
    assert all(name in text for name in ("predict_key", "manage_key", "queue_images", "MIMI_PORT", "--headers"))
    assert "sesame" not in text


KUBERNETES = {  # for a service called mimi, and for one called mimi-web, as the kubelet sets them
    "MIMI_SERVICE_HOST": "10.0.0.1",
    "MIMI_SERVICE_PORT": "80",
    "MIMI_SERVICE_PORT_HTTP": "80",
    "MIMI_PORT": "tcp://10.0.0.1:80",
    "MIMI_PORT_80_TCP": "tcp://10.0.0.1:80",
    "MIMI_PORT_80_TCP_PROTO": "tcp",
    "MIMI_PORT_80_TCP_PORT": "80",
    "MIMI_PORT_80_TCP_ADDR": "10.0.0.1",
    "MIMI_WEB_SERVICE_HOST": "fd00::1",
    "MIMI_WEB_SERVICE_PORT": "8000",
    "MIMI_WEB_PORT": "udp://[fd00::1]:8000",
    "MIMI_WEB_PORT_8000_UDP_ADDR": "fd00::1",
}


def test_what_kubernetes_says_of_a_service_of_our_name_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    assert load({**KUBERNETES, "MIMI_HEADERS": "22"}).port == Settings().port
    assert [record.getMessage() for record in caplog.records] == [
        "MIMI_PORT is ignored: its value describes a service's port, as Kubernetes and Docker set it"
    ]


@pytest.mark.parametrize(
    "variables",
    [
        {"MIMI_HTTP_PORT": "8000"},
        {"MIMI_SERVICE_PORT": "8000"},
        {"MIMI_SERVICE_HOST": "localhost"},
        {"MIMI_PROT": "tcp://10.0.0.1:80"},
    ],
)
def test_a_typo_that_looks_like_a_service_is_still_refused(variables: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="there is no such setting"):
        load(variables)


def test_an_empty_variable_counts_as_unset(file: Path) -> None:
    file.write_text("port = 1", encoding="utf-8")
    found = read({"MIMI_PORT": "", "MIMI_PREDICT_KEY": "", "MIMI_CONFIG": "", "MIMI_STORE": ""}, None, file)
    assert (found.settings.port, found.origin("port")) == (1, str(file))
    assert (found.settings.predict_key, found.origin("store")) == (None, "default")


@pytest.mark.parametrize("name", ["store", "weights", "kernels_folder", "keys_file"])
def test_an_empty_path_is_refused(file: Path, name: str) -> None:
    file.write_text(f'{name} = ""', encoding="utf-8")
    with pytest.raises(SettingsError, match=f"{name}: a path is empty"):
        read({}, None, file)
    with pytest.raises(SettingsError, match=f"{name}: a path is empty"):
        read({}, {name: ""})


def test_a_byte_order_mark_does_not_matter(file: Path) -> None:
    file.write_text("port = 1", encoding="utf-8-sig")
    assert read({}, None, file).settings.port == 1


KNOWN = st.sampled_from([*map(variable, Settings.model_fields), "MIMI_CONFIG", "MIMI_X"])
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@quick
@given(st.dictionaries(KNOWN, TEXTS, max_size=4))
def test_no_variable_does_more_than_be_refused(environment: dict[str, str]) -> None:
    with suppress(SettingsError):
        assert load(environment).port >= 0


@quick
@given(TEXTS | st.sampled_from(["port = 1", "port = true", "weights = 3", "store = []", "allowed_hosts = 3"]))
def test_no_file_does_more_than_be_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("config") / "mimi.toml"
    path.write_text(text, encoding="utf-8")
    with suppress(SettingsError):
        assert read({}, None, path).settings.port >= 0
