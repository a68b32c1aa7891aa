"""Opened models of the service: what is compiled before the first request."""

import numpy as np

from levit.runtime.opened_model import ModelOptions
from levit.serving.served_model import ServedModel


def test_no_network_is_compiled_after_the_start(fruit, tmp_path, monkeypatch):
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path))
    served = ServedModel("fruit", ModelOptions(fruit, engine="openvino"), max_pixels=100)
    served.warm_up()
    compiled = {file for file in tmp_path.rglob("*") if file.is_file()}
    assert served.opened.engine.run(np.zeros((2, 3, 32, 32), np.float32)).shape == (2, 5)
    assert {file for file in tmp_path.rglob("*") if file.is_file()} == compiled
    served.opened.close()
