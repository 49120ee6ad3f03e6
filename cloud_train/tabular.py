"""Tables for boosting: CSV with the label in column 0, libsvm, and the CSV of the Higgs boson challenge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .recordings import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

HIGGS_NO_FEATURE = ("EventId", "Weight", "KaggleSet", "KaggleWeight", "Label")
HIGGS_SETS = {"t": "train", "b": "validation"}
"""The challenge's own sets: training, public leaderboard; what the post trains and validates on."""
HIGGS_MISSING = -999.0


@dataclass(frozen=True, eq=False)
class Table:
    """Rows to learn from: features [n, f] with NaN where one is missing, labels [n], and the rows that validate.

    `labels` are the classes by number where the labels were text.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    features: tuple[str, ...]
    labels: tuple[str, ...] = ()
    validation: NDArray[np.bool_] | None = None


def read_table(path: str | Path) -> Table:
    """Read a table by its form: `.csv`, `.csv.gz`, `.tsv`, libsvm. DataError says what is wrong with it, and where."""
    path = Path(path)
    if not path.is_file():
        msg = f"{path}: no such file"
        raise DataError(msg)
    if _is_libsvm(path):
        return _libsvm(path)
    columns = _columns(path)
    if {"EventId", "Label"} <= columns.keys():
        return _higgs(path, columns)
    names = list(columns)
    if len(names) < 2:
        msg = f"{path}: has one column; the label must be in column 0, and features in the others"
        raise DataError(msg)
    y, labels = _labels(path, columns[names[0]])
    return Table(_numbers(path, columns, names[1:]), y, tuple(names[1:]), labels)


def held_out(table: Table, share: float, *, seed: int = 0) -> Table:
    """Choose the rows that validate, unless the table says which: a share of each class, or of all rows."""
    if table.validation is not None or share <= 0:
        return table
    chosen = np.zeros(len(table.y), bool)
    random = np.random.default_rng(seed)
    classes = table.y if len(np.unique(table.y)) <= 1000 else np.zeros(len(table.y))
    for one in np.unique(classes):
        rows = random.permutation(np.flatnonzero(classes == one))
        chosen[rows[: round(share * len(rows))]] = True
    return replace(table, validation=chosen)


def with_validation(table: Table, other: Table, where: str) -> Table:
    """Add another table's rows as those that validate; DataError where it has other columns."""
    if other.x.shape[1] != table.x.shape[1]:
        msg = f"{where}: has {other.x.shape[1]} features, the training table {table.x.shape[1]}"
        raise DataError(msg)
    chosen = np.repeat([False, True], [len(table.y), len(other.y)])
    x, y = np.concatenate([table.x, other.x]), np.concatenate([table.y, other.y])
    return replace(table, x=x, y=y, validation=chosen)


def _columns(path: Path) -> dict[str, Any]:
    """Read all columns by name, `f0`, `f1`, ... where the first line is no header."""
    from pyarrow import ArrowInvalid, csv

    tabs = path.name.removesuffix(".gz").endswith(".tsv")
    parse = csv.ParseOptions(delimiter="\t" if tabs else ",")
    try:
        table = csv.read_csv(path, parse_options=parse)
        if all(map(_is_number, table.column_names)):  # then no header was there
            names = ["label", *(f"f{i}" for i in range(table.num_columns - 1))]
            table = csv.read_csv(path, csv.ReadOptions(column_names=names), parse)
    except ArrowInvalid as error:
        msg = f"{path}: cannot be read as a table ({' '.join(str(error).split())})"
        raise DataError(msg) from None
    if not table.num_rows:
        msg = f"{path}: has no rows"
        raise DataError(msg)
    return dict(zip(table.column_names, table.columns, strict=True))


def _higgs(path: Path, columns: dict[str, Any]) -> Table:
    """Read the challenge's CSV: `s` is 1 and `b` 0, -999 is missing, and KaggleSet says which rows are for what."""
    names = [name for name in columns if name not in HIGGS_NO_FEATURE]
    x = _numbers(path, columns, names)
    x[x == HIGGS_MISSING] = np.nan
    y = (np.asarray(columns["Label"].to_pylist()) == "s").astype(np.float32)
    validation = None
    if "KaggleSet" in columns:
        sets = np.asarray(columns["KaggleSet"].to_pylist())
        kept = np.isin(sets, list(HIGGS_SETS))
        x, y, validation = x[kept], y[kept], sets[kept] == "b"
    return Table(x, y, tuple(names), ("b", "s"), validation)


def _numbers(path: Path, columns: dict[str, Any], names: Sequence[str]) -> NDArray[np.float32]:
    x = np.empty((len(next(iter(columns.values()))), len(names)), np.float32)
    for i, name in enumerate(names):
        try:
            x[:, i] = columns[name].cast("float64").to_numpy()
        except ValueError as error:  # ArrowInvalid is one
            msg = f"{path}: column {name!r} holds what is no number ({' '.join(str(error).split())[:120]})"
            raise DataError(msg) from None
    return x


def _labels(path: Path, column: Any) -> tuple[NDArray[np.float32], tuple[str, ...]]:  # noqa: ANN401 - a pyarrow array
    """Give labels as numbers; text becomes classes in the order of the alphabet."""
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        msg = f"{path}: row {row + 1} has no label in column 0"
        raise DataError(msg)
    values = column.to_pylist()
    if not isinstance(values[0], str):
        return np.asarray(values, np.float32), ()
    classes = sorted(set(values))
    numbers = {name: i for i, name in enumerate(classes)}
    return np.array([numbers[value] for value in values], np.float32), tuple(classes)


def _is_libsvm(path: Path) -> bool:
    if path.suffix == ".gz":
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        words = file.readline(4096).split()
    return len(words) > 1 and all(":" in word for word in words[1:-1]) and ":" in words[1]


def _libsvm(path: Path) -> Table:
    from sklearn.datasets import load_svmlight_file

    try:
        sparse, y = load_svmlight_file(str(path), zero_based=True)
    except ValueError as error:
        msg = f"{path}: cannot be read as libsvm ({error})"
        raise DataError(msg) from None
    x = sparse.toarray().astype(np.float32)
    return Table(x, y.astype(np.float32), tuple(f"f{i}" for i in range(x.shape[1])))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
