"""A part whose file is damaged, as DuckDB meets it in the midst of an answer."""

from pipeline.errors import UserError

MEND = "`item verify DAG --fix` sets aside all that are damaged, `item run DAG` computes them anew"


def why_not(error: Exception, then: str) -> tuple[str, str]:
    """(what went wrong, what to do) of what is made by the way; `then`: if asking again helps."""
    fault = damaged(error)
    if fault is not None:
        return f"{fault.what} ({fault.where})", MEND
    return (error.what if isinstance(error, UserError) else str(error)), then


def damaged(error: Exception) -> UserError | None:
    """The error for people; None unless DuckDB could not read a part."""
    import duckdb

    from pipeline.store.parts import named_in

    text = str(error).strip()
    found = named_in(text) if isinstance(error, duckdb.Error) else None
    if found is None or isinstance(error, duckdb.CatalogException | duckdb.BinderException):
        return None
    why = text.splitlines()[0].rpartition(": ")[2]
    return UserError(f"a cached part cannot be read: {why}", found, MEND)
