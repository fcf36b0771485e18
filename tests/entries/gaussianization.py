"""The gaussianization flow, its map and its rotations."""

from __future__ import annotations

from torch import Tensor, nn

from entry import Entry, Reason, flow_entry, map_entry, transform_entry
from pushforward.maps import ProbitMixture
from pushforward.nets import MLP
from pushforward.transforms import Elementwise

_COMPONENTS = 4


def _components(flow: nn.Module) -> list[Tensor]:
    """The parameters of every mixture, by component."""
    found = []
    for module in flow.modules():
        if isinstance(module, Elementwise) and isinstance(module.map, ProbitMixture):
            params = module.map.with_start(module.weight.detach())
            found.append(params.unflatten(0, (3, -1)).movedim(1, 0))
    return found


def _conditional() -> Elementwise:
    map = ProbitMixture(_COMPONENTS)
    return Elementwise(map, (3,), MLP(2, map.n_params * 3, (6,), activation="tanh"))


def entries() -> list[Entry]:
    # The map is what there is to compile.
    compiled = {"i": Reason.COMPILED_ALREADY}

    def flow(name: str, features: int, context: int = 0, transforms: int = 2, components: int = 4) -> Entry:
        more = {"mixtures": _components, "skips": compiled}
        options = {"transforms": transforms, "components": components, "hidden": (8,)}
        return flow_entry("gaussianization", name, (features,), context, more=more, **options)

    return [
        map_entry(
            "probit mixture",
            lambda dtype: ProbitMixture(_COMPONENTS),
            mixtures=_components,
            differences=True,
            smooth=True,
            golden=True,
        ),
        transform_entry(
            "elementwise, start from data, context",
            (3,),
            _conditional,
            context=(2,),
            mixtures=_components,
            skips=compiled,
        ),
        flow("2 features", 2, transforms=3, components=8),
        flow("1 feature", 1),
        flow("3 features, context", 3, context=2),
        flow("64 features", 64),
    ]
