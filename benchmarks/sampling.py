"""Time of `sample` against that of `log_prob` for autoregressive flows, ours and those of other libraries, in one run.

    python benchmarks/sampling.py --threads 2 --json runs/sampling.json

Plain autoregressive sampling runs the net once for each feature, so that it takes some D times as long as scoring. The
calls of all libraries alternate, so that whatever else the machine does meets all alike, and medians are compared. A
library that cannot be imported is named and left out; flowjax may live in a folder of its own, put on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Size:
    """The flows that are compared: ``hidden`` layers of ``width`` in each of ``transforms`` nets, ``bins`` a spline."""

    features: int = 64
    width: int = 512
    hidden: int = 2
    transforms: int = 5
    bins: int = 8
    samples: int = 2048


@dataclass(frozen=True)
class Subject:
    """One flow of one library: two calls that score and draw ``samples`` rows, and wait until that is done."""

    flow: str
    library: str
    log_prob: Callable[[], object]
    sample: Callable[[], object]


def ours(size: Size) -> Iterator[Subject]:
    """The flows here. Their nets start at zero, which takes as long as any other weights: nothing branches on data."""
    import pushforward

    shape = {"transforms": size.transforms, "hidden": (size.width,) * size.hidden}
    for name, options in (("maf", {}), ("nsf_ar", {"bins": size.bins})):
        flow = pushforward.flows.build(name, event_shape=(size.features,), **shape, **options).eval()
        yield _torch_subject(name, "pushforward", size, flow.log_prob, flow.sample)


def zukos(size: Size) -> Iterator[Subject]:
    """zuko's MAF and NSF."""
    import zuko

    shape = {"features": size.features, "transforms": size.transforms, "hidden_features": (size.width,) * size.hidden}
    for name, flow in (("maf", zuko.flows.MAF(**shape)), ("nsf_ar", zuko.flows.NSF(bins=size.bins, **shape))):
        yield _torch_subject(
            name,
            "zuko",
            size,
            lambda x, flow=flow: flow().log_prob(x),
            lambda n, flow=flow: flow().sample((n,)),
        )


def nflows(size: Size) -> Iterator[Subject]:
    """nflows' MAF, and its spline transform in the same places; its nets are plain, with as many layers as ours."""
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow
    from nflows.transforms import (
        CompositeTransform,
        MaskedAffineAutoregressiveTransform,
        MaskedPiecewiseRationalQuadraticAutoregressiveTransform,
        ReversePermutation,
    )

    net = {
        "features": size.features,
        "hidden_features": size.width,
        "num_blocks": size.hidden - 1,
        "use_residual_blocks": False,
    }
    spline = {"num_bins": size.bins, "tails": "linear", "tail_bound": 5.0}
    steps = {
        "maf": lambda: MaskedAffineAutoregressiveTransform(**net),
        "nsf_ar": lambda: MaskedPiecewiseRationalQuadraticAutoregressiveTransform(**net, **spline),
    }
    for name, step in steps.items():
        parts = [part for _ in range(size.transforms) for part in (ReversePermutation(size.features), step())]
        flow = Flow(CompositeTransform(parts), StandardNormal([size.features])).eval()
        yield _torch_subject(name, "nflows", size, flow.log_prob, flow.sample)


def flowjaxs(size: Size) -> Iterator[Subject]:
    """flowjax's masked autoregressive flow, with its affine map and with its spline, both calls compiled."""
    import equinox
    import jax
    from flowjax.bijections import RationalQuadraticSpline
    from flowjax.distributions import Normal
    from flowjax.flows import masked_autoregressive_flow

    key, x = jax.random.key(0), jax.random.normal(jax.random.key(1), (size.samples, size.features))
    spline = RationalQuadraticSpline(knots=size.bins, interval=5)
    for name, transformer in (("maf", None), ("nsf_ar", spline)):
        flow = masked_autoregressive_flow(
            key,
            base_dist=Normal(jax.numpy.zeros(size.features)),
            transformer=transformer,
            flow_layers=size.transforms,
            nn_width=size.width,
            nn_depth=size.hidden,
        )
        log_prob = equinox.filter_jit(lambda flow, x: flow.log_prob(x))
        sample = equinox.filter_jit(lambda flow, key: flow.sample(key, (size.samples,)))
        yield Subject(
            name,
            "flowjax",
            lambda log_prob=log_prob, flow=flow: log_prob(flow, x).block_until_ready(),
            lambda sample=sample, flow=flow: sample(flow, key).block_until_ready(),
        )


def _torch_subject(
    flow: str, library: str, size: Size, log_prob: Callable[[torch.Tensor], object], sample: Callable[[int], object]
) -> Subject:
    x = torch.randn(size.samples, size.features, generator=torch.Generator().manual_seed(0))
    return Subject(flow, library, lambda: log_prob(x), lambda: sample(size.samples))


LIBRARIES = {"pushforward": ours, "zuko": zukos, "nflows": nflows, "flowjax": flowjaxs}


def gather(names: list[str], size: Size) -> list[Subject]:
    """The subjects of all libraries that can be imported, flow by flow."""
    found: list[Subject] = []
    for name in names:
        try:
            found += LIBRARIES[name](size)
        except ImportError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return sorted(found, key=lambda subject: subject.flow)


@torch.no_grad()
def measure(subjects: list[Subject], rounds: int) -> list[dict[str, object]]:
    """Medians in milliseconds over ``rounds`` rounds of all calls in turn, after one that is not counted."""
    times: list[tuple[list[float], list[float]]] = [([], []) for _ in subjects]
    for turn in range(rounds + 1):
        for subject, found in zip(subjects, times, strict=True):
            for call, taken in zip((subject.log_prob, subject.sample), found, strict=True):
                start = time.perf_counter()
                call()
                if turn:
                    taken.append(1000 * (time.perf_counter() - start))
    lines = []
    for subject, found in zip(subjects, times, strict=True):
        score, draw = map(statistics.median, found)
        named = {"flow": subject.flow, "library": subject.library}
        lines.append({**named, "log_prob_ms": score, "sample_ms": draw, "ratio": draw / score})
    return lines


def markdown(lines: list[dict[str, object]]) -> str:
    rows = ["| flow | library | log_prob, ms | sample, ms | sample / log_prob |", "|---|---|---|---|---|"]
    for line in lines:
        figures = f"{line['log_prob_ms']:.1f} | {line['sample_ms']:.1f} | {line['ratio']:.1f}"
        rows.append(f"| {line['flow']} | {line['library']} | {figures} |")
    return "\n".join(rows)


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--libraries", default=",".join(LIBRARIES), help="names with commas")
    for name, value in asdict(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args(given)
    arguments.libraries = arguments.libraries.split(",")
    if unknown := [name for name in arguments.libraries if name not in LIBRARIES]:
        parser.error(f"library {unknown[0]!r} is not known; there are {', '.join(LIBRARIES)}")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    if arguments.threads == 1:
        # jax reads this when it is first imported; it knows one thread and all, nothing in between.
        os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    size = Size(**{name: getattr(arguments, name) for name in asdict(Size())})
    lines = measure(gather(arguments.libraries, size), arguments.rounds)
    print(markdown(lines))
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        record = {"size": asdict(size), "rounds": arguments.rounds, "threads": arguments.threads, "lines": lines}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
