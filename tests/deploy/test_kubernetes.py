"""The Helm chart, rendered by Helm's own engine and judged by published schemas of all that it makes.

The files for KServe and llm-d name what the server has.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor
from pydantic import BaseModel

from service.process.configuration import variable
from service.settings import Settings
from tests.deploy.configuration import ROOT, read

CHART = ROOT / "deploy/helm/mimi-serving"
KUBERNETES = "1.34"
LEAST = {"store": "s3://bucket/mimi", "keys": {"secret": "mimi-keys"}}
FULL = {
    **LEAST,
    "storeCredentials": "s3-credentials",
    "imagePullSecrets": [{"name": "pull"}],
    "settings": {"follow_seconds": "0.5", "device_bytes": "8589934592", "log_format": "text"},
    "grpc": {"enabled": True},
    "gpus": 1,
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/mimi"}},
    "autoscaling": {"kind": "keda"},
    "networkPolicy": {
        "from": [{"namespaceSelector": {"matchLabels": {"name": "web"}}}],
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
    },
    "metrics": {"secret": "mimi-metrics"},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "podLabels": {"team": "vision"},
    "podAnnotations": {"a": "b"},
    "nodeSelector": {"pool": "gpu"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
}
LOCAL = {**LEAST, "store": "/var/lib/mimi/store.db", "replicas": 1, "persistence": {"claim": "store"}}
HPA = {**LEAST, "autoscaling": {"kind": "hpa", "queueRatio": 0.25}}
OPEN = {**LEAST, "networkPolicy": {"enabled": False}, "serviceAccount": {"name": "mine"}}
SETS = {"least": LEAST, "full": FULL, "local": LOCAL, "hpa": HPA, "open": OPEN}
CUSTOM: dict[str, type[BaseModel]] = {"ScaledObject": ScaledObject, "ServiceMonitor": ServiceMonitor}


@cache
def _chart() -> helm.Chart:
    return helm.Chart.load(str(CHART))


def rendered(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The documents of a release with these values, by kind."""
    texts = _chart().render(values, name="vision", namespace="web")
    found = [
        document for name, text in texts.items() if name.endswith(".yaml") for document in yaml.safe_load_all(text)
    ]
    return {document["kind"]: document for document in found if document}


def container(values: dict[str, Any]) -> dict[str, Any]:
    (found,) = rendered(values)["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("values", SETS.values(), ids=list(SETS))
def test_published_schemas_accept_everything_that_is_rendered(values: dict[str, Any]) -> None:
    for kind, document in rendered(values).items():
        if kind in CUSTOM:
            assert _unknown(document, CUSTOM[kind].model_validate(document)) == []
        else:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)


def _unknown(given: Any, read_as: Any, path: str = "") -> list[str]:  # noqa: ANN401
    """The fields of a document that a model of its kind does not have."""
    if isinstance(read_as, BaseModel) and isinstance(given, dict):
        known = {(info.alias or name): name for name, info in type(read_as).model_fields.items()}
        found = [f"{path}.{name}" for name in given if name not in known and name not in ("apiVersion", "kind")]
        for name in given.keys() & known.keys():
            found += _unknown(given[name], getattr(read_as, known[name]), f"{path}.{name}")
        return found
    if isinstance(given, list) and isinstance(read_as, list):
        return [each for pair in zip(given, read_as, strict=True) for each in _unknown(*pair, path)]
    return []


def test_the_checks_bite() -> None:
    wrong = rendered(LEAST)["Deployment"]
    wrong["spec"]["template"]["spec"]["enableServiceLink"] = False
    with pytest.raises(kubernetes_validate.ValidationError, match="enableServiceLink"):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)
    scaled = rendered(FULL)["ScaledObject"]
    scaled["spec"]["maxReplicas"] = 3
    assert _unknown(scaled, ScaledObject.model_validate(scaled)) == [".spec.maxReplicas"]


@pytest.mark.parametrize("values", SETS.values(), ids=list(SETS))
def test_helm_finds_nothing_to_say(values: dict[str, Any]) -> None:
    found = helm.lint(str(CHART), values, strict=True)
    assert [each["error"] for each in found["messages"]] == ["icon is recommended"]


