"""What a saved model is: complete, unchanged, of a known architecture, and bit-equal in a new process."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from resealed import edit_config, reseal
from safetensors.torch import load_file, save_file

import pushforward
from pushforward import flows, storage
from pushforward.bases import UniformBox
from pushforward.data import Split
from pushforward.errors import ModelError, OptionError
from pushforward.flow import Flow
from pushforward.transforms import Identity

SMALL = {"transforms": 2, "hidden": (8,)}
IMAGE = {"levels": 17, "channels": 4, "blocks": 1}
CASES: dict[str, tuple[str, tuple[int, ...], dict[str, int], dict[str, Any]]] = {
    "vector": ("real_nvp", (3,), {}, SMALL),
    "image": ("real_nvp", (1, 8, 8), {}, IMAGE),
    "activation": ("real_nvp", (3,), {}, {**SMALL, "norm": "activation"}),
    "context": ("real_nvp", (2,), {"context_dim": 3}, SMALL),
    "labels": ("nice", (2,), {"classes": 4}, SMALL),
}


def perturbed(case: str) -> Flow:
    """A flow with weights and running statistics of its own, none at its start."""
    name, shape, context, options = CASES[case]
    torch.manual_seed(3)
    flow = flows.build(name, event_shape=shape, **context, **options)
    with torch.no_grad():
        for tensor in flow.state_dict().values():
            if tensor.is_floating_point():
                tensor += 0.1 * torch.rand_like(tensor)
    flow.initialise(*inputs(case))
    return flow.eval()


def inputs(case: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    _, shape, context, options = CASES[case]
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(7, *shape, generator=generator)
    if "levels" in options:
        x = torch.randint(0, options["levels"], (7, *shape), generator=generator).float()
    if "classes" in context:
        return x, torch.arange(7) % 4
    return x, torch.randn(7, 3, generator=generator) if context else None


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A saved image flow with a split and a report."""
    path = tmp_path / "model"
    split = Split(np.arange(8), np.array([8]), np.array([9]))
    storage.save(perturbed("image"), path, split=split, training={"steps": 3})
    storage.add_file(path, "report.html", b"<html></html>")
    return path


@pytest.mark.parametrize("case", CASES)
def test_a_loaded_flow_scores_and_samples_bit_equal(case: str, tmp_path: Path) -> None:
    flow, (x, context) = perturbed(case), inputs(case)
    pushforward.save(flow, tmp_path / "m")
    loaded = pushforward.load(tmp_path / "m")
    assert not loaded.training
    assert loaded.config == flow.config
    assert repr(loaded.objective) == repr(flow.objective)
    assert torch.equal(loaded.likelihood(x, context).value, flow.likelihood(x, context).value)
    draws = [f.sample(4, context, generator=torch.Generator().manual_seed(2)) for f in (flow, loaded)]
    assert torch.equal(draws[0], draws[1])
    for name, tensor in flow.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_scores_are_bit_equal_in_a_new_process(tmp_path: Path) -> None:
    flow, (x, context) = perturbed("image"), inputs("image")
    pushforward.save(flow, tmp_path / "m")
    np.save(tmp_path / "x.npy", x.numpy())
    code = (
        "import sys, numpy, torch, pushforward\n"
        "torch.set_num_threads(1)\n"
        "x = torch.from_numpy(numpy.load(sys.argv[2]))\n"
        "numpy.save(sys.argv[3], pushforward.load(sys.argv[1]).likelihood(x).value.numpy())\n"
    )
    out = tmp_path / "scores.npy"
    subprocess.run([sys.executable, "-c", code, tmp_path / "m", tmp_path / "x.npy", out], check=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        here = flow.likelihood(x, context).value.numpy()
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(np.load(out), here)


def test_a_double_precision_flow_stays_one(tmp_path: Path) -> None:
    flow = perturbed("vector").double()
    pushforward.save(flow, tmp_path / "m")
    assert pushforward.load(tmp_path / "m").dtype == torch.float64


def test_loading_does_not_touch_the_global_random_state(saved: Path) -> None:
    before = torch.get_rng_state()
    storage.load(saved)
    assert torch.equal(torch.get_rng_state(), before)


def test_split_and_summary_come_back(saved: Path) -> None:
    model = storage.load_model(saved)
    assert model.split is not None
    assert model.split.train.tolist() == list(range(8))
    assert model.config.training == {"steps": 3}
    assert model.config.versions["torch"] == torch.__version__


def test_the_data_are_described_by_known_fields_only(tmp_path: Path) -> None:
    data = {"name": "a.csv", "kind": "table", "rows": 5, "columns": ("a", "b", "c"), "fingerprint": "0" * 64}
    storage.save(perturbed("vector"), tmp_path / "m", data=data)
    described = storage.load_model(tmp_path / "m").config.data
    assert described is not None
    assert described.columns == ("a", "b", "c")
    with pytest.raises(OptionError, match="'colour' is not known"):
        storage.save(perturbed("vector"), tmp_path / "n", data={**data, "colour": 1})
    assert not (tmp_path / "n").exists()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "split.json", "report.html"])
