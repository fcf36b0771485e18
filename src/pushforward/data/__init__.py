"""Data sets by name or path: validating readers, toys with a known density, and splits.

This package does not need torch. scikit-learn, pyarrow and Pillow are loaded only when they are used.
"""

from pushforward.data.dataset import DataSet as DataSet
from pushforward.data.loading import load as load
from pushforward.data.named import DataInfo as DataInfo
from pushforward.data.named import names as names
from pushforward.data.splits import Split as Split
from pushforward.data.splits import split as split
from pushforward.preparation import Preparation as Preparation
