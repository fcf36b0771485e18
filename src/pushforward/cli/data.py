"""`pushforward data`: the data sets that have a name."""

from __future__ import annotations

import os

from pushforward.cli.parameters import DataDir


def data(*, data_dir: DataDir = None) -> None:
    """The data sets that have a name, whether they are here, and where they are looked for."""
    from pushforward.data import names

    for each in names(data_dir):
        print(f"{each.name:<15} {'here   ' if each.present else 'missing'}  {each.summary}; {each.shape}")
        folders = list(dict.fromkeys(os.path.dirname(place) for place in each.where if "/" in place))
        if folders:
            print(f"{'':<15}          looked for in {', '.join(folders)}")
    print("\nBeside these: .csv, .tsv, .parquet, .npy, .npz and idx files, and folders of images.")
