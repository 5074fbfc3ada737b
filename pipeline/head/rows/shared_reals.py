"""Real images that several test generators are measured against: an experiment's `reals`."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError, nearest
from pipeline.head.rows.side import Rows

# (side, condition, columns that a row is once for) -> its rows
Read = Callable[[str, str, str], Rows]


def measured_against(test: Rows, reals: str | Mapping[str, str], read: Read, key: str) -> Rows:
    """The fakes of `test`, each generator's beside the real images that are named for it.

    `reals`: a predicate for all generators that have fakes, in place of all real images that `test`
    selects; or one for each generator named, in place of its own. Of what they select real images
    count, each of them once a generator; sets without fakes are left with what they did not give.
    UserError for a generator without fakes, a test without any, and for a predicate that selects no
    real image.
    """
    faked_by = sorted(test.faked_by, key=lambda name: name or "")
    asked = dict.fromkeys(faked_by, reals) if isinstance(reals, str) else dict(reals)
    if strange := sorted(set(asked) - set(faked_by)):
        raise UserError(
            f"`test` has no fakes of '{strange[0]}'",
            f"{key}.reals",
            nearest(strange[0], [name for name in faked_by if name]),
        )
    if not asked:
        raise UserError(
            "`test` selects no fakes that `reals` could be beside", f"{key}.test", "widen `test`"
        )
    table, sql, notes = test.table, [test.sql], list(test.notes)
    real = pc.equal(table["label"], 0)
    if not isinstance(reals, str):
        names = pa.array(list(asked), pa.string())
        real = pc.and_(real, pc.is_in(table["generator"], value_set=names))
    kept = table.filter(pc.invert(real))
    own = len(table) - len(kept)
    tables = []
    for predicate in dict.fromkeys(asked.values()):
        rows = read("reals", f"({predicate}\n) and label = 0", "image_id")
        sql.append(rows.sql)
        notes += [f"reals: {note}" for note in rows.notes]
        at = rows.table.column_names.index("generator")
        for name in (name for name, where in asked.items() if where == predicate):
            column = pa.array([name] * len(rows.table), pa.string())
            tables.append(rows.table.set_column(at, "generator", column))
    if own:
        notes.append(f"{own:,} real images of its own left out for those of `reals`")
    order = [("image_id", "ascending"), ("generator", "ascending")]
    given = pa.concat_tables(tables)["image_id"]
    lonely = pc.invert(pc.is_in(kept["generator"], value_set=pa.array(faked_by, pa.string())))
    twice = pc.and_(lonely, pc.is_in(kept["image_id"], value_set=given))
    tables.append(kept.filter(pc.invert(twice)))
    together = pa.concat_tables(tables).sort_by(order).combine_chunks()
    return replace(test, table=together, sql="\n;\n".join(sql), notes=tuple(notes))
