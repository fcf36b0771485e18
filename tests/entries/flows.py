"""Real NVP and NICE, on vectors and on images."""

from __future__ import annotations

from typing import Any

from entry import LABELS, Entry, flow_entry, vector_entry
from pushforward.events import Shape


def entries() -> list[Entry]:
    def image(name: str, shape: Shape, classes: int = 0, **options: Any) -> Entry:
        options = {"channels": 4, "blocks": 1, **options}
        return flow_entry("real_nvp", name, shape, 0, classes, **options)

    norms = ("batch", "lagged-batch", "activation")
    return [
        vector_entry("real_nvp", "2 features"),
        vector_entry("real_nvp", "1 feature", 1, activation="tanh"),
        vector_entry("real_nvp", "5 features, context", 5, context=2),
        vector_entry("real_nvp", "3 features, labels", 3, classes=LABELS),
        vector_entry("real_nvp", "64 features", 64),
        *(
            vector_entry("real_nvp", f"partition {partition}", 3, partition=partition)
            for partition in ("half", "odd-even")
        ),
        *(vector_entry("real_nvp", f"norm {norm}", norm=norm) for norm in norms),
        # Glow's scales are below 1: alone they only contract, and cannot give a density above the base's highest.
        vector_entry("real_nvp", "log-scale sigmoid, norm activation", log_scale="sigmoid", norm="activation"),
        vector_entry("real_nvp", "log-scale soft-clamp", log_scale="soft-clamp"),
        vector_entry("real_nvp", "logistic base, silu", base="logistic", activation="silu"),
        vector_entry("real_nvp", "not standardised, dropout", standardise=False, dropout=0.2),
        vector_entry("real_nvp", "levels", levels=4),
        vector_entry("real_nvp", "mixture base", 3, transforms=1, base="mixture"),
        vector_entry("real_nvp", "base given a context", 3, transforms=1, base="conditional-normal", context=2),
        image("image 2 x 2", (1, 2, 2)),
        image("image 2 x 2 x 2, norm none", (2, 2, 2), norm="none", net_norm="none"),
        image("image 8 x 8, levels", (1, 8, 8), levels=17),
        image("image 8 x 8, labels", (1, 8, 8), LABELS, levels=17),
        image("image 3 x 4 x 4, one scale", (3, 4, 4)),
        image("image 2 x 6 x 10", (2, 6, 10), levels=256),
        image("image 5 x 7, no squeeze", (1, 5, 7)),
        *(image(f"image, norm {norm}", (1, 4, 4), scales=2, norm=norm) for norm in ("lagged-batch", "activation")),
        *(image(f"image, net norm {norm}", (1, 4, 4), scales=2, net_norm=norm) for norm in ("instance", "none")),
        image("image 4 x 4, published", (1, 4, 4), scales=2, published=True),
        image("image 4 x 4, published, labels", (1, 4, 4), LABELS, scales=2, published=True),
        *(image(f"image, log-scale {s}", (1, 4, 4), scales=2, log_scale=s) for s in ("sigmoid", "soft-clamp")),
        vector_entry("nice", "2 features"),
        vector_entry("nice", "1 feature", 1, base="normal"),
        vector_entry("nice", "3 features, context", 3, context=2, base="normal"),
        vector_entry("nice", "64 features", 64),
        flow_entry("nice", "image, levels", (1, 4, 4), classes=LABELS, levels=17, hidden=(16,)),
    ]