def test_kinds_are_made_when_they_are_asked_for() -> None:
    always = {"Deployment", "Service", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"}
    assert rendered(LEAST).keys() == always
    assert rendered(FULL).keys() == always | {"ScaledObject", "ServiceMonitor"}
    assert rendered(HPA).keys() == always | {"HorizontalPodAutoscaler"}
    assert rendered(OPEN).keys() == always - {"ServiceAccount", "NetworkPolicy"}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({**LOCAL, "replicas": 2}, "store must be the URL of an object store"),
        ({**LOCAL, "autoscaling": {"kind": "keda"}}, "store must be the URL of an object store"),
        ({**LEAST, "serviceMonitor": {"enabled": True}}, "serviceMonitor needs metrics.secret"),
        ({"keys": {"secret": "x"}}, "store"),
        ({"store": "s3://bucket/mimi"}, "keys"),
        ({**LEAST, "replica": 3}, "replica"),
        ({**LEAST, "settings": {"device_bytes": 8589934592}}, "settings"),  # Helm would write 8.589934592e+09
    ],
)
def test_values_that_cannot_work_are_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(helm.HelmError, match=reason):
        rendered(values)


@pytest.mark.parametrize("values", [LEAST, FULL], ids=["least", "full"])
def test_pods_have_no_rights_that_they_do_not_need(values: dict[str, Any]) -> None:
    pod, server = rendered(values)["Deployment"]["spec"]["template"]["spec"], container(values)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert server["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {each["topologyKey"] for each in pod["topologySpreadConstraints"]} == {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    }


def test_a_pod_has_time_for_notice_and_drain() -> None:
    values = {**LEAST, "noticeSeconds": 7.5, "drainSeconds": 20}
    assert rendered(values)["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 38


@pytest.mark.parametrize("values", [LEAST, FULL, LOCAL], ids=["least", "full", "local"])
def test_the_server_takes_every_variable_of_its_container(values: dict[str, Any]) -> None:
    known = {variable(name): name for name in Settings.model_fields}
    given = {each["name"]: each["value"] for each in container(values)["env"]}
    assert given.keys() <= known.keys()
    read_as = Settings.model_validate({known[name]: value for name, value in given.items()} | {"host": "0.0.0.0"})
    assert read_as.store == values["store"]
    assert (read_as.grpc_port is not None) == values.get("grpc", {}).get("enabled", False)


def test_gpus_are_limits_of_the_container() -> None:
    assert container(FULL)["resources"]["limits"] == {"memory": "8Gi", "nvidia.com/gpu": 1}
    assert container(LEAST)["resources"]["limits"] == {"memory": "8Gi"}


def _own_names(text: str) -> set[str]:
    return set(re.findall(r"\bmimi_[a-z_]+", text)) - {"mimi_queue_ratio"}


SCALERS = (
    "helm/mimi-serving/templates/autoscaling.yaml",
    "kserve/inference-service.yaml",
    "llm-d/endpoint-picker.yaml",
)


@pytest.mark.parametrize("file", SCALERS)
def test_metrics_that_decide_exist(file: str) -> None:
    source = "".join(path.read_text() for path in (ROOT / "service/metrics").glob("*.py"))
    names = _own_names((ROOT / "deploy" / file).read_text())
    assert names
    assert all(f'"{name}"' in source for name in names)


def test_kserves_runtime_and_service_belong_together() -> None:
    runtime = read(ROOT / "deploy/kserve/serving-runtime.yaml")
    service = read(ROOT / "deploy/kserve/inference-service.yaml")
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"]["name"] in {each["name"] for each in runtime["spec"]["supportedModelFormats"]}
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    (server,) = runtime["spec"]["containers"]
    assert server["name"] == "kserve-container"
    variables = [each["name"] for each in (*server["env"], *model["env"]) if each["name"].startswith("MIMI_")]
    assert set(variables) <= {variable(name) for name in Settings.model_fields}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}
    spec = {"containers": runtime["spec"]["containers"], "volumes": runtime["spec"]["volumes"]}
    kubernetes_validate.validate({**pod, "spec": spec}, KUBERNETES, strict=True)


def test_llm_ds_picker_uses_only_plugins_that_it_declares() -> None:
    picker = read(ROOT / "deploy/llm-d/endpoint-picker.yaml")
    declared = {each["type"] for each in picker["plugins"]}
    used = set(re.findall(r"pluginRef: ([a-z-]+)", Path(ROOT / "deploy/llm-d/endpoint-picker.yaml").read_text()))
    assert used == declared
