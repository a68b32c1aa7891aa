"""The command `levit serve` until it starts the service, and what it prints then."""

import sys

import pytest

from levit.runtime.opened_model import ModelOptions
from levit.serving.options import ServiceOptions
from levit.serving.served_model import NamedModel

for package in ("fastapi", "httptools", "prometheus_client", "python_multipart", "uvicorn"):
    pytest.importorskip(package)


@pytest.fixture
def services(monkeypatch) -> list[tuple[list[NamedModel], ServiceOptions]]:
    """Models and options of the services that are started; each of them is ready, and ends at once."""
    services = []

    def serve(models, options, *, on_ready):
        services.append((models, options))
        on_ready("http://127.0.0.1:8000")

    monkeypatch.setattr("levit.serving.server.serve", serve)
    return services


def test_each_option_reaches_the_service_or_its_models(console, services, tmp_path):
    (tmp_path / "keys.txt").write_text("correct horse\n")
    of_service = "--host ::1 --port 9 --timeout 1 --drain 2 --queue 3 --max-body 4 --max-pixels 5 --threads 6"
    of_models = "--engine onnxruntime --precision fp32 --provider cpu --revision v1"
    lists = ["--cors", "https://a.example", "--cors", "https://b.example", "--api-keys", tmp_path / "keys.txt"]
    assert console("serve", "a=a.onnx", "-", *of_service.split(), *of_models.split(), *lists).code == 0
    ((models, options),) = services
    assert options == ServiceOptions(
        host="::1", port=9, timeout=1, drain=2, capacity=3, max_body=4_000_000, max_pixels=5, threads=6,
        origins=("https://a.example", "https://b.example"), api_keys=("correct horse",),
    )  # fmt: skip
    given = {"engine": "onnxruntime", "precision": "fp32", "threads": 6, "provider": "cpu", "revision": "v1"}
    assert [model.options for model in models] == [ModelOptions(model, **given) for model in ("a.onnx", None)]
    assert models[0].name == "a"


def test_a_line_names_the_address_and_the_models(console, services):
    result = console("serve", "a=a.onnx", "b=b.onnx")
    line = "http://127.0.0.1:8000 serving a, b (docs: http://127.0.0.1:8000/docs; stop with Ctrl-C)\n"
    assert (result.code, result.out, result.err) == (0, line, "")


@pytest.mark.parametrize("package", ["fastapi", "httptools", "prometheus_client", "python_multipart", "uvicorn"])
def test_a_missing_package_is_one_line_with_the_extra(console, services, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    result = console("serve")
    assert (result.code, result.out) == (2, "")
    assert result.err == f'levit: levit serve needs {package}: pip install "levit[serve]"\n'
    assert services == []
