"""The demo's nodes with stages that need no model: rows follow from contents, and are counted."""

from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import sha256

import numpy as np

from pipeline import tables
from pipeline.corpus.decode import decode
from pipeline.dag.graph import Dag
from pipeline.stages.shared.failure_reasons import because

WIDTH = 4
_WORDS = ("ball", "cup", "dog", "tree")


def vector(text: str) -> np.ndarray:
    """A unit vector that follows from a text."""
    raw = np.frombuffer(sha256(text.encode()).digest()[: 2 * WIDTH], np.int16).astype(np.float32)
    return raw / np.linalg.norm(raw)


def _vectors(texts: list[str | None]) -> dict[str, object]:
    there = np.array([text is not None for text in texts], bool)
    values = [vector(text or "") for text in texts]
    norms = [1.0 if ok else None for ok in there]
    made = np.stack(values) if values else np.zeros((0, WIDTH), np.float32)
    return {"embedding": tables.vectors(made, there), "norm": norms}


@dataclass
class Cheap:
    """Stages by node, and how often each content was captioned: `captioned`.

    `before(node)` is called when a stage begins; it may raise.
    """

    before: object = lambda node: None
    captioned: Counter = field(default_factory=Counter)

    def dag(self, dag: Dag) -> Dag:
        """The DAG with these stages in the place of those that need models."""
        stages = {
            "captions": self.captions,
            "objects": self.objects,
            "regions": self.regions,
            "image_embeddings": self.image_embeddings,
            "text_embeddings": self.text_embeddings,
            "object_embeddings": self.object_embeddings,
        }

        def stand_in(name, node):
            run = stages.get(name, node.stage.run)

            def begun(inputs, parameters, loaded):
                self.before(name)
                return run(inputs, parameters, loaded)

            stage = replace(node.stage, run=begun, models=lambda parameters: ())
            return replace(node, stage=stage, recipe={**node.recipe, "models": []})

        computed = {node.name for node in dag.computed}
        nodes = {n: stand_in(n, one) if n in computed else one for n, one in dag.nodes.items()}
        return replace(dag, nodes=nodes)

    def captions(self, inputs, parameters, loaded):
        """`a cup and a dog`, by the content's digest."""
        images = inputs["images"]
        rows = [{"image_id": image_id} for image_id in images["image_id"].to_pylist()]
        shas = images["sha256"].to_pylist()
        for row, image, error in decode(images, 1):
            if image is None:
                rows[row]["error"] = error
                continue
            self.captioned[shas[row]] += 1
            one, two = (_WORDS[int(shas[row][at], 16) % 4] for at in (0, 1))
            rows[row]["caption"] = f"a {one} and a {two}"
        names = tables.schema("captions").names
        return tables.build("captions", {name: [row.get(name) for row in rows] for name in names})

    def objects(self, inputs, parameters, loaded):
        """Two of each caption."""
        rows = []
        for row in inputs["captions"].to_pylist():
            if row["error"]:
                why = because("caption", row["error"])
                rows.append({"image_id": row["image_id"], "error": why})
                continue
            words = row["caption"].split()[1::3]
            rows += [
                {"image_id": row["image_id"], "object_no": number, "phrase": word, "head": word}
                for number, word in enumerate(words)
            ]
        names = tables.schema("objects").names
        return tables.build("objects", {name: [row.get(name) for row in rows] for name in names})

    def regions(self, inputs, parameters, loaded):
        """The whole image."""
        objects = inputs["objects"]
        rows = [
            {"x0": 0.0, "y0": 0.0, "x1": 1.0, "y1": 1.0, "score": 1.0} if number is not None else {}
            for number in objects["object_no"].to_pylist()
        ]
        columns = {name: [row.get(name) for row in rows] for name in ("x0", "y0", "x1", "y1")}
        columns |= {name: objects[name] for name in ("image_id", "object_no", "error")}
        return tables.build("regions", {**columns, "score": [row.get("score") for row in rows]})

    def image_embeddings(self, inputs, parameters, loaded):
        """By the content's digest."""
        images = inputs["images"]
        found = [None] * len(images)
        errors = [None] * len(images)
        for row, image, error in decode(images, 1):
            found[row] = None if image is None else images["sha256"][row].as_py()
            errors[row] = error
        columns = {"image_id": images["image_id"], **_vectors(found), "error": errors}
        return tables.build("image_embeddings", columns, WIDTH)

    def text_embeddings(self, inputs, parameters, loaded):
        """By the text."""
        texts = inputs["texts"]
        columns = {"text_id": texts["text_id"], "text": texts["text"]}
        columns |= _vectors(texts["text"].to_pylist())
        return tables.build("text_embeddings", columns, WIDTH)

    def object_embeddings(self, inputs, parameters, loaded):
        """By the image and the object's number."""
        regions = inputs["regions"]
        keys = zip(regions["image_id"].to_pylist(), regions["object_no"].to_pylist(), strict=True)
        texts = [None if number is None else f"{one} {number}" for one, number in keys]
        columns = {name: regions[name] for name in ("image_id", "object_no", "error")}
        return tables.build("object_embeddings", {**columns, **_vectors(texts)}, WIDTH)


def rows_of(connection, node: str) -> list[tuple]:
    """All rows of a node as they lie in the store, in one order; of texts each once."""
    table = connection.sql(f"select distinct * from store.{node}").to_arrow_table()
    rows = zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
    return sorted(rows, key=repr)
