"""A run file holds what the command line would say; the command line wins."""

from pathlib import Path

import pytest
from small_models import Run

from pushforward import presets, storage
from pushforward.cli.run_file import Run as RunFile
from pushforward.cli.run_file import as_field_values, pairs
from pushforward.errors import OptionError
from pushforward.flows import describe
from pushforward.training import TrainingOptions


def test_a_run_file_says_everything(run: Run, houses_csv: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        f'data = "{houses_csv}"\nout = "{tmp_path / "m"}"\nflow = "nice"\nsteps = 3\nreport = false\nseed = 4\n'
        'columns = ["price", "area"]\n[option]\ntransforms = 2\nhidden = [8]\n[training]\nlr = 0.002\n'
    )
    assert run("fit", "--config", file)[0] == 0
    config = storage.load_model(tmp_path / "m").config
    assert config.flow.name == "nice"
    assert config.flow.options["hidden"] == [8]
    assert config.data is not None
    assert config.data.columns == ("price", "area")
    options = config.training["options"]
    assert isinstance(options, dict)
    assert (options["lr"], options["steps"], options["seed"]) == (0.002, 3, 4)


def test_the_command_line_wins_name_by_name(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('data = "a"\nout = "b"\nsteps = 3\n[option]\nhidden = [8]\ntransforms = 3\n')
    merged = RunFile(data="c", option={"hidden": [9]}).over(file)
    assert (merged.data, str(merged.out), merged.steps) == ("c", "b", 3)
    assert merged.option == {"hidden": [9], "transforms": 3}


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_is_a_run_file_whose_options_are_known(name: str) -> None:
    merged, preset = RunFile(preset=name).over(None), presets.load(name)
    assert (merged.flow, merged.option, merged.training) == (preset.flow, preset.options, preset.training)
    assert {name: getattr(merged.preparation, name) for name in preset.preparation} == {
        name: tuple(value) if isinstance(value, list) else value for name, value in preset.preparation.items()
    }
    TrainingOptions(**preset.training)
    schemas = [recipe.options for recipe in describe(preset.flow).recipes.values()]
    assert any(set(preset.options) <= set(schema.model_fields) for schema in schemas)


def test_the_command_line_wins_over_a_run_file_and_that_over_its_preset(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        'preset = "real_nvp-celeba"\nresize = 32\n[option]\nchannels = 8\nblocks = 1\n[training]\nlr = 0.1\n'
    )
    merged = RunFile(option={"blocks": 3}).over(file)
    preset = presets.load("real_nvp-celeba")
    assert merged.option == preset.options | {"channels": 8, "blocks": 3}
    assert merged.training == preset.training | {"lr": 0.1}
    assert (merged.preparation.resize, merged.preparation.crop) == (32, (40, 188, 15, 163))


def test_fit_takes_a_preset(run: Run, tmp_path: Path) -> None:
    small = ("--option", "channels=2", "--option", "blocks=1", "--option", "scales=2")
    words = ("fit", "digits", "--preset", "real_nvp-cifar10", *small, "--steps", 2, "--limit", 200, "--no-report")
    assert run(*words, "--out", tmp_path / "m")[0] == 0
    config = storage.load_model(tmp_path / "m").config
    assert config.flow.options["published"] is True
    assert config.flow.options["levels"] == 17
    assert isinstance(config.training["options"], dict)
    assert (config.training["options"]["schedule"], config.training["options"]["ema"]) == ("constant", 0.0)


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(OptionError, match=r"preset 'real_nvp-cifar' is not known; did you mean real_nvp-cifar10"):
        RunFile(preset="real_nvp-cifar").over(None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("minuts = 3", "'minuts' is not known; did you mean minutes"),
        ("minutes = [", "TOML"),
        ('minutes = "soon"', "minutes"),
        ("seed = -1", "seed"),
        ('option = "hidden"', "option"),
        ("\0", "TOML"),
    ],
)
def test_what_a_run_file_says_wrongly_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "run.toml"
    file.write_text(f'data = "a"\nout = "b"\n{text}\n')
    with pytest.raises(OptionError, match=said):
        RunFile().over(file)


def test_a_run_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(OptionError, match="TOML"):
        RunFile().over(file)
    with pytest.raises(OptionError, match="cannot be read"):
        RunFile().over(tmp_path)


def test_words_become_values() -> None:
    words = ["hidden=64,32", "lr=1e-3", "norm=none", "base=logistic", "flips=true", "batch-size=8", "a=[1]"]
    assert pairs(words, "--option") == {
        "hidden": [64, 32],
        "lr": 1e-3,
        "norm": None,
        "base": "logistic",
        "flips": True,
        "batch_size": 8,
        "a": [1],
    }


def test_a_single_width_is_a_list_of_one() -> None:
    fields = describe("real_nvp").recipe((2,)).options.model_fields
    assert as_field_values({"hidden": 64, "transforms": 4}, fields) == {"hidden": [64], "transforms": 4}


def test_the_word_none_is_a_choice_where_it_is_one() -> None:
    fields = describe("real_nvp").recipe((1, 8, 8)).options.model_fields
    given = pairs(["norm=none", "net_norm=none", "scales=none", "depth=none"], "--option")
    assert as_field_values(given, fields) == {"norm": "none", "net_norm": "none", "scales": None, "depth": None}
    linear = describe("maf").recipe((2,)).options.model_fields
    assert as_field_values(pairs(["linear=none"], "--option"), linear) == {"linear": "none"}
