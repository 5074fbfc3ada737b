"""The vectors of an image are its content's, whatever source it is read from."""

import io

import numpy as np
import yaml
from PIL import Image

import pipeline as item
from tests.conftest import DEMO_MODELS
from tests.corpus.sources.conftest import Known, known_images, sources


def pictures() -> list[Known]:
    """Twelve images that can be decoded."""
    found = []
    for number, one in enumerate(known_images(12)):
        blocks = np.random.default_rng(number).integers(0, 255, (4, 4, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(blocks).resize((48, 48), Image.Resampling.NEAREST).save(stream, "JPEG")
        found.append(Known(one.path, stream.getvalue(), *list(vars(one).values())[2:]))
    return found


def dag_over(folder, root, layout) -> str:
    clip = {"model": f"local-dir:{DEMO_MODELS / 'clip'}"}
    node = {"stage": "embed_images", "images": "images", "clip": clip}
    raw = {
        "name": "vectors",
        "corpus": {"root": str(root), "layout": layout},
        "nodes": {"image_embeddings": node},
    }
    path = folder / "vectors.yaml"
    path.write_text(yaml.safe_dump(raw))
    return str(path)


def test_vectors_of_the_same_images_in_every_source(tmp_path):
    """Computed anew from each; and where one has computed them, no other does."""
    sql = "select image_id, norm, embedding from image_embeddings order by image_id"
    known, names = None, []
    for name, root, layout, _ in sources(tmp_path, pictures()):
        dag = dag_over(tmp_path, root, layout)
        item.run(dag, tmp_path / name, inline=True)
        rows = item.open_store(dag, tmp_path / name).sql(sql).fetchall()
        known, names = known or rows, [*names, name]
        assert len(rows) == 12 and rows == known, name
        item.run(dag, tmp_path / names[0], until="images", inline=True)
        steps = item.plan(dag, tmp_path / names[0])
        assert [s.images for s in steps if s.node == "image_embeddings"] == [0], name
    assert len(names) == 14
