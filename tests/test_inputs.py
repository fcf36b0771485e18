"""Data and contexts as a user gives them: numpy arrays in the place of tensors, and one sentence for other values."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pushforward import density, fit, flows
from pushforward.errors import (
    ContextError,
    DataError,
    DtypeError,
    OptionError,
    PrecisionWarning,
    ShapeError,
    UninitialisedWarning,
)
from pushforward.flow import Flow
from pushforward.inference import InferenceOptions
from pushforward.inference import fit as fit_to_density
from pushforward.training import TrainingOptions


def conditional_flow(dtype: torch.dtype = torch.float32) -> Flow:
    torch.manual_seed(0)
    flow = flows.build("real_nvp", (2,), context_dim=1, transforms=2, hidden=(8,))
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
    "encode": lambda flow, x, c: flow.encode(x, c),
    "decode": lambda flow, x, c: flow.decode(x, c),
    "objective": lambda flow, x, c: flow.objective(x, c).value,
    "sample": lambda flow, x, c: flow.sample(3, c, generator=torch.Generator().manual_seed(1)),
    "sample_and_log_prob": lambda flow, x, c: flow.sample_and_log_prob(
        3, c, generator=torch.Generator().manual_seed(1)
    )[1],
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


class Table:
    """A DataFrame as far as numpy sees it."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.values.astype(dtype or self.values.dtype)


def test_lists_and_tables_give_the_values_of_arrays() -> None:
    flow = conditional_flow()
    wanted = flow.log_prob(X, CONTEXT)
    torch.testing.assert_close(flow.log_prob(X.tolist(), CONTEXT.tolist()), wanted)
    torch.testing.assert_close(flow.log_prob(Table(X.numpy()), Table(CONTEXT.numpy())), wanted)


def test_integers_that_the_weights_would_round_are_refused_as_tensors_and_as_arrays() -> None:
    flow = conditional_flow()
    seconds = torch.full((5, 2), 1_700_000_001)
    for values in (seconds, seconds.numpy(), -seconds):
        with pytest.raises(
            DtypeError, match=r"x holds the integer -?1700000001, but torch.float32 is exact to 16,777,216"
        ):
            flow.log_prob(values, CONTEXT)
    assert flow.double().log_prob(seconds, CONTEXT).shape == (5,)
    flow.float().log_prob(torch.full((5, 2), 2**24), CONTEXT)


def test_a_fit_refuses_integers_whose_differences_would_be_lost() -> None:
    x = 1_700_000_000 + torch.arange(100)[:, None].expand(100, 2)
    with pytest.raises(DataError, match=r"column 0 varies by 29 around 1.7e\+09, which torch.float32 cannot resolve"):
        fit(flows.build("nice", 2), x, steps=1, progress=False)


def test_an_array_whose_differences_would_be_lost_is_scored_with_a_warning() -> None:
    flow = conditional_flow()
    x = 1e9 + np.random.default_rng(0).normal(size=(50, 2))
    with pytest.warns(PrecisionWarning, match="x column 0 varies by"):
        flow.log_prob(x, np.zeros((1, 1)))


def test_a_seed_and_a_generator_draw_the_same_and_not_both_are_taken() -> None:
    flow, generator = flows.build("real_nvp", (1, 4, 4), levels=4), torch.Generator()
    x = torch.randint(0, 4, (3, 1, 4, 4))
    for call in (
        lambda **source: flow.sample(3, **source),
        lambda **source: flow.sample_and_log_prob(3, **source)[1],
        lambda **source: flow.log_prob(x, **source),
        lambda **source: flow.encode(x, **source),
        lambda **source: flow.decode(torch.zeros(2, 16), **source),
    ):
        assert torch.equal(call(seed=3), call(generator=generator.manual_seed(3)))
        with pytest.raises(OptionError, match="give one of them"):
            call(seed=3, generator=generator)
    value = flow.likelihood(x, generator=generator.manual_seed(3)).value
    assert torch.equal(value, flow.likelihood(x, generator=generator.manual_seed(3)).value)
    assert not torch.equal(value, flow.likelihood(x, seed=0).value)


