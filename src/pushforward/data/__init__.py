"""Data by name or path: readers that check what they read, toys with a known density, and the split.

Nothing here needs torch. scikit-learn, pyarrow and Pillow are loaded only when they are used.
"""

from pushforward.data.dataset import DataSet
from pushforward.data.loading import load
from pushforward.data.named import DataInfo, names
from pushforward.data.splits import Split, split
from pushforward.preparation import Preparation

__all__ = ["DataInfo", "DataSet", "Preparation", "Split", "load", "names", "split"]
