"""What `layout: auto` is for a corpus: recognised once, and kept with its listing.

The listing of `auto` is one of its own, and its recipe says what `auto` was when it was begun. So
later runs read new files as the first one did, whatever the corpus has become, and who asks the
store needs no corpus. Another store, or another root, is recognised anew.
"""

from dataclasses import replace

from pipeline.corpus.layouts.auto import layout_of
from pipeline.corpus.layouts.registry import AUTO
from pipeline.corpus.sources.found import Found
from pipeline.dag.graph import Dag
from pipeline.errors import UserError
from pipeline.store.parts import Store


def settled(dag: Dag, store: Store, found: Found) -> Dag:
    """The DAG with a layout that reads paths in the place of auto; fingerprints stay.

    UserError where none can be recognised, or where a listing is there and what it was read by is
    not known any more.
    """
    if dag.corpus.layout != AUTO:
        return dag
    listing = dag.nodes["listing"]
    layout = store.recipe(listing).get(AUTO)
    if layout is None and store.parts(listing):
        raise UserError(
            "the layout that `auto` was when this corpus was listed is not known any more",
            str(store.folder(listing)),
            "write it as `corpus.layout`",
        )
    layout = layout or layout_of(found, dag.corpus.root)
    parameters = listing.parameters.model_copy(update={"layout": layout})
    nodes = {**dag.nodes, "listing": replace(listing, parameters=parameters)}
    return replace(dag, corpus=dag.corpus.model_copy(update={"layout": layout}), nodes=nodes)


def is_auto(dag: Dag) -> bool:
    """Whether the DAG file, settled or not, leaves its layout to be recognised."""
    return dag.nodes["listing"].recipe["parameters"]["layout"] == AUTO


def open_listing(dag: Dag, store: Store) -> None:
    """Makes the listing's folder, and keeps there what `auto` is; `dag` is settled."""
    kept = {AUTO: dag.corpus.layout} if is_auto(dag) else {}
    store.open_node(dag.nodes["listing"], dag.name, dag.corpus.root, **kept)
