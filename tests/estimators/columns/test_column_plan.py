"""Plans of columns: every kind is guessed, encoded, and given back with its type."""

from typing import Any

import numpy as np
import pyarrow
import pytest
import torch

from pushforward.errors import DataError, ModelError, OptionError, ShapeError
from pushforward.estimators.columns.plan import ColumnPlan
from pushforward.estimators.encoded import UNKNOWN, ColumnShape, EncodedRows

RNG = np.random.default_rng(0)
N = 400
DAYS = np.datetime64("2020-01-01") + RNG.integers(0, 500, N)

# A column, the hint, and the label of its kind.
KINDS: dict[str, tuple[Any, str | None, str]] = {
    "normal": (RNG.normal(size=N), None, "real"),
    "float32": (RNG.normal(size=N).astype(np.float32), None, "real"),
    "tiny": (1e-40 * RNG.normal(size=N), None, "real"),
    "huge": (1e200 * RNG.normal(size=N), None, "real"),
    "heavy": (RNG.standard_t(1.5, N), None, "real"),
    "lognormal": (np.exp(3 * RNG.normal(size=N)), None, "positive"),
    "rate": (RNG.uniform(size=N), None, "bounded"),
    "percent": (RNG.uniform(1, 99, size=N), "bounded:0:100", "bounded"),
    "rain": (np.where(RNG.uniform(size=N) < 0.4, 0, RNG.exponential(size=N)), None, "positive"),
    "capped": (np.minimum(np.exp(RNG.normal(size=N)), 3.0), None, "bounded"),
    "sentinel": (np.where(RNG.uniform(size=N) < 0.1, -999, RNG.normal(20, 5, N)), None, "real"),
    "gaps": (np.where(RNG.uniform(size=N) < 0.1, np.nan, RNG.normal(size=N)), None, "real"),
    "infinite": (np.where(RNG.uniform(size=N) < 0.1, np.inf, RNG.normal(size=N)), None, "real"),
    "few": (RNG.poisson(2, N), None, "integer"),
    "many": (RNG.integers(-500, 500, N), None, "integer"),
    "small": (RNG.integers(0, 256, N).astype(np.uint8), None, "integer"),
    "count": (RNG.geometric(0.01, N), None, "integer"),
    "tenths": (RNG.integers(-20, 20, N) / 10, None, "rounded"),
    "standardised": (((RNG.integers(0, 100, N) - 50) / 28.9).round(4), None, "rounded"),
    "in steps": (3 + 0.7 * RNG.integers(0, 90, N), None, "rounded"),
    "two": (RNG.choice([0.1, 1.0], N), None, "few values"),
    "text": (RNG.choice(["FR", "DE", "Österreich"], N), None, "category"),
    "zip": (RNG.choice([1010, 8010, 5020], N), "category", "integer"),
    "bool": (RNG.uniform(size=N) < 0.3, None, "boolean"),
    "encoded": (pyarrow.array(RNG.choice(["x", "y"], N)).dictionary_encode(), None, "category"),
    "day": (DAYS, None, "date"),
    "moment": (DAYS.astype("M8[ns]") + 10**6 * RNG.integers(0, 10**3, N).astype("m8[ns]"), None, "date"),
    "zoned": (pyarrow.array(DAYS.astype("M8[us]"), pyarrow.timestamp("us", "Europe/Paris")), None, "date"),
    "iso": ([str(day) for day in DAYS], None, "date"),
    "iso time": ([f"{day} 10:00:00" for day in DAYS], None, "date"),
    "iso zone": ([f"{day}T10:00:00.250Z" for day in DAYS], None, "date"),
    "time of day": (pyarrow.array(RNG.integers(0, 1440, N) * 60, pyarrow.int32()).cast("time32[s]"), None, "time"),
    "duration": ((1000 * RNG.integers(0, 500, N)).astype("m8[ms]"), None, "time"),
    "angle": (RNG.vonmises(0, 2, N) % (2 * np.pi), "period:0:6.283185307179586", "periodic"),
    "hour": (RNG.integers(0, 24, N), "period:0:24", "periodic"),
    "nullable": (pyarrow.array([None if i % 7 == 0 else i % 3 for i in range(N)]), None, "integer"),
    "decimal": (pyarrow.array(RNG.normal(size=N).round(6)).cast(pyarrow.decimal128(12, 6)), None, "real"),
}