def test_a_changed_byte_is_refused(saved: Path, name: str) -> None:
    content = bytearray((saved / name).read_bytes())
    content[len(content) // 2] ^= 1
    (saved / name).write_bytes(content)
    with pytest.raises(ModelError, match=rf"{name} was changed"):
        storage.load(saved)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "split.json", "report.html", "manifest.json"])
def test_a_missing_file_is_refused(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(ModelError, match=f"{name} is missing"):
        storage.load(saved)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_manifest_without_an_essential_file_is_refused(saved: Path, name: str) -> None:
    (saved / name).unlink()
    reseal(saved)
    with pytest.raises(ModelError, match=f"{name} is not listed in it"):
        storage.load(saved)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        storage.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("keys", "value", "reason"),
    [
        (("flow", "name"), "os.system", "'os.system' is not known"),
        (("flow", "options", "colour"), 1, "no option 'colour'"),
        (("flow", "options", "event_shape"), [3], "no option 'event_shape'"),
        (("flow", "options", "channels"), -1, "greater than or equal to 1"),
        (("flow", "options", "net_norm"), "pickle", "net_norm"),
        (("flow", "event_shape"), [1, 0, 8], "event_shape"),
        (("flow", "event_shape"), [1, 1 << 40, 1 << 40], "at most 4,194,304"),
        (("flow", "options", "channels"), 10**9, "far larger than its stored weights"),
        (("flow", "options", "channels"), 10**14, "far larger than its stored weights"),
        (("flow", "options", "blocks"), 10**7, "far larger than its stored weights"),
        (("flow", "classes"), 10**12, "far larger than its stored weights"),
        (("flow", "options", "channels"), 5, "of shape .* expected"),
        (("flow", "dtype"), "float64", "dtype F64 expected"),
        (("flow", "dtype"), "complex64", "dtype"),
        (("flow", "classes"), 3, "is missing"),
        (("flow", "options", "blocks"), 0, "is not part of this architecture"),
        (("extra",), 1, "'extra' is not known"),
        (("format",), storage.FORMAT + 1, "newer"),
        (("format",), "1", "format number"),
        (("data",), {"name": "x"}, "data.kind"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    saved: Path, keys: tuple[str, ...], value: object, reason: str
) -> None:
    edit_config(saved, *keys, value=value)
    with pytest.raises(ModelError, match=reason):
        storage.load(saved)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff\xfe", b"[" * 100_000, b" " * (2 << 20)])
@pytest.mark.parametrize("name", ["config.json", "manifest.json"])
def test_a_document_that_is_not_one_is_refused(saved: Path, name: str, content: bytes) -> None:
    (saved / name).write_bytes(content)
    if name == "config.json":
        reseal(saved)
    with pytest.raises(ModelError):
        storage.load(saved)


def _first_tensor(path: Path) -> tuple[dict[str, torch.Tensor], str]:
    tensors = load_file(path / "model.safetensors")
    return tensors, next(name for name in tensors if name.endswith("first.direction"))


def _wrong_shape(tensors: dict[str, torch.Tensor], name: str) -> None:
    tensors[name] = tensors[name][:-1].clone()


def _wrong_dtype(tensors: dict[str, torch.Tensor], name: str) -> None:
    tensors[name] = tensors[name].double()


def _missing(tensors: dict[str, torch.Tensor], name: str) -> None:
    del tensors[name]


def _surplus(tensors: dict[str, torch.Tensor], name: str) -> None:
    tensors["more"] = torch.zeros(1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_wrong_shape, "of shape .* expected"),
        (_wrong_dtype, "got .* and F64"),
        (_missing, "is missing"),
        (_surplus, "'more' is not part"),
    ],
)
def test_tensors_of_another_model_are_refused(saved: Path, change: object, reason: str) -> None:
    tensors, name = _first_tensor(saved)
    change(tensors, name)  # type: ignore[operator]
    save_file(tensors, saved / "model.safetensors")
    reseal(saved)
    with pytest.raises(ModelError, match=reason):
        storage.load(saved)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 8, b"\xff\xff\xff\x00\x00\x00\x00\x00{}", b"\x02" + b"\0" * 7 + b"{}x"]
)
def test_weights_with_a_hostile_header_are_refused(saved: Path, content: bytes) -> None:
    (saved / "model.safetensors").write_bytes(content)
    reseal(saved)
    with pytest.raises(ModelError):
        storage.load(saved)


def test_truncated_weights_are_refused(saved: Path) -> None:
    content = (saved / "model.safetensors").read_bytes()
    (saved / "model.safetensors").write_bytes(content[:-4])
    reseal(saved)
    with pytest.raises(ModelError, match="safetensors"):
        storage.load(saved)


@pytest.mark.parametrize("name", ["../config.json", "/etc/passwd", ".hidden", "a/b", "", "manifest.json", "a\nb"])
def test_a_manifest_that_names_anything_but_a_file_beside_it_is_refused(saved: Path, name: str) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    manifest["files"][name] = "0" * 64
    (saved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="names of files in the same folder"):
        storage.load(saved)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "manifest.json"])
