"""Real NVP as published, against the authors' released model written in numpy from their code."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from formulas import Array, as_numpy
from generated import out_of_date
from pushforward import presets
from pushforward.flow import Flow
from pushforward.flows import build
from pushforward.objectives import MaximumLikelihood
from pushforward.training.averaging import recompute_statistics
from released_real_nvp import Released, Sizes, penalised, starts, trainable

# Layers of the library's net by their names in the released code, and its numbers of couplings in a scale.
_LAYERS = {
    r"net\.input_norm": "bn_in",
    r"net\.first": "resnet/h_in",
    r"net\.skips\.0": "resnet/skip_in",
    r"net\.skips\.(\d+)": lambda m: f"resnet/skip_{int(m[1]) - 1}",
    r"net\.blocks\.(\d+)\.norm1": r"resnet/block_\1/bn_in",
    r"net\.blocks\.(\d+)\.conv1": r"resnet/block_\1/h_0",
    r"net\.blocks\.(\d+)\.norm2": r"resnet/block_\1/bn_0",
    r"net\.blocks\.(\d+)\.conv2": r"resnet/block_\1/out",
    r"net\.last_norm": "resnet/bn_pre_out",
    r"net\.last": "resnet/out",
    r"after": "bn_out",
}
_ENTRIES = {"direction": "weights", "magnitude": "magnitude", "bias": "biases", "offset": "beta"}


def _layer(name: str) -> str:
    for ours, theirs in _LAYERS.items():
        if re.fullmatch(ours, name):
            return re.sub(ours, theirs, name)
    raise AssertionError(f"no layer of the released code for {name}")


def _couplings(flow: Flow) -> dict[str, nn.Module]:
    """The couplings of a flow by their names in the released code."""
    (multi_scale,) = (module for module in flow.modules() if type(module).__name__ == "MultiScale")
    found = {}
    for i, scale in enumerate(multi_scale.scales):  # type: ignore[arg-type,var-annotated]
        inside = [step for step in scale if type(step).__name__ == "Coupling"]
        numbers = (0, 1, 2, 4, 5, 6) if len(inside) == 6 else (0, 1, 2, 3)
        found |= {f"scale_{i}/coupling_{j}": step for j, step in zip(numbers, inside, strict=True)}
    return found


def _variables(flow: Flow) -> dict[str, nn.Parameter]:
    """The parameters of a flow by the names of the released code's variables."""
    found = {}
    for name, coupling in _couplings(flow).items():
        for path, parameter in coupling.named_parameters():
            if path == "map.log_scale.rescale":
                masked = type(coupling.partition).__name__ == "Checkerboard"
                found[f"{name}/{'rescaling_scale' if masked else 'scale'}"] = parameter
            else:
                layer, entry = path.rsplit(".", 1)
                found[f"{name}/{_layer(layer)}/{_ENTRIES[entry]}"] = parameter
    return found


def _theirs(value: Tensor) -> Array:
    """A parameter in the layout of the released code."""
    array = as_numpy(value)
    if array.ndim == 4 and array.shape[1:] == (1, 1, 1):
        return array[:, 0, 0, 0]
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def _is_magnitude(name: str) -> bool:
    return name.endswith("magnitude")


def _shape(name: str, parameter: nn.Parameter) -> tuple[int, ...]:
    shape = tuple(parameter.shape)
    if name.endswith("weights"):
        return (shape[2], shape[3], shape[1], shape[0])
    return shape[:1] if _is_magnitude(name) else shape


def _sizes(preset: presets.Preset, event_shape: tuple[int, ...]) -> Sizes:
    options = preset.options
    return Sizes(event_shape[0], options["channels"], options["blocks"], options["scales"])


