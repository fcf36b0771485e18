"""Where less than full precision must not come in: the process's own switches for TensorFloat-32.

Their effect needs a CUDA device; that they are thrown, and put back, does not.
"""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from pushforward import flows, precision
from pushforward.precision import _without_tf32, strict_precision
from pushforward.transforms import residual

# On a device that is not there: only its name is looked at.
CUDA = cast(Tensor, SimpleNamespace(device=torch.device("cuda")))

_SWITCHES = "torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision"
_SCRIPT = f"""
import torch
from types import SimpleNamespace
from pushforward.precision import strict_precision

{{set}}
before = {_SWITCHES}
for failing in (False, True):
    try:
        with strict_precision(SimpleNamespace(device=torch.device("cuda"))):
            assert "tf32" not in ({_SWITCHES}), ({_SWITCHES})
            if failing:
                raise ValueError
    except ValueError:
        pass
    assert ({_SWITCHES}) == before, (before, {_SWITCHES})
{{after}}
"""


@pytest.mark.parametrize(
    ("set_", "after"),
    [
        ("", "assert torch.backends.cudnn.allow_tf32"),
        ("torch.set_float32_matmul_precision('medium')", "assert torch.get_float32_matmul_precision() == 'medium'"),
        ("torch.backends.cudnn.allow_tf32 = False", "assert not torch.backends.cudnn.allow_tf32"),
        ("torch.backends.cuda.matmul.allow_tf32 = True", "assert torch.backends.cuda.matmul.allow_tf32"),
        ("torch.backends.cuda.matmul.fp32_precision = 'tf32'", ""),
        ("torch.backends.fp32_precision = 'tf32'", ""),
        ("torch.backends.cudnn.conv.fp32_precision = 'ieee'", ""),
    ],
)
def test_tensor_float_32_is_off_inside_and_as_it_was_after(set_: str, after: str) -> None:
    # In a process of its own: what one way of setting leaves behind, another refuses to read.
    script = _SCRIPT.format(set=set_, after=after)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_switches_are_left_alone_for_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise AssertionError("a global switch was thrown")

    monkeypatch.setattr(torch, "set_float32_matmul_precision", refused)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with strict_precision(torch.zeros(1)):
        assert torch.backends.cudnn.allow_tf32
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
        with pytest.raises(AssertionError, match="switch"), strict_precision(CUDA):
            pass


def test_a_graph_is_compiled_in_one_piece_and_leaves_the_switches_alone() -> None:
    def inside(x: Tensor) -> Tensor:
        with _without_tf32():
            return x + 1

    # What `strict_precision` enters on a CUDA device, where samples are compiled as anywhere.
    compiled = torch.compile(inside, fullgraph=True, backend="eager")
    assert torch.equal(compiled(torch.zeros(2)), torch.ones(2))


def test_evaluation_and_the_inverse_of_a_residual_block_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    for module in (precision, residual):

        def noted(x: Tensor, name: str = module.__name__) -> Any:
            asked.append(name.rsplit(".", 1)[1])
            return strict_precision(x)

        monkeypatch.setattr(module, "strict_precision", noted)
    flow = flows.build("residual_flow", (2,), transforms=1, hidden=[4])
    flow.likelihood(torch.zeros(3, 2))
    assert asked == ["precision"]
    asked.clear()
    # The way there in training, the way back, and its gradient, outside `evaluation`.
    z, _ = flow.transform.to_latent(torch.zeros(3, 2, requires_grad=True))
    assert asked == []
    x, _ = flow.transform.to_data(z)
    assert set(asked) == {"residual"}
    before = len(asked)
    x.sum().backward()
    assert len(asked) > before