def encoded(name: str, library: bool) -> tuple[Any, ColumnPlan]:
    column, hint, _ = KINDS[name]
    table: Any = {name: column, "other": RNG.normal(size=N)}
    if library:
        table = pyarrow.table({key: pyarrow.array(value, from_pandas=True) for key, value in table.items()})
    return table, ColumnPlan.guess(table, {} if hint is None else {name: hint})


def as_array(column: Any) -> Any:
    if isinstance(column, pyarrow.ChunkedArray):
        return column.combine_chunks()
    return column if isinstance(column, pyarrow.Array) else pyarrow.array(column, from_pandas=True)


@pytest.mark.parametrize("library", [False, True], ids=["numpy", "arrow"])
@pytest.mark.parametrize("name", KINDS)
def test_a_column_comes_back_with_its_values_and_its_type(name: str, library: bool) -> None:
    table, plan = encoded(name, library)
    assert plan.columns[0].kind.label == KINDS[name][2]
    rows = plan.encode(table, generator=torch.Generator().manual_seed(0))
    assert not rows.impossible.any()
    back = plan.decode(rows)
    if library:
        assert back.schema.types == table.schema.types
    ours, theirs = (as_array(part[name]) for part in (back, table))
    if name in ("zoned", "encoded"):  # NumPy has no zones and no dictionaries
        ours, theirs = (part.cast(pyarrow.table(table)[name].type, safe=False) for part in (ours, theirs))
    if pyarrow.types.is_floating(ours.type):
        numbers = theirs.to_numpy(zero_copy_only=False)
        scale = np.nanmax(np.abs(numbers[np.isfinite(numbers)]))
        np.testing.assert_allclose(ours.to_numpy(zero_copy_only=False) / scale, numbers / scale, rtol=1e-6, atol=1e-15)
    else:
        assert ours.equals(theirs) or ours.to_pylist() == theirs.to_pylist()


@pytest.mark.parametrize("name", KINDS)
def test_values_are_about_standard(name: str) -> None:
    table, plan = encoded(name, False)
    if plan.shapes[0].value:
        rows = plan.encode(table, generator=torch.Generator().manual_seed(0))
        values = rows.values[:, 0][rows.states[:, 0] == 0]
        assert abs(values.median()) < 0.2
        assert 0.7 < (values.quantile(0.84) - values.quantile(0.16)) / 2 < 1.3


