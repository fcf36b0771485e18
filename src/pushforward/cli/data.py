"""`pushforward data`: the named data sets."""

from __future__ import annotations

import os

from pushforward.cli.parameters import DataDir


def data(*, data_dir: DataDir = None) -> None:
    """List the named data sets, whether their files exist, and the folders where they are searched."""
    from pushforward.data import names

    for each in names(data_dir):
        print(f"{each.name:<15} {'here   ' if each.present else 'missing'}  {each.summary}; {each.shape}")
        folders = list(dict.fromkeys(os.path.dirname(place) for place in each.where if "/" in place))
        if folders:
            print(f"{'':<15}          searched in {', '.join(folders)}")
    print("\nOther data: .csv, .tsv, .parquet, .npy, .npz and idx files, and folders of images.")
