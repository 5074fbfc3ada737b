"""The table `images` as a stage gets it: with the place of each file beside its facts."""

from collections.abc import Mapping

import pyarrow as pa

from pipeline import tables


def images_table(columns: Mapping[str, object]) -> pa.Table:
    """A table of `images` from columns by name, `uri` among them; missing ones are null."""
    facts = {name: values for name, values in columns.items() if name != "uri"}
    return tables.build("images", facts).append_column("uri", pa.array(columns["uri"], pa.string()))
