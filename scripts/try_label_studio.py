"""Asks an ML backend what Label Studio asks, and lets Label Studio's own SDK judge the answers.

Run by `try_label_studio.sh`, in an environment that has label-studio-sdk and none of our packages.
"""

import base64
import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

from label_studio_sdk.label_interface import LabelInterface  # type: ignore[import-not-found] # in its own environment

CONFIG = f"""<View>
  <Image name="image" value="$image"/>
  <Choices name="digit" toName="image">{"".join(f'<Choice value="{digit}"/>' for digit in range(10))}</Choices>
</View>"""


def main(address: str, image: Path) -> None:
    """Set up, predict, annotate; raises where the SDK or the backend refuses."""
    interface = LabelInterface(CONFIG)
    interface.validate()
    data = {"image": "data:image/png;base64," + base64.b64encode(image.read_bytes()).decode()}
    interface.validate_task({"data": data})
    setup = post(f"{address}/setup", {"project": "1.1700000000", "schema": CONFIG})
    asked = {"tasks": [{"id": 1, "data": data}], "project": "1.1700000000", "label_config": CONFIG, "params": {}}
    (found,) = post(f"{address}/predict", asked)["results"]
    check(interface.validate_prediction(found), f"the SDK refuses the prediction {found}")
    check(found["result"][0]["value"]["choices"] == ["3"], f"{image} is a three, not {found}")
    annotation = {"id": 1, "result": found["result"], "was_cancelled": False}
    check(interface.validate_annotation(annotation), f"the SDK refuses the annotation {annotation}")
    event = {"action": "ANNOTATION_CREATED", "annotation": annotation, "task": {"id": 1, "data": data}}
    made = post(f"{address}/webhook", {**event, "project": {"id": 1, "label_config": CONFIG}})
    check(made == {"status": "ok", "result": {"labels": ["3"]}}, f"the annotation became {made}")
    print(f"label-studio-sdk accepts the answers of {setup['model_version']}")


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """The JSON answer to a JSON body."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def check(holds: bool, text: str) -> None:
    """End with `text` unless it holds."""
    if not holds:
        sys.exit(text)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
