"""Whether the ends of an interval are data that a flow takes is asked of the flow."""

from __future__ import annotations

import pytest
import torch

from pushforward.bases import StandardNormal, UniformBox
from pushforward.errors import DataError
from pushforward.flow import Flow
from pushforward.maps import RationalQuadraticSpline
from pushforward.row_domain import require_inside
from pushforward.rows import Rows
from pushforward.training import TrainingOptions, fit
from pushforward.transforms import Chain, Elementwise, Identity, Log, Logit, Product, Standardise


def test_a_zero_is_no_data_of_a_logarithm() -> None:
    flow = Flow(StandardNormal((2,)), Chain([Product([Identity((1,)), Log((1,))]), Standardise((2,))]))
    x = torch.rand(40, 2) + 0.1
    require_inside(flow, Rows(x), str)
    x[17, 1] = x[30, 1] = 0
    with pytest.raises(DataError) as caught:
        fit(flow, x, options=TrainingOptions(steps=1), progress=False)
    text = "training row 17 has the value 0.0, but this flow takes interval (0, inf) in column 1; 2 of 40 rows"
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_the_ends_are_data_of_a_flow_that_takes_them(value: float) -> None:
    box = Flow(UniformBox((1,), 0.0, 1.0), Elementwise(RationalQuadraticSpline(3, tails="box"), (1,)))
    x = torch.rand(40, 1)
    x[4] = value
    require_inside(box, Rows(x), str)
    logit = Flow(StandardNormal((1,)), Logit((1,), 0.0))
    with pytest.raises(DataError, match=rf"row 4 has the value {value}, but this flow takes interval \(0, 1\)"):
        require_inside(logit, Rows(x), "row {}".format)