def test_a_link_is_refused(saved: Path, tmp_path: Path, name: str) -> None:
    (saved / name).rename(tmp_path / "elsewhere")
    (saved / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="link"):
        storage.load(saved)


def test_a_folder_in_the_place_of_a_file_is_refused(saved: Path) -> None:
    (saved / "report.html").unlink()
    (saved / "report.html").mkdir()
    with pytest.raises(ModelError, match="regular file"):
        storage.load(saved)


def test_a_split_that_is_not_one_is_refused(saved: Path) -> None:
    (saved / "split.json").write_text('{"train": [0, 1], "validation": [1], "test": []}')
    reseal(saved)
    with pytest.raises(ModelError, match="more than once"):
        storage.load(saved)


def test_a_split_from_elsewhere_is_refused(tmp_path: Path) -> None:
    storage.save(perturbed("vector"), tmp_path / "m")
    (tmp_path / "m" / "split.json").write_text("{}")
    with pytest.raises(ModelError, match="does not belong"):
        storage.load(tmp_path / "m")


def test_a_base_outside_the_registry_is_refused_by_name(tmp_path: Path) -> None:
    student = torch.distributions.StudentT(torch.full((2,), 3.0))
    with pytest.raises(OptionError, match="StudentT"):
        storage.save(Flow(student, Identity((2,))), tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_flow_made_by_hand_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="build it with that function"):
        storage.save(Flow(UniformBox((2,), -9, 9), Identity((2,))), tmp_path / "m")


def test_a_flow_with_an_exchanged_part_is_refused(tmp_path: Path) -> None:
    flow = perturbed("vector")
    flow.base = UniformBox((3,), -9, 9)
    with pytest.raises(OptionError, match="'base'"):
        storage.save(flow, tmp_path / "m")


def test_a_folder_with_something_in_it_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "thesis.tex").write_text("x")
    with pytest.raises(OptionError, match="not empty"):
        storage.save(perturbed("vector"), tmp_path / "m")
    storage.save(perturbed("vector"), tmp_path / "m", force=True)
    assert (tmp_path / "m" / "thesis.tex").read_text() == "x"
    assert storage.load(tmp_path / "m").event_shape == (3,)


def test_replacing_a_model_leaves_nothing_of_the_old_one(saved: Path) -> None:
    storage.save(perturbed("vector"), saved, force=True)
    assert {p.name for p in saved.iterdir()} == {"config.json", "model.safetensors", "manifest.json"}
    assert storage.load(saved).event_shape == (3,)


def test_a_file_is_no_folder_to_save_in(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("x")
    with pytest.raises(OptionError, match="is a file"):
        storage.save(perturbed("vector"), tmp_path / "m", force=True)


def test_a_write_that_fails_leaves_the_old_model(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = storage.load(saved).state_dict()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        storage.save(perturbed("vector"), saved, force=True)
    monkeypatch.undo()
    after = storage.load(saved).state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not [p for p in saved.iterdir() if p.name.endswith(".tmp")]


@pytest.mark.parametrize("name", ["config.json", "../x", "a/b", "", "manifest.json"])
def test_only_plain_names_are_added(saved: Path, name: str) -> None:
    with pytest.raises(OptionError, match="file name without a folder"):
        storage.add_file(saved, name, b"")


def test_a_file_that_is_one_too_many_leaves_the_model_as_it_is(saved: Path) -> None:
    there = len(list(saved.iterdir())) - 1
    for number in range(64 - there):
        storage.add_file(saved, f"report-{number}.html", b"")
    with pytest.raises(OptionError, match="64 files, the most of a saved model"):
        storage.add_file(saved, "one-more.html", b"")
    storage.load(saved)


def test_nothing_is_added_to_what_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="missing"):
        storage.add_file(tmp_path, "report.html", b"")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("index", [0, 99, -1])
def test_a_partition_that_does_not_hold_each_coordinate_once_is_refused(tmp_path: Path, index: int) -> None:
    flow = flows.build("real_nvp", (4,), transforms=1, hidden=(4,), partition="half")
    storage.save(flow, tmp_path / "m")
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    name = next(name for name in tensors if name.endswith("_changed"))
    tensors[name][0] = index
    save_file(tensors, tmp_path / "m" / "model.safetensors")
    reseal(tmp_path / "m")
    with pytest.raises(ModelError, match="does not hold each coordinate once"):
        storage.load(tmp_path / "m")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_no_numbers_are_neither_saved_nor_loaded(tmp_path: Path, value: float) -> None:
    flow = perturbed("vector")
    storage.save(flow, tmp_path / "m")
    name, parameter = next(iter(flow.named_parameters()))
    with torch.no_grad():
        parameter.view(-1)[0] = value
    with pytest.raises(OptionError, match=rf"cannot be saved: tensor '{name}' has NaN or infinite numbers"):
        storage.save(flow, tmp_path / "n")
    assert not (tmp_path / "n").exists()
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    tensors[name].view(-1)[0] = value
    save_file(tensors, tmp_path / "m" / "model.safetensors")
    reseal(tmp_path / "m")
    with pytest.raises(ModelError, match=rf"tensor '{name}' has NaN or infinite numbers"):
        storage.load(tmp_path / "m")