def test_the_former_names_still_answer_and_warn() -> None:
    flow = conditional_flow()
    with pytest.warns(DeprecationWarning, match="encode"):
        assert torch.equal(flow.latent(X, CONTEXT), flow.encode(X, CONTEXT))
    with pytest.warns(DeprecationWarning, match="decode"):
        assert torch.equal(flow.data(X, CONTEXT), flow.decode(X, CONTEXT))


def test_samples_carry_gradients_only_where_they_are_asked_for() -> None:
    flow = conditional_flow()
    assert not flow.sample(2, CONTEXT).requires_grad
    assert flow.sample(2, CONTEXT, gradients=True).requires_grad
    with torch.no_grad():
        assert not flow.sample(2, CONTEXT, gradients=True).requires_grad
    assert flow.distribution(CONTEXT).rsample().requires_grad


@pytest.mark.parametrize("n", [(3,), 2.5, -1, "2"])
def test_a_number_of_samples_that_is_none_is_refused(n: Any) -> None:
    with pytest.raises(OptionError, match="whole number of at least 0"):
        conditional_flow().sample(n, CONTEXT)


def test_blocks_of_samples_keep_the_order_of_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = conditional_flow(torch.float64)
    monkeypatch.setattr(density, "_BLOCK_EVENTS", 7)
    with torch.no_grad():
        x, value = flow.sample_and_log_prob(6, CONTEXT.double(), seed=0)
    assert x.shape == (6, 5, 2)
    for i in range(5):
        torch.testing.assert_close(flow.log_prob(x[:, i], CONTEXT[i : i + 1].double()), value[:, i])
    assert len(x.reshape(-1, 2).unique(dim=0)) == 30


def test_complex_contexts_are_refused() -> None:
    with pytest.raises(DtypeError, match=r"context must be real numbers, got torch.complex64"):
        conditional_flow().log_prob(X, CONTEXT + 1j)


def test_evaluation_of_a_flow_compiles_into_one_graph() -> None:
    flow = flows.build("real_nvp", 2, transforms=1, hidden=(4,))
    torch._dynamo.reset()
    for call in (flow.encode, flow.decode):
        compiled = torch.compile(call, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(X), call(X))
        assert flow.training
    torch._dynamo.reset()


def test_training_without_initialise_says_so_once() -> None:
    x, context = X.repeat(4, 1), CONTEXT.repeat(4, 1)
    flow = flows.build("nsf", 2, context_dim=1, transforms=1, hidden=(8,))
    flow(X, CONTEXT)
    with pytest.warns(UninitialisedWarning, match="has set ContextScale, Standardise from data"):
        flow(x, context)
    flow(x, context)
    initialised = flows.build("nsf", 2, transforms=1, hidden=(8,))
    initialised.initialise(x)
    initialised(x)
    with torch.no_grad():
        flows.build("nsf", 2)(x)
    flows.build("nsf", 2).eval()(x)


def test_initialise_takes_arrays() -> None:
    flow = flows.build("nice", (2,), transforms=1)
    other = copy.deepcopy(flow)
    flow.initialise(X.numpy().astype(float))
    other.initialise(X)
    assert torch.equal(flow.log_prob(X), other.log_prob(X))


@pytest.mark.parametrize("method", ["log_prob", "likelihood", "encode", "decode", "objective", "prepare"])
def test_other_values_are_refused_in_one_sentence(method: str) -> None:
    flow, call = conditional_flow(), METHODS[method]
    name = "z" if method == "decode" else "x"
    with pytest.raises(DtypeError, match=f"{name} must be a tensor or an array of numbers, got list"):
        call(flow, [["a", "b"]] * 5, CONTEXT)
    with pytest.raises(DtypeError, match=f"{name} must be a tensor or an array of numbers: .*inhomogeneous"):
        call(flow, [[1.0, 2.0], [3.0]], CONTEXT)
    with pytest.raises(DtypeError, match="context must be a tensor or an array of numbers, got object"):
        call(flow, X, object())
    with pytest.raises(ContextError, match=r"context of shape \(B, 1\) expected, got \(\)"):
        call(flow, X, 0.5)
    with pytest.raises(DtypeError, match=f"{name} must be a tensor or an array of numbers, got an array of <U1"):
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
