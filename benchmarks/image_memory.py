"""Memory of a training step on images of 3 x 32 x 32, by what is stored for the gradients.

    python benchmarks/image_memory.py --batch 16
    python benchmarks/image_memory.py --flows real_nvp-cifar10 --batch 64

Real NVP of the size of its paper (the preset real_nvp-cifar10), and Glow of 3 scales with 8 steps of 128 channels each.
They store all activations, or the inputs of steps (`ActivationCheckpoints`), or the outputs alone (`Reversible`). Each
row is a process of its own: the peak of live tensors in a step on four images, divided by four, as torch counts them;
the growth of the resident memory in a step on the whole batch; the processor's time for that step, on one thread.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from image_speed import resident
from torch.profiler import ProfilerActivity, profile

_SHAPE = (3, 32, 32)
_FEW = 4
_FLOWS = {"real_nvp-cifar10": ("activations", "inputs"), "glow": ("activations", "inputs", "outputs")}


def build(flow: str, stored: str) -> torch.nn.Module:
    """A flow that stores the given tensors for the gradients."""
    from pushforward import Chain, Flow, flows, presets
    from pushforward.bases import StandardNormal
    from pushforward.flows.architectures.glow import GlowImageOptions
    from pushforward.flows.parts.scales import act_norm_nets, coupling_steps, squeezed_scales
    from pushforward.maps import Affine, SoftClampScale
    from pushforward.transforms import ActivationCheckpoints, Reversible, Transform

    if flow != "glow":
        preset = presets.load(flow)
        saving = stored == "inputs"
        return flows.build(preset.flow, event_shape=_SHAPE, levels=256, memory_saving=saving, **preset.options)
    options = GlowImageOptions(channels=128, transforms=8)
    joins: dict[str, Callable[[Sequence[Transform]], Transform]]
    joins = {"activations": Chain, "inputs": ActivationCheckpoints, "outputs": Reversible}
    steps = coupling_steps(options, lambda: Affine(SoftClampScale(2.0)), act_norm_nets(options, 0))
    scales = squeezed_scales(_SHAPE, 0, None, steps, join=joins[stored])
    return Flow(StandardNormal(scales.latent_shape), scales)


def measure(flow: str, stored: str, batch: int) -> tuple[float, float, float]:
    """MiB of live tensors an image, MiB by which the process grows, and seconds of a step."""
    torch.manual_seed(0)
    model = build(flow, stored)
    x = torch.randint(0, 256, (max(batch, _FEW), *_SHAPE)).float()
    model.initialise(x[:_FEW])
    objective = model.objective.train()
    optimiser = torch.optim.Adam(model.parameters(), fused=True)

    def step(rows: torch.Tensor) -> None:
        optimiser.zero_grad()
        objective(rows).value.backward()
        optimiser.step()

    step(x[:_FEW])
    Path("/proc/self/clear_refs").write_text("5")  # the kernel forgets the peak so far
    before, started = resident("VmRSS"), time.process_time()
    step(x[:batch])
    seconds, growth = time.process_time() - started, (resident("VmHWM") - before) / 1024
    return _live_peak(lambda: objective(x[:_FEW]).value.backward()) / _FEW, growth, seconds


def _live_peak(call: Callable[[], object]) -> float:
    """The peak of memory that torch's tensors take in a call, in MiB above that before."""
    call()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    taken = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        taken += event.nbytes()
        peak = max(peak, taken)
    return peak / 2**20


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``given`` stands in for the program's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flows", nargs="+", default=list(_FLOWS), choices=list(_FLOWS))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args(given)


def main() -> None:
    arguments = parse_arguments()
    if arguments.one:
        torch.set_num_threads(1)
        print(*measure(*arguments.one, arguments.batch))
        return
    print(
        "| flow | stored | live tensors, MiB an image | growth of the process, MiB | step, s |\n"
        "|---|---|---:|---:|---:|"
    )
    for flow in arguments.flows:
        for stored in _FLOWS[flow]:
            command = [sys.executable, __file__, "--one", flow, stored, "--batch", str(arguments.batch)]
            answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
            live, growth, seconds = map(float, answer.split())
            print(f"| {flow} | {stored} | {live:.1f} | {growth:.0f} | {seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()
