"""Parquet files whose pictures the library `datasets` decodes and the viewer of the Hugging Face Hub shows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import IO, Any

import pyarrow as pa
from pyarrow import parquet

PICTURE = "picture"
"""Type of a column of encoded pictures, beside the types of Arrow."""
_STORED_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
Row = Mapping[str, Any]


def write_parquet(target: str | IO[bytes], columns: Mapping[str, str], groups: Iterable[list[Row]]) -> None:
    """Write rows; the same rows always give the same bytes with the same version of pyarrow.

    Args:
        target: file to write.
        columns: name -> name of a type of Arrow, or `PICTURE`.
        groups: rows that are written, and later read, together; pictures are bytes.
    """
    schema = _schema(columns)
    pictures = [name for name, kind in columns.items() if kind == PICTURE]
    with parquet.ParquetWriter(target, schema, compression="zstd", use_dictionary=False) as writer:
        for rows in groups:
            stored = [{**row, **{name: {"bytes": row[name], "path": None} for name in pictures}} for row in rows]
            writer.write_table(pa.Table.from_pylist(stored, schema))


def _schema(columns: Mapping[str, str]) -> pa.Schema:
    """Return the schema, with the types of `datasets` in its metadata."""
    features = {
        name: {"_type": "Image"} if kind == PICTURE else {"dtype": kind, "_type": "Value"}
        for name, kind in columns.items()
    }
    fields = [(name, _STORED_PICTURE if kind == PICTURE else pa.type_for_alias(kind)) for name, kind in columns.items()]
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})
