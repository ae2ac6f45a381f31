"""The client needs neither the engine nor the server."""

import subprocess
import sys

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