@pytest.mark.parametrize(
    ("name", "side", "count"),
    [
        ("real_nvp-cifar10", 32, 19_609_545),
        ("real_nvp-imagenet32", 32, 46_220_359),
        ("real_nvp-imagenet64", 64, 96_363_237),
        ("real_nvp-celeba", 64, 96_363_237),
    ],
)
def test_presets_have_the_variables_of_the_released_code_layer_by_layer(
    name: str, side: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Weights that are never written take no memory: the largest model has half a gigabyte of them.
    monkeypatch.setattr(nn.init, "uniform_", lambda tensor, *bounds: tensor)
    preset, event_shape = presets.load(name), (3, side, side)
    flow = build(preset.flow, event_shape, levels=256, **preset.options)
    ours = {name: _shape(name, parameter) for name, parameter in _variables(flow).items()}
    theirs = trainable(_sizes(preset, event_shape))
    assert ours == theirs
    assert sum(p.numel() for p in flow.parameters()) == sum(map(math.prod, theirs.values())) == count


_START, _END = "<!-- parameters: written by `make docs-write` -->", "<!-- end of parameters -->"


def _table(first: str, of: Callable[[str], str], theirs: dict[str, tuple[int, ...]], flow: Flow) -> str:
    """Numbers of parameters in Markdown, by what ``of`` makes of a variable's name."""
    ours = {name: parameter.numel() for name, parameter in _variables(flow).items()}
    rows: dict[str, list[int]] = {}
    for name, shape in theirs.items():
        row = rows.setdefault(of(name), [0, 0, 0])
        for i, more in enumerate((1, math.prod(shape), ours[name])):
            row[i] += more
    rows["**all**"] = [len(theirs), sum(map(math.prod, theirs.values())), sum(p.numel() for p in flow.parameters())]
    lines = [f"| {first} | variables | released code | preset |", "|---|---:|---:|---:|"]
    lines += [f"| {name} | {count:,} | {their:,} | {our:,} |" for name, (count, their, our) in rows.items()]
    return "\n".join(lines)


def _layer_of(name: str) -> str:
    """The layer of a variable within its coupling; equal layers have one name."""
    within = name.split("/", 2)[2]
    layer = re.sub(r"(block|skip)_[0-9]+", r"\1_i", within.rpartition("/")[0] or within)
    return f"`{layer}`"


def _coupling_of(name: str) -> str:
    return f"`{'/'.join(name.split('/')[:2])}`"


def test_the_table_of_parameters_in_the_documentation_is_up_to_date() -> None:
    preset, event_shape = presets.load("real_nvp-cifar10"), (3, 32, 32)
    theirs = trainable(_sizes(preset, event_shape))
    flow = build(preset.flow, event_shape, levels=256, **preset.options)
    by_layer, by_coupling = (_table(*how, theirs, flow) for how in (("layer", _layer_of), ("coupling", _coupling_of)))
    assert not out_of_date("real_nvp.md", _START, _END, f"{by_layer}\n\n{by_coupling}")


_SMALL: dict[str, Any] = {"channels": 3, "blocks": 2, "scales": 2, "published": True}
_SIZES = Sizes(2, 3, 2, 2)
_EVENT = (2, 8, 4)


def _small_flow() -> Flow:
    torch.manual_seed(0)
    return build("real_nvp", _EVENT, standardise=False, **_SMALL).double()


def _perturbed_flow() -> tuple[Flow, Tensor]:
    flow = _small_flow()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    x = 0.5 + 1.5 * torch.randn(5, *_EVENT, generator=generator, dtype=torch.float64)
    flow.eval().initialise(x)
    return flow, x


def _released(flow: Flow, train: bool) -> Released:
    return Released(_SIZES, {name: _theirs(value) for name, value in _variables(flow).items()}, train)


def _moments(flow: Flow) -> dict[str, tuple[Array, Array]]:
    """The running moments of a flow by the names of the released code's layers."""
    found = {}
    for name, coupling in _couplings(flow).items():
        buffers = dict(coupling.named_buffers())
        for path in [path for path in buffers if path.endswith("running_mean")]:
            layer = path.removesuffix(".running_mean")
            found[f"{name}/{_layer(layer)}"] = (as_numpy(buffers[path]), as_numpy(buffers[f"{layer}.running_var"]))
    return found


def _nhwc(x: Tensor) -> Array:
    return as_numpy(x.movedim(1, 3))


def test_the_published_flow_is_the_released_model_in_training_and_after_it() -> None:
    flow, x = _perturbed_flow()
    released = _released(flow.train(), train=True)
    for step in range(3):
        batch = x + 0.1 * step
        z, log_det = flow.transform.to_latent(batch)
        wanted, wanted_det = released.encode(_nhwc(batch))
        np.testing.assert_allclose(as_numpy(z), wanted, atol=1e-10)
        np.testing.assert_allclose(as_numpy(log_det), wanted_det, atol=1e-9)
    tracked = _moments(flow)
    assert tracked.keys() == released.moments.keys()
    for name, moments in released.moments.items():
        np.testing.assert_allclose(tracked[name], moments, atol=1e-10, err_msg=name)
    flow.eval()
    released.train = False
    z, log_det = flow.transform.to_latent(x)
    wanted, wanted_det = released.encode(_nhwc(x))
    np.testing.assert_allclose(as_numpy(z), wanted, atol=1e-9)
    np.testing.assert_allclose(as_numpy(log_det), wanted_det, atol=1e-9)
    x_back, back_term = flow.transform.to_data(torch.from_numpy(wanted))
    np.testing.assert_allclose(as_numpy(x_back), as_numpy(x), atol=1e-8)
    np.testing.assert_allclose(as_numpy(back_term), -wanted_det, atol=1e-9)


@pytest.mark.slow
def test_the_cifar10_preset_is_the_released_model_at_full_size() -> None:
    torch.manual_seed(0)
    preset, event_shape = presets.load("real_nvp-cifar10"), (3, 32, 32)
    flow = build(preset.flow, event_shape, standardise=False, **preset.options).double().train()
    with torch.no_grad():
        for parameter in _variables(flow).values():
            # Those that start at a number, so that every layer counts: the scales, offsets and biases.
            if parameter.ndim < 2:
                parameter.add_(0.3 * torch.randn(parameter.shape, dtype=torch.float64))
    x = 1.5 * torch.randn(4, *event_shape, dtype=torch.float64)
    released = Released(
        _sizes(preset, event_shape), {name: _theirs(value) for name, value in _variables(flow).items()}, True
    )
    with torch.no_grad():
        z, log_det = flow.transform.to_latent(x)
    wanted, wanted_det = released.encode(_nhwc(x))
    ours, theirs = (
        -0.5 * (np.square(latent) + np.log(2 * np.pi)).sum(1) + terms
        for latent, terms in ((as_numpy(z), as_numpy(log_det)), (wanted, wanted_det))
    )
    print(f"log-likelihoods {theirs} nats, largest difference {np.abs(ours - theirs).max():.1e}")
    np.testing.assert_allclose(as_numpy(z), wanted, atol=1e-9)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("name", ["scale_0/coupling_1", "scale_0/coupling_5"])
@pytest.mark.parametrize("train", [True, False])
def test_a_published_coupling_is_that_of_the_released_model(name: str, train: bool) -> None:
    flow, _ = _perturbed_flow()
    coupling, released = _couplings(flow)[name].train(train), _released(flow, train)
    x = 0.5 + 1.5 * torch.randn(5, *coupling.data_shape, generator=torch.Generator().manual_seed(2)).double()  # type: ignore[misc]
    if name.endswith("1"):
        rows, columns = np.indices(x.shape[2:])
        wanted, log_diff = released.masked(name, _nhwc(x), ((rows + columns) % 2)[None, :, :, None])
    else:
        wanted, log_diff = released.split(name, _nhwc(x), first_kept=False)
    z, log_det = coupling.to_latent(x)  # type: ignore[operator]
    np.testing.assert_allclose(_nhwc(z), wanted, atol=1e-11)
    np.testing.assert_allclose(as_numpy(log_det), log_diff.sum((1, 2, 3)), atol=1e-11)


def test_the_published_flow_starts_where_the_released_model_does() -> None:
    flow = _small_flow()
    flow.eval().initialise(5 + torch.randn(6, *_EVENT).double())
    for name, (mean, var) in _moments(flow).items():
        assert (mean == 0).all(), name
        assert (var == 1).all(), name
    wanted = starts(_SIZES)
    for name, parameter in _variables(flow).items():
        values = as_numpy(parameter)
        if name.endswith("weights"):
            # Uniform: never beyond the bound, and of many draws the largest is near it.
            assert np.abs(values).max() <= wanted[name]
            assert values.size < 100 or np.abs(values).max() > 0.9 * wanted[name]
        else:
            np.testing.assert_allclose(values, wanted[name], rtol=1e-6, err_msg=name)


def test_the_published_penalty_is_on_the_variables_that_the_released_code_picks() -> None:
    flow = _small_flow()
    objective = flow.objective
    assert isinstance(objective, MaximumLikelihood)
    names = {id(parameter): name for name, parameter in _variables(flow).items()}
    assert {names[id(parameter)] for parameter in objective.scale_parameters()} == penalised(_SIZES)


def test_recomputed_statistics_are_the_plain_average_of_the_moments_with_zeros() -> None:
    flow, x = _perturbed_flow()
    batches = [x, x + 0.3]
    released = _released(flow, train=True)
    for k, batch in enumerate(batches):
        released.decay = 1 / (k + 1)
        released.encode(_nhwc(batch))
    recompute_statistics(flow, lambda: [(batch, None, None) for batch in batches])
    for name, moments in _moments(flow).items():
        np.testing.assert_allclose(moments, released.moments[name], atol=1e-9, err_msg=name)
