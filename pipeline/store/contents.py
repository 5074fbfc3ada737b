"""The contents that a corpus asks for: of which parts they are, and where each one lies now.

`images` has every content that this store ever met, in the order in which it met them, whatever
corpus it came from. What a corpus asks for are those that its listing names. Working that out joins
all listed contents with all that are known, which takes seconds for a million: a run leaves the
answer in numbers beside the listing, and what it follows from; who finds that changed works it out
anew.
"""

from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.corpus.variants import ALL, CHANCE, CLEAN, chosen, least_out, tag, variant_id
from pipeline.dag.graph import Dag, Node
from pipeline.errors import REFUSED, UserError
from pipeline.store.parts import Store, part_tag, tagged
from pipeline.store.upkeep.gone import LEFT, left


@dataclass(frozen=True)
class Asked:
    """The images of one part, in one variant, that a corpus asks for.

    `part`: the name of their file in every node's folder. `ids`: their image ids, in the part's
    order, string [n]. `uris`: where each lies, string [n]. `members`: how many the part has.
    `captions`: what came with each, where a node asks for it.
    """

    part: str
    variant: str
    ids: pa.Array
    uris: pa.Array
    members: int
    captions: pa.Array | None = None

    @property
    def whole(self) -> bool:
        """Whether no member is left out."""
        return len(self.ids) == self.members

    @property
    def files(self) -> pa.Table:
        """What a worker must know of them: image_id, uri, and caption where there are captions."""
        table = pa.table({"image_id": self.ids, "uri": self.uris})
        return table if self.captions is None else table.append_column("caption", self.captions)


def asked(dag: Dag, store: Store, listing: pa.Table | None = None) -> list[Asked]:
    """What the corpus asks for, clean parts in order of their numbers, then those in variants.

    None of a part of which no content is listed. Contents that are not registered yet are left out,
    and those that the corpus refuses.
    `listing`: rows as of `listed`, where it is not to be the store's.
    """
    return asked_and_lost(dag, store, listing)[0]


def asked_and_lost(
    dag: Dag, store: Store, listing: pa.Table | None = None
) -> tuple[list[Asked], int]:
    """(`asked`, how many listed contents are in no part)."""
    rows = listed(dag, store) if listing is None else listing
    refused = pc.fill_null(pc.starts_with(rows["error"], REFUSED), False)
    rows = rows.filter(pc.and_not(pc.is_valid(rows["image_id"]), refused)).combine_chunks()
    once = _first_places(rows)
    parts = clean_parts(dag, store)
    names = [name for name, _ in parts]
    ends = np.cumsum([len(ids) for _, ids in parts])
    known = pa.concat_arrays([ids for _, ids in parts]) if parts else pa.array([], pa.string())
    at = pc.index_in(known, value_set=once["image_id"])
    known_files = once.drop_columns(["image_id"]).combine_chunks().take(at)
    with_captions = "given_caption" in known_files.column_names
    found: list[Asked] = []
    for variant, splits in {CLEAN: (ALL,), **dag.corpus.splits_of}.items():
        mask = pc.is_valid(at)
        if ALL not in splits:
            chosen_rows = rows.filter(pc.is_in(rows["split"], value_set=pa.array(splits)))
            mask = pc.is_in(known, value_set=chosen_rows["image_id"])
        for name, end, (_, own) in zip(names, ends, parts, strict=True):
            here = slice(end - len(own), end)
            kept = mask[here]
            ids, files = own.filter(kept), known_files[here].filter(kept)
            if variant != CLEAN:
                ids, files = _in_variant(ids, files, variant, dag.corpus.variant_share)
            if len(ids):
                part, uris = tagged(name, tag(variant)), files["uri"].combine_chunks()
                captions = files["given_caption"].combine_chunks() if with_captions else None
                found.append(Asked(part, variant, ids, uris, len(own), captions))
    return found, len(once) - (len(at) - at.null_count)


def listed(dag: Dag, store: Store) -> pa.Table:
    """The rows of the listing: uri, image_id, error; split and caption only where they matter."""
    node = dag.nodes["listing"]
    columns = ["uri", "image_id", "error", *(["split"] if dag.corpus.variants else [])]
    if any(one.stage.captions(one.parameters) for one in dag.computed):
        columns.append("given_caption")
    tables = [store.read(node.folder, path.name, columns) for path in store.parts(node)]
    none = pa.table({name: pa.array([], pa.string()) for name in columns})
    return pa.concat_tables([none, *tables])


def _first_places(rows: pa.Table) -> pa.Table:
    """Each content once, at the first of its places by name."""
    counts = rows["image_id"].value_counts()
    several = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    if not len(several):
        return rows
    again = pc.is_in(rows["image_id"], value_set=several)
    more = rows.filter(again).sort_by("uri")
    first = more.take(pc.index_in(pc.unique(more["image_id"]), value_set=more["image_id"]))
    return pa.concat_tables([rows.filter(pc.invert(again)), first])