@pytest.mark.parametrize("name", KINDS)
def test_samples_of_any_size_are_in_the_support(name: str) -> None:
    _, plan = encoded(name, True)
    draws = torch.randn(200, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    states = torch.stack([torch.arange(200) % shape.states for shape in plan.shapes], 1)
    for scale in (1, 10, 200):
        values = torch.where((states == 0) & torch.tensor([shape.value for shape in plan.shapes]), scale * draws, 0.0)
        table = plan.decode(EncodedRows.of(states, values))
        again = plan.encode(table)
        assert not again.impossible.any(), plan.problems(table)
        assert torch.equal(again.states, states)
        assert again.values.isfinite().all()


@pytest.mark.parametrize("name", ["normal", "heavy", "lognormal", "rate", "percent", "rain", "capped", "angle"])
def test_log_slopes_are_the_derivatives(name: str) -> None:
    column = np.asarray(KINDS[name][0])
    table, plan = encoded(name, False)
    rows = plan.encode(table)
    step = 1e-6 * np.abs(column)
    moved = [plan.encode({**table, name: column + sign * step}) for sign in (-1, 1)]
    inside = (rows.states[:, 0] == 0) & ~moved[0].impossible & ~moved[1].impossible
    slope = (moved[1].values - moved[0].values)[:, 0][inside] / torch.from_numpy(2 * step)[inside]
    smooth = rows.values[:, 0][inside].abs().sub(3).abs() > 1e-3
    torch.testing.assert_close(slope.log()[smooth], rows.log_slopes[:, 0][inside][smooth], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_a_plan_survives_json(name: str) -> None:
    table, plan = encoded(name, True)
    again = ColumnPlan.from_json(plan.to_json())
    assert again == plan
    first, second = (p.encode(table, generator=torch.Generator().manual_seed(1)) for p in (plan, again))
    assert torch.equal(first.values, second.values)


def test_the_form_of_dates_in_text_is_that_of_the_finest_row() -> None:
    texts = ["2024-03-01 10:00:00", *(f"2024-03-{i % 28 + 1:02} 11:22:33.{i:06}" for i in range(300))]
    plan = ColumnPlan.guess({"at": texts, "x": RNG.normal(size=301)})
    assert plan.columns[0].kind.label == "date"
    assert plan.decode(plan.encode({"at": texts, "x": RNG.normal(size=301)}, places=[0.5]))["at"][:2].tolist() == [
        "2024-03-01 10:00:00.000000",
        "2024-03-01 11:22:33.000000",
    ]


@pytest.mark.parametrize("dtype", [int, float])
def test_many_multiples_of_1000_are_a_grid_of_that_step(dtype: type) -> None:
    salaries = 1000 * np.rint(np.exp(np.random.default_rng(0).normal(3.5, 0.4, 300))).astype(dtype)
    for count, step in ((300, 1000), (40, 1)):
        table = {"salary": salaries[:count]}
        plan = ColumnPlan.guess(table)
        assert plan.columns[0].kind.step == step
        decoded = plan.decode(plan.encode(table, generator=torch.Generator().manual_seed(0)))["salary"]
        assert (decoded == salaries[:count]).all()
    assert "all multiples of 1,000" in ColumnPlan.guess({"salary": salaries}).columns[0].reason
    assert ColumnPlan.guess({"salary": salaries}, {"salary": "integer"}).columns[0].kind.step == 1


@pytest.mark.parametrize(("arrow", "day"), [("time64[us]", 86_400_000_000), ("duration[us]", 2**62)])
def test_times_of_day_and_durations_stay_in_their_range(arrow: str, day: int) -> None:
    counts = np.random.default_rng(0).integers(0, 86_400, 300) * 1_000_000
    table = pyarrow.table({"t": pyarrow.array(counts).cast(arrow)})
    plan = ColumnPlan.guess(table)
    values = torch.linspace(-9, 9, 500, dtype=torch.float64)[:, None]
    drawn = plan.decode(EncodedRows.of(torch.zeros(500, 1, dtype=torch.int64), values))["t"]
    drawn_counts = drawn.cast(pyarrow.int64()).to_numpy()
    assert drawn_counts.min() >= 0
    assert drawn_counts.max() < day
    assert not plan.encode({"t": drawn}).impossible.any()
    assert plan.decode(plan.encode(table)) == table


def test_columns_that_are_left_out_are_restored() -> None:
    x = RNG.normal(size=N)
    table = {
        "row": np.arange(N),
        "x": x,
        "y": RNG.normal(size=N),
        "constant": np.full(N, "always"),
        "empty": pyarrow.nulls(N),
        "same": x,
        "fahrenheit": 1.8 * x + 32,
        "name": [f"person {i}" for i in range(N)],
        "w": RNG.uniform(size=N),
    }
    table["difference"] = table["x"] - 0.5 * table["y"]
    plan = ColumnPlan.guess(table, {"w": "weight"})
    assert plan.names == ("x", "y")
    kinds = {column.name: column.kind.label for column in plan.left_out}
    assert list(kinds.values()) == ["index", "constant", "empty", "copy", "copy", "id", "weight", "copy"]
    rows = plan.encode(table)
    assert not rows.impossible.any()
    back = plan.decode(rows)
    assert list(back) == [name for name in table if name != "w"]
    np.testing.assert_array_equal(back["same"], back["x"])
    np.testing.assert_allclose(back["fahrenheit"], table["fahrenheit"])
    np.testing.assert_allclose(back["difference"], table["difference"])
    assert set(back["constant"]) == {"always"}
    np.testing.assert_array_equal(back["row"], np.arange(N))
    weights = plan.weights(table)
    assert weights is not None
    np.testing.assert_array_equal(weights, table["w"])


def test_the_reason_of_a_logarithm_tells_positive_numbers_from_counts() -> None:
    counts = np.floor(np.exp(2 * RNG.normal(size=1000) + 2)).astype(int)
    plan = ColumnPlan.guess(
        {"from_0": counts, "from_1": RNG.permutation(counts) + 1, "x": np.exp(3 * RNG.normal(size=1000))}
    )
    reasons = {column.name: column.reason for column in plan.columns}
    assert "none negative" in reasons["from_0"]
    assert "all positive" in reasons["from_1"]
    assert "all positive" in reasons["x"]


def test_impossible_cells_are_named() -> None:
    table = {"land": RNG.choice(["FR", "DE"], N), "x": RNG.normal(size=N), "p": np.exp(3 * RNG.normal(size=N))}
    table["twice"] = 2 * table["x"]
    plan = ColumnPlan.guess(table)
    other = {"land": ["FR", "XX", "DE", "FR"], "x": [0.0, 1.0, np.nan, 2.0], "p": [1.0, -1.0, 1.0, 1.0]}
    other["twice"] = [0.0, 2.0, np.nan, 5.0]
    assert plan.encode(other).impossible.tolist() == [False, True, True, True]
    assert [problem[:2] for problem in plan.problems(other)] == [("land", 1), ("x", 2), ("p", 1), ("twice", 3)]
    assert plan.problems(other)[0].sentence == "column 'land', row 1: one of DE, FR expected, got 'XX'"
    assert len(plan.problems(other, limit=2)) == 2
    again = {"land": ["XX", "FR", "XX"], "x": [None, 0.0, np.nan], "p": [-1.0, 1.0, -2.0], "twice": [0.0, 0.0, 0.0]}
    first = [("land", 0), ("x", 0), ("p", 0), ("p", 2)]
    assert [problem[:2] for problem in plan.problems(again, repeated=False)][:4] == first


def test_unknown_columns_and_gaps_of_a_partial_table() -> None:
    plan = ColumnPlan.guess({"x": RNG.normal(size=N), "y": RNG.normal(size=N)})
    rows = plan.encode({"y": [1.0, None]}, partial=True)
    assert rows.states.tolist() == [[UNKNOWN, 0], [UNKNOWN, UNKNOWN]]
    assert not rows.impossible.any()
    with pytest.raises(DataError, match="the table lacks the columns x; it has y"):
        plan.encode({"y": [1.0]})


def test_order_and_further_columns_do_not_matter() -> None:
    table = {"x": RNG.normal(size=N), "y": RNG.normal(size=N)}
    plan = ColumnPlan.guess(table)
    rows = plan.encode({"z": np.zeros(N), "y": table["y"], "x": table["x"]})
    assert torch.equal(rows.values, plan.encode(table).values)


def test_one_wild_value_ruins_nothing() -> None:
    x = RNG.normal(size=4000)
    calm = ColumnPlan.guess({"x": x})
    x[7] = 1e9
    plan = ColumnPlan.guess({"x": x})
    assert "wild: 1e+09" in plan.columns[0].reason
    points = {"x": [0.0, 1.0, 2.0]}
    torch.testing.assert_close(plan.encode(points).values, calm.encode(points).values, rtol=0, atol=0.01)
    assert plan.encode({"x": [1e9]}).values.item() < 30


def test_shapes_count_atoms_and_gaps() -> None:
    x = np.where(RNG.uniform(size=N) < 0.3, 0, RNG.exponential(size=N))
    x[:10] = np.nan
    plan = ColumnPlan.guess({"x": x})
    assert plan.shapes == (ColumnShape(3),)
    assert plan.encode({"x": [1.0, 0.0, np.nan]}).states.tolist() == [[0], [1], [2]]


def test_json_is_closed() -> None:
    text = ColumnPlan.guess({"x": RNG.normal(size=N)}).to_json()
    for old, new in (('"format":', '"form":'), ("real", "unreal"), ('"double"', '"object"'), ('"x"', "1")):
        with pytest.raises(ModelError, match="the plan of the columns cannot be used"):
            ColumnPlan.from_json(text.replace(old, new))


def test_json_of_impossible_kinds_is_refused() -> None:
    turns = ColumnPlan.guess({"x": RNG.uniform(size=N)}, {"x": "period:0:1"}).to_json()
    steps = ColumnPlan.guess({"x": KINDS["standardised"][0]}).to_json()
    known = steps[steps.index('"known": [') :].split(",")[0]
    for text, old, new in ((turns, '"high": 1.0', '"high": -1.0'), (steps, known, known + ", 7.0")):
        assert old in text
        with pytest.raises(ModelError, match="in ascending order expected"):
            ColumnPlan.from_json(text.replace(old, new))


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ({"x": "positve"}, "unknown kind 'positve'; did you mean positive"),
        ({"y": "real"}, "there is no column 'y'"),
        ({"x": "period"}, "period:LOW:HIGH expected"),
        ({"x": "period:360:0"}, "LOW below HIGH"),
        ({"x": "atoms:a"}, "numbers expected, got 'a'"),
        ({"x": "bounded::"}, "LOW below HIGH"),
    ],
)
def test_wrong_hints_are_refused_by_name(kinds: dict[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ColumnPlan.guess({"x": RNG.normal(size=N)}, kinds)


def test_data_that_contradict_a_hint() -> None:
    with pytest.raises(DataError, match="column 'x' has the value -1"):
        ColumnPlan.guess({"x": [-1.0, 2.0, 3.5]}, {"x": "positive"})
    with pytest.raises(ShapeError, match="columns of one length"):
        ColumnPlan.guess({"x": [1, 2], "y": [1]})


SQUARES = [d * d for d in range(10)]
# Small tables, the kinds of their columns as guessed, and hints.
TABLES = {
    "booleans": ({"a": range(10), "b": [False, True] * 5}, {}, ["index", "boolean"]),
    "proportions": ({"p": [0, 0, 0.2, 0.4, 0.5, 0.7, 0.9, 1, 1, 0.3]}, {}, ["bounded"]),
    "labels": ({"age": range(20, 30), "country": ["FR", "DE"] * 5}, {}, ["integer", "category"]),
    "a constant": ({"a": range(10), "b": [7] * 10}, {}, ["integer", "constant"]),
    "dates": ({"date": [f"2020-01-{d:02}" for d in range(1, 11)], "y": SQUARES}, {}, ["date", "integer"]),
    "a copy": ({"a": SQUARES, "b": SQUARES}, {}, ["integer", "copy"]),
    "counts": ({"kids": [0, 0, 1, 2, 2, 2, 3, 1, 0, 1]}, {}, ["integer"]),
    "gaps": ({"a": range(10), "b": [0, 1, 4, 9, None, 25, 36, 49, 64, 81]}, {}, ["index", "integer"]),
    "weights": ({"x": range(10), "w": [1.0] * 8 + [0.1] * 2}, {"w": "weight"}, ["integer", "weight"]),
    "angles": ({"angle": [1, 5, 10, 350, 355, 370, 20, 340, 359, 2]}, {"angle": "period:0:360"}, ["periodic"]),
}


@pytest.mark.parametrize("name", TABLES)
def test_small_tables_get_the_kinds_that_a_reader_expects(name: str) -> None:
    table, kinds, labels = TABLES[name]
    columns = {key: list(values) for key, values in table.items()}
    plan = ColumnPlan.guess(columns, kinds)
    assert [column.kind.label for column in plan.columns] == labels
    rows = plan.encode(columns, generator=torch.Generator().manual_seed(0))
    assert not rows.impossible.any()
    back = plan.decode(rows)
    for key in back:
        expected = [value % 360 for value in columns[key]] if key == "angle" else columns[key]
        assert pyarrow.array(back[key], from_pandas=True).to_pylist() == pytest.approx(expected)


def test_a_value_that_no_training_row_had_is_possible_on_the_grid() -> None:
    column = ((np.delete(np.arange(100), 40).repeat(4) - 50) / 28.9).round(4)
    plan = ColumnPlan.guess({"x": RNG.permutation(column)})
    assert plan.encode({"x": [-10 / 28.9, 0.0001, 0.01]}).impossible.tolist() == [False, False, True]
    assert "steps of 0.0346" in plan.columns[0].reason


def test_heaped_values_are_no_atoms_and_zeros_caps_and_sentinels_are() -> None:
    heaped = 5 * RNG.binomial(40, 0.5, 2000) + 0.25 * RNG.choice([0, 1], 2000, p=[0.9, 0.1])
    assert not ColumnPlan.guess({"x": heaped}).modelled[0].atoms
    values = RNG.normal(10, 1, 2000)
    values[:100], values[100:130], values[130:] = 0, -999, np.minimum(values[130:], 11.5)
    assert ColumnPlan.guess({"x": values}).modelled[0].atoms == (-999.0, 0.0, 11.5)


def test_equal_columns_by_chance_are_both_modelled() -> None:
    rare = np.zeros(1000)
    rare[7] = 1
    table = {f"x{i}": rare for i in range(3)} | {"y": RNG.normal(size=1000)}
    assert ColumnPlan.guess(table).names == ("x0", "x1", "x2", "y")
    assert ColumnPlan.guess({"x": [True, False] * 4, "y": [True, False] * 4}).names == ("x", "y")


def test_integers_whose_ends_are_rare_have_no_table_of_probabilities() -> None:
    counts = np.concatenate([np.arange(10).repeat(100), [10, 12]])
    plan = ColumnPlan.guess({"x": counts})
    assert plan.shapes[0].value
    assert not plan.encode({"x": [11, 14]}).impossible.any()
    assert ColumnPlan.guess({"x": counts[:-2]}).shapes == (ColumnShape(10, value=False),)


def test_normal_numbers_between_0_and_1_are_not_bounded() -> None:
    draws = RNG.normal(0.5, 0.2, 200)
    assert ColumnPlan.guess({"x": draws[(draws > 0) & (draws < 1)]}).columns[0].kind.label == "real"


def test_a_density_needs_a_column() -> None:
    plan = ColumnPlan.guess({"x": RNG.normal(size=60)})
    assert plan.require_columns() is plan
    with pytest.raises(DataError, match="the table has 1 sample"):
        ColumnPlan.guess({"x": [1.0]}).require_columns()
    with pytest.raises(DataError, match=r"all are left out: 'id' \(id\), 'one' \(constant\); give one a kind"):
        ColumnPlan.guess({"id": [f"a{i}" for i in range(60)], "one": [1] * 60}).require_columns()


def test_text_in_a_column_of_numbers_is_named() -> None:
    plan = ColumnPlan.guess({"x": np.random.default_rng(0).normal(size=50)})
    with pytest.raises(DataError, match="column 'x': 'much' where a number is expected"):
        plan.encode({"x": ["1.5", "2", "much", "3", "more"]})
