"""Steps and flows that are fitted one step after the other, and the whitening before them."""

from __future__ import annotations

from typing import Any

import torch

from entry import Entry, Reason, flow_entry, map_entry, transform_entry
from pushforward.maps import StoredSpline
from pushforward.maps.stored_spline import Knots
from pushforward.transforms import LocalMaps, MarginalGaussianization, SlicedGaussianization, Whiten


def _stored() -> StoredSpline:
    map = StoredSpline(3, 3)
    x = torch.tensor([[-2.0, -0.5, 0.25, 3.0], [0.0, 1.0, 2.0, 3.0], [-1.0, 0.0, 0.5, 1.0]])
    y = torch.tensor([[-1.5, -1.0, 0.75, 2.0], [0.0, 1.0, 2.0, 3.0], [4.0, 4.5, 7.0, 7.5]])
    slopes = torch.tensor([[0.8, 0.5, 1.5, 0.4], [1.0, 2.0, 3.0, 1.0], [2.0, 0.1, 4.0, 0.5]])
    map.store(Knots(x, y, slopes, torch.tensor([True, False, True])))
    return map


def entries() -> list[Entry]:
    compiled = {"i": Reason.COMPILED_ALREADY}

    def flow(name: str, what: str, features: int = 2, context: int = 0, **options: Any) -> Entry:
        small = {"transforms": 2, **({"block": 4} if name == "tabak_turner" else {"bins": 6, "damping": 0.2})}
        return flow_entry(name, what, (features,), context, more={"skips": compiled}, **{**small, **options})

    return [
        map_entry("stored spline", lambda dtype: _stored(), event_shape=(3,), golden=True, skips=compiled),
        transform_entry("whitening", (3,), lambda: Whiten(3), smooth=True, golden=True),
        transform_entry("whitening, context", (3,), lambda: Whiten(3, 2), context=(2,), smooth=True, skips=compiled),
        transform_entry("expansions, radial", (3,), lambda: LocalMaps(3, 3), smooth=True, golden=True, skips=compiled),
        transform_entry(
            "expansions, marginal", (3,), lambda: LocalMaps(3, 2, "marginal"), smooth=True, golden=True, skips=compiled
        ),
        transform_entry(
            "expansions, context", (2,), lambda: LocalMaps(2, 3, "radial", 2), context=(2,), smooth=True, golden=True
        ),
        transform_entry("marginal gaussianization", (3,), lambda: MarginalGaussianization(3, 5), golden=True),
        transform_entry(
            "sliced gaussianization", (3,), lambda: SlicedGaussianization(3, 2, 5), golden=True, skips=compiled
        ),
        *(
            flow(name, what, features)
            for name in ("rbig", "sliced_iterative")
            for what, features in (("2 features", 2), ("1 feature", 1), ("64 features", 64))
        ),
        flow("tabak_turner", "2 features", block=12),
        flow("tabak_turner", "1 feature", 1),
        flow("tabak_turner", "64 features", 64),
        flow("rbig", "3 features, independent components", 3, rotation="ica"),
        flow("tabak_turner", "3 features, context", 3, 2, maps="both"),
    ]
