"""Data and contexts as a user gives them: numpy arrays in the place of tensors, and one sentence for other values."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pushforward import fit, flows
from pushforward.errors import ContextError, DataError, DtypeError, ShapeError
from pushforward.flow import Flow
from pushforward.inference import InferenceOptions
from pushforward.inference import fit as fit_to_density
from pushforward.training import TrainingOptions


def conditional_flow(dtype: torch.dtype = torch.float32) -> Flow:
    torch.manual_seed(0)
    flow = flows.build("real_nvp", (2,), 1, transforms=2, hidden=(8,))
    with torch.no_grad():
        for p in flow.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return flow.to(dtype).eval()


X = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
CONTEXT = torch.linspace(-1, 1, 5)[:, None]

METHODS: dict[str, Any] = {
    "log_prob": lambda flow, x, c: flow.log_prob(x, c),
    "forward": lambda flow, x, c: flow(x, c),
    "likelihood": lambda flow, x, c: flow.likelihood(x, c).value,
    "latent": lambda flow, x, c: flow.latent(x, c),
    "data": lambda flow, x, c: flow.data(x, c),
    "objective": lambda flow, x, c: flow.objective(x, c).value,
    "sample": lambda flow, x, c: flow.sample(3, c, generator=torch.Generator().manual_seed(1)),
    "sample_and_log_prob": lambda flow, x, c: flow.sample_and_log_prob(3, c, torch.Generator().manual_seed(1))[1],
    "distribution": lambda flow, x, c: flow.distribution(c).log_prob(torch.as_tensor(X).to(flow.dtype)),
    "prepare": lambda flow, x, c: torch.cat(flow.prepare(x, c)[:2], 1),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("given", [np.float32, np.float64])
def test_numpy_arrays_give_the_values_of_tensors(method: str, dtype: torch.dtype, given: Any) -> None:
    flow = conditional_flow(dtype)
    wanted: Tensor = METHODS[method](flow, X.to(dtype), CONTEXT.to(dtype))
    x, context = X.numpy().astype(given), CONTEXT.numpy().astype(given)
    context.flags.writeable = False
    found: Tensor = METHODS[method](flow, x[::-1][::-1], context)
    assert found.dtype == dtype
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_integers_and_columns_of_a_larger_array_are_taken() -> None:
    flow = conditional_flow()
    table = np.arange(15).reshape(5, 3)
    found = flow.log_prob(table[:, 1:], table[:, :1].astype(np.uint16))
    wanted = flow.log_prob(torch.as_tensor(table[:, 1:]).float(), torch.as_tensor(table[:, :1]).float())
    assert torch.equal(found, wanted)
    labelled = flows.build("nice", (2,), classes=5)
    assert torch.equal(labelled.log_prob(X.numpy(), np.arange(5)), labelled.log_prob(X, torch.arange(5)))


def test_initialise_takes_arrays() -> None:
    flow = flows.build("nice", (2,), transforms=1)
    other = copy.deepcopy(flow)
    flow.initialise(X.numpy().astype(float))
    other.initialise(X)
    assert torch.equal(flow.log_prob(X), other.log_prob(X))


@pytest.mark.parametrize("method", ["log_prob", "likelihood", "latent", "data", "objective", "prepare"])
def test_other_values_are_refused_in_one_sentence(method: str) -> None:
    flow, call = conditional_flow(), METHODS[method]
    name = "z" if method == "data" else "x"
    with pytest.raises(DtypeError, match=f"{name} must be a tensor or a numpy array, got list; torch.as_tensor makes"):
        call(flow, X.tolist(), CONTEXT)
    with pytest.raises(DtypeError, match="context must be a tensor or a numpy array, got float"):
        call(flow, X, 0.5)
    with pytest.raises(DtypeError, match=f"{name} must be numbers, got an array of <U1"):
        call(flow, np.full((5, 2), "a"), CONTEXT)
    with pytest.raises(DtypeError, match=f"{name} is torch.float64, but the flow's weights are torch.float32; convert"):
        call(flow, X.double(), CONTEXT)
    with pytest.raises(DtypeError, match=f"{name} must be real numbers, got torch.complex64"):
        call(flow, X + 1j, CONTEXT)
    with pytest.raises(ShapeError, match=rf"{name} of shape \(B, 2\) expected, got \(5, 3\)") as caught:
        call(flow, np.zeros((5, 3)), CONTEXT)
    assert not isinstance(caught.value, DtypeError)
    with pytest.raises(ContextError, match=r"context of shape \(B, 1\) expected, got \(5, 2\)"):
        call(flow, X, np.zeros((5, 2)))


def test_a_wrong_dtype_is_wrong_data_and_for_the_sake_of_older_code_a_wrong_shape() -> None:
    assert issubclass(DtypeError, DataError)
    assert issubclass(DtypeError, ShapeError)


def test_folders_are_given_as_text_too(tmp_path: Path) -> None:
    flow = flows.build("nice", (2,), transforms=1, hidden=(4,))
    fit(flow, X.repeat(4, 1).numpy(), options=TrainingOptions(steps=2), out=str(tmp_path / "data"), progress=False)
    assert (tmp_path / "data" / "metrics.jsonl").exists()
    options = InferenceOptions(steps=2, samples=10)
    folder = str(tmp_path / "density")
    fit_to_density(flow, lambda x: -x.square().sum(1), options=options, out=folder, progress=False)
    assert (tmp_path / "density" / "weights.safetensors").exists()
