"""The client needs neither the engine nor the server."""

import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from tests.service.live import Live, encode, picture

ROOT = Path(__file__).parents[3]

FORBIDDEN = ("torch", "torchvision", "timm", "numpy", "PIL", "fastapi", "starlette", "uvicorn", "safetensors")


def test_the_client_is_imported_without_what_only_servers_need() -> None:
    code = f"""
import sys
import service.client
found = [name for name in {FORBIDDEN} if name in sys.modules]
own = [name for name in sys.modules if name.partition('.')[0] in ('backbone', 'adapters_store', 'training', 'mimi')]
sys.exit(', '.join(found + own) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


ALLOWED = (
    *("httpx2", "httpcore2", "h11", "idna", "anyio", "sniffio", "truststore", "certifi", "pydantic", "pydantic_core"),
    *("annotated_types", "typing_extensions", "typing_inspection", "service"),
)

ASK = """
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names and not top.startswith("_"):
            raise ImportError(f"{top} is not installed here")
        return None

ALLOWED = set(sys.argv[2].split())
sys.meta_path.insert(0, Blocked())
from service.client import Client
with Client(sys.argv[1]) as client:
    answer = client.predict("cats", Path(sys.argv[3]), top_k=1)
    print(answer.task, answer.version, len(client.tasks().tasks) > 0)
for name in ("torch", "numpy", "fastapi"):
    try:
        __import__(name)
    except ImportError:
        continue
    sys.exit(f"{name} was not blocked")
"""


def test_the_client_predicts_where_only_its_extra_is_installed(live: Live, tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(encode(picture(1)))
    command = [sys.executable, "-c", ASK, str(live.client.base_url), " ".join(ALLOWED), str(tmp_path / "image.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr, done.returncode) == (["cats", "1", "True"], "", 0)


def test_the_extra_is_httpx_and_pydantic_and_every_other_extra_brings_the_rest() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    client = [*project["dependencies"], *extras["client"]]
    assert sorted(Requirement(text).name for text in client) == ["httpx2", "pydantic"]
    for name, texts in extras.items():
        assert name in ("client", "full") or "mimi-serving[full]" in texts
    assert {"torch", "fastapi", "typer", "numpy"} <= {Requirement(text).name for text in extras["full"]}
