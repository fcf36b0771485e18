"""Writes the golden models of the tests: one small trained model of every architecture and kind of input.

Models that earlier versions saved stay in `tests/golden/models` for ever, and a test loads every one of them. This
script adds what is missing there, with the code as it is now; it never replaces a model that is there. With --compare
it changes nothing, and prints how far the present code is from the stored log-likelihoods.

    python scripts/golden_models.py
    python scripts/golden_models.py --compare
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import pushforward
from pushforward.training import TrainingOptions
from pushforward.training.greedy import is_greedy

MODELS = Path(__file__).resolve().parent.parent / "tests" / "golden" / "models"
UNCONDITIONAL = ("rbig", "sliced_iterative")
IMAGES = {
    "real_nvp": {"channels": 2, "blocks": 1, "scales": 2},
    "glow": {"transforms": 2, "channels": 3, "scales": 2},
    "nsf": {"transforms": 2, "channels": 3, "blocks": 1, "bins": 4, "scales": 1},
    "flowpp": {"channels": 4, "blocks": 1, "heads": 2, "components": 2},
    "macow": {"transforms": 1, "channels": 3, "masked_channels": 3, "scales": 2},
    "survae_maxpool": {"transforms": 1, "channels": 3, "scales": 2},
    "iresnet": {"transforms": 1, "channels": 3, "scales": 2},
    "residual_flow": {"transforms": 1, "channels": 3, "scales": 2},
    "ffjord": {"hidden": (3,), "scales": 2},
    "flow_matching": {"hidden": (3,)},
    "vflow": {"transforms": 1, "channels": 3, "scales": 1},
    "anf": {"transforms": 1, "channels": 3, "scales": 1},
    "cif": {"transforms": 1, "channels": 3, "scales": 1},
    "nice": {"transforms": 2, "hidden": (4,)},
}
# Beside the defaults: options whose values decide which parts a flow has.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "real_nvp": [{"norm": "batch", "linear": "lu", "partition": "half"}],
    "glow": [{"log_scale": "sigmoid", "linear": "dense"}],
    "nsf": [{"levels": 6, "dequantisation": "variational"}],
    "nsf_ar": [{"base": "mixture", "linear": "permutation"}],
    "cif": [{"inner": "maf"}, {"inner": "nsf", "bins": 4}],
    "vflow": [{"map": "spline", "bins": 4}],
    "sylvester": [{"variant": "householder"}, {"variant": "triangular"}],
    "gaussianization": [{"rotation": "random"}],
    "circular_nsf": [{"circular": (0,), "low": -4.0, "high": 4.0}],
    "flow_matching": [{"path": "variance-preserving", "coupling": "optimal"}],
    "residual_flow": [{"log_det": "roulette"}],
    "planar": [{"direction": "to_data", "linear": "lu"}],
}
IMAGE_VARIANTS: dict[str, list[dict[str, Any]]] = {"real_nvp": [{"published": True}]}


@dataclass(frozen=True)
class Case:
    """One golden model: an architecture with its options, and the kind of rows that it is fitted to."""

    flow: str
    what: str
    event_shape: tuple[int, ...] = (3,)
    options: dict[str, Any] = field(default_factory=dict)
    context_dim: int = 0
    classes: int = 0
    dtype: torch.dtype = torch.float32

    @property
    def name(self) -> str:
        return f"{self.flow}-{self.what}"


def small_options(name: str, event_shape: tuple[int, ...]) -> dict[str, Any]:
    """Small sizes of an architecture, of the options that it has for such events."""
    known = pushforward.flows.describe(name).recipe(event_shape).options.model_fields
    wanted = {"transforms": 2, "hidden": (4,), "components": 3, "integrand": (4,), "bins": 4, "channels": 3}
    unused = ("bins",) if name in ("vflow", "cif") else ()
    return {key: value for key, value in wanted.items() if key in known and key not in unused}


def cases() -> list[Case]:
    """All golden models."""
    found = []
    for name in pushforward.flows.names():
        if name in pushforward.flows.names("vectors"):
            options = small_options(name, (3,))
            found += [
                Case(name, "vectors", options=options),
                Case(name, "float64", options=options, dtype=torch.float64),
                Case(name, "levels", options={**options, "levels": 6}),
            ]
            if name not in UNCONDITIONAL:
                found += [
                    Case(name, "context", options=options, context_dim=2),
                    Case(name, "classes", options=options, context_dim=2, classes=3),
                ]
            found += [
                Case(name, f"variant-{i}", options={**options, **more}) for i, more in enumerate(VARIANTS.get(name, []))
            ]
        if name in pushforward.flows.names("images"):
            options = IMAGES.get(name) or small_options(name, (1, 8, 8))
            found.append(Case(name, "images", (1, 8, 8), {**options, "levels": 8}, classes=3, context_dim=2))
            found += [
                Case(name, f"images-variant-{i}", (1, 8, 8), {**options, "levels": 8, **more})
                for i, more in enumerate(IMAGE_VARIANTS.get(name, []))
            ]
    return [case for case in found if allowed(case)]


def allowed(case: Case) -> bool:
    """Whether the architecture takes the case: some have no levels, others no images."""
    try:
        pushforward.flows.build(
            case.flow, case.event_shape, context_dim=case.context_dim, classes=case.classes, **case.options
        )
    except pushforward.errors.PushforwardError as error:
        print(f"{case.name}: left out ({error})", file=sys.stderr)
        return False
    return True


def rows(case: Case, n: int, seed: int) -> tuple[Tensor, Tensor | None]:
    """Skewed, correlated rows of the case, and their contexts."""
    generator = torch.Generator().manual_seed(seed)
    e = torch.randn(n, *case.event_shape, generator=generator, dtype=torch.float64)
    x = 0.9 * e + 0.6 * (1.3 * e.roll(1, -1)).sin() + 0.3
    context = torch.randn(n, case.context_dim, generator=generator, dtype=torch.float64) if case.context_dim else None
    if context is not None:
        x = x + 0.4 * context[:, :1].reshape(-1, *(1,) * (x.ndim - 1))
    if case.classes:
        context = torch.randint(0, case.classes, (n,), generator=generator)
    levels = case.options.get("levels")
    if levels:
        x = ((x + 2.5) / 5 * levels).floor().clamp(0, levels - 1)
    elif case.options.get("circular"):
        x = x.clamp(-3.9, 3.9)
    x = x.to(case.dtype)
    return x, context.to(case.dtype) if context is not None and context.is_floating_point() else context


def make(case: Case) -> None:
    """Fit the flow shortly, save it, and store rows with their log-likelihoods in float64."""
    torch.manual_seed(0)
    flow = pushforward.flows.build(
        case.flow, case.event_shape, context_dim=case.context_dim, classes=case.classes, **case.options
    )
    flow = flow.to(case.dtype)
    x, context = rows(case, 256, 1)
    options = TrainingOptions(steps=2 if is_greedy(flow) else 15, batch_size=64, lr=1e-2, seed=0)
    validation, validation_context = rows(case, 64, 2)
    pushforward.fit(
        flow,
        x,
        validation=validation,
        context=context,
        validation_context=validation_context,
        options=options,
        progress=False,
    )
    folder = MODELS / case.name
    pushforward.save(flow, folder)
    x, context = rows(case, 8, 3)
    flow = pushforward.load(folder).double()
    x, context = x.double(), context.double() if context is not None and context.is_floating_point() else context
    stored = {"x": x, "log_likelihood": flow.likelihood(x, context, samples=4, seed=5).value}
    if context is not None:
        stored["context"] = context
    if flow.kind == "exact":
        stored["latent"] = flow.encode(x, context).contiguous()
    save_file(stored, MODELS / f"{case.name}.safetensors")


def compare() -> None:
    """Print the number of models and the largest difference from the stored log-likelihoods and latents."""
    differences: dict[str, tuple[float, str]] = {}
    paths = sorted(MODELS.glob("*.safetensors"))
    for path in paths:
        flow, stored = pushforward.load(MODELS / path.stem).double(), load_file(path)
        now = {"log_likelihood": flow.likelihood(stored["x"], stored.get("context"), samples=4, seed=5).value}
        if "latent" in stored:
            now["latent"] = flow.encode(stored["x"], stored.get("context"))
        for what, value in now.items():
            difference = float((value - stored[what]).abs().max().detach())
            differences[what] = max(differences.get(what, (0.0, "")), (difference, path.stem))
    print(f"{len(paths)} models of {len({path.stem.split('-')[0] for path in paths})} architectures")
    for what, (difference, name) in differences.items():
        print(f"{what}: largest difference {difference:.1e} ({name or 'equal to the bit'})")


def main() -> None:
    if sys.argv[1:] == ["--compare"]:
        compare()
        return
    MODELS.mkdir(exist_ok=True)
    for case in cases():
        if not (MODELS / case.name).exists():
            make(case)
            print(case.name)


if __name__ == "__main__":
    main()
