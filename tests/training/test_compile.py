"""torch.compile: same weights, same names."""

import pytest
import torch
from safetensors.torch import load_file

from lowshot.config import build_config
from lowshot.schema import MODEL
from lowshot.training.loop import pretrain


@pytest.mark.slow
def test_compiled_towers_train_the_weights_that_are_saved(config, reader, tmp_path, monkeypatch):
    calls = []
    compiler = torch.compile

    def counting(module):
        # The tracer without the code generator: what it runs is the same, and needs no C++ compiler.
        def backend(graph, inputs):
            calls.append(len(inputs))
            return graph.forward

        return compiler(module, backend=backend)

    monkeypatch.setattr(torch, "compile", counting)
    settings = config.model_dump(mode="json")
    settings["train"] |= {"epochs": 2, "precision": "float32"}
    plain = pretrain(build_config([settings]), reader, tmp_path / "plain")
    assert not calls
    compiled = build_config([settings, {"train": {"compile": True}}])
    fast = pretrain(compiled, reader, tmp_path / "fast")
    assert calls
    ours, theirs = load_file(plain / MODEL), load_file(fast / MODEL)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-3, atol=1e-4)