def clean_parts(dag: Dag, store: Store) -> list[tuple[str, pa.Array]]:
    """(name, image ids) of each part of contents."""
    node = dag.nodes["images"]
    found = []
    for path in store.parts(node):
        if not part_tag(path.name):
            ids = store.read(node.folder, path.name, ["image_id"])["image_id"]
            found.append((path.name, ids.combine_chunks()))
    return found


def _in_variant(
    ids: pa.Array, files: pa.Table, variant: str, share: float
) -> tuple[pa.Array, pa.Table]:
    if share < 1:
        kept = pc.is_in(ids, value_set=pa.array(chosen(ids.to_pylist(), share), pa.string()))
        ids, files = ids.filter(kept), files.filter(kept)
    return pc.binary_join_element_wise(ids, variant_id("", variant), ""), files


def asked_sql(dag: Dag, variants: Collection[str] | None = None) -> str:
    """The image ids that `asked` gives, as SQL over `store.listing`, where it lies at any time.

    Those in `variants` alone, unless that is None.
    """
    asked = f"image_id is not null and not coalesce(starts_with(error, '{REFUSED}'), false)"
    selects = []
    for variant, splits in {CLEAN: (ALL,), **dag.corpus.splits_of}.items():
        if variants is not None and variant not in variants:
            continue
        where = asked
        if ALL not in splits:
            where += f" and split in ({', '.join(repr(split) for split in splits)})"
        if variant != CLEAN and dag.corpus.variant_share < 1:
            bound = least_out(dag.corpus.variant_share)
            where += f" and sha256('{CHANCE}' || image_id) < '{bound}'"
        suffix = f" || '{tail}'" if (tail := variant_id("", variant)) else ""
        selects.append(f"select image_id{suffix} as image_id from store.listing where {where}")
    return " union all ".join(selects)


def check_variants(dag: Dag, found: Sequence[Asked]) -> list[str]:
    """The variants, as `split: variant`, that no image has among `found`.

    UserError when that is no matter of a small share or a limit: the corpus has no such split.
    """
    made = {one.variant for one in found}
    lost = [
        f"{split}: {name}"
        for name, splits in dag.corpus.splits_of.items()
        for split in splits
        if name not in made
    ]
    if lost and dag.corpus.variant_share == 1 and dag.corpus.limit is None:
        raise UserError(
            f"no image is of the split '{lost[0].partition(':')[0]}', to make variants of",
            f"{dag.path}: corpus.variants",
            "name a split that the corpus has, or `all`: it stands for every image",
        )
    return lost


def check_distinct(nodes: Sequence[Node], found: Sequence[Asked]) -> None:
    """UserError where a node's stage could not tell the images apart that are asked for."""
    checked = [node for node in nodes if node.stage.distinct is not None]
    clean = [one.files for one in found if one.variant == CLEAN]
    if checked and clean:
        images = pa.concat_tables(clean).combine_chunks()
        for node in checked:
            node.stage.distinct(images, node.parameters)


@dataclass(frozen=True)
class Share:
    """Of a part, in one variant: how many images are asked for, of how many members."""

    part: str
    variant: str
    images: int
    members: int

    @property
    def whole(self) -> bool:
        """Whether no member is left out."""
        return self.images == self.members


def outline(dag: Dag, store: Store) -> list[Share]:
    """`asked` in numbers."""
    known = store.recall(dag.nodes["listing"])
    if known.get("of") == _of(dag, store):
        return [Share(*row) for row in known["shares"]]
    return _shares(asked(dag, store))


def remember(dag: Dag, store: Store, found: Sequence[Asked]) -> None:
    """Leaves what a corpus asks for, in numbers, for whoever asks next; and which parts there are.

    These are for `upkeep.gone`.
    """
    node, of = dag.nodes["listing"], _of(dag, store)
    known, parts = store.recall(node), left(dag, store, {one.part for one in found})
    if known.get("of") != of:
        rows = [astuple(share) for share in _shares(found)]
        store.remember(node, {"of": of, "shares": rows, LEFT: parts})
    elif known.get(LEFT) != parts:
        store.remember(node, {**known, LEFT: parts})


def _shares(found: Sequence[Asked]) -> list[Share]:
    return [Share(one.part, one.variant, len(one.ids), one.members) for one in found]


def _of(dag: Dag, store: Store) -> str:
    """What the answer follows from: the files of listing and contents, and the variants."""
    corpus = dag.corpus
    said = [repr((corpus.splits_of, corpus.variant_share))]
    for name in ("listing", "images"):
        for path in store.parts(dag.nodes[name]):
            if not part_tag(path.name):
                about = path.stat()
                said.append(f"{name} {path.name} {about.st_size} {about.st_mtime_ns}")
    return sha256("\n".join(said).encode()).hexdigest()
