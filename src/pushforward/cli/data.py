"""`pushforward data`: the data sets that have a name."""

from __future__ import annotations

from pushforward.cli.parameters import DataDir


def data(*, data_dir: DataDir = None) -> None:
    """The data sets that have a name, whether they are here, and where they are looked for."""
    from pushforward.data import names

    for each in names(data_dir):
        print(f"{each.name:<15} {'here   ' if each.present else 'missing'}  {each.summary}; {each.shape}")
        if not each.present or each.where[0].startswith(("/", "$")):
            print(f"{'':<15}          looked for as {', '.join(each.where)}")
    print("\nBeside these: .csv, .tsv, .parquet, .npy, .npz and idx files, and folders of images.")
