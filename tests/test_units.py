import math

import numpy as np

from pushforward import flows
from pushforward.units import better, in_unit, unit_of


def test_a_flow_on_integers_is_measured_in_bits_per_dimension():
    assert unit_of(flows.build("nice", (2,))) == "nats"
    assert unit_of(flows.build("nice", (2,), levels=4)) == "bits/dim"


def test_bits_per_dimension_of_uniform_integers_are_the_bits_of_a_value():
    assert in_unit(-3 * math.log(256), "bits/dim", 3) == 8.0
    np.testing.assert_allclose(in_unit(np.full(2, -3 * math.log(4)), "bits/dim", 3), 2.0)
    assert in_unit(-1.5, "nats", 3) == -1.5


def test_lower_bits_and_higher_nats_are_better():
    assert (better("bits/dim"), better("nats")) == ("lower", "higher")
