"""The layouts by name, and how the paths of a corpus are read by one of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.corpus.layouts.diffusion_corpora import DIFFUSION_FORENSICS, DRCT
from pipeline.corpus.layouts.forensynths import FORENSYNTHS, UNIVFD_DIFFUSION
from pipeline.corpus.layouts.genimage import GENIMAGE
from pipeline.corpus.layouts.labels import Labels, Layout, Misfit
from pipeline.corpus.layouts.pattern import EXPECTS, read_paths
from pipeline.corpus.layouts.plain import IMAGEFOLDER, UNLABELLED
from pipeline.corpus.names import folders_of, readable
from pipeline.errors import nearest, worded
from pipeline.plugins import offered

_BY_FOLDERS = (
    *(FORENSYNTHS, UNIVFD_DIFFUSION, GENIMAGE, DIFFUSION_FORENSICS, DRCT),
    *(IMAGEFOLDER, UNLABELLED),
)
LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in _BY_FOLDERS}
REGEX, AUTO = "regex", "auto"
NAMES = (*LAYOUTS, REGEX, AUTO)
_FORMER = {"folder": UNLABELLED.name}


def find(name: str) -> Layout | None:
    """The layout called so, a plugin's too; None for those that are none: regex and auto."""
    offer = None if name in NAMES else offered.find("layout", name)
    return offer.value if offer else LAYOUTS.get(name)


def check_name(name: str) -> str:
    """`name`, if a layout is called so; ValueError with the nearest known name."""
    known = (*NAMES, *offered.names("layout"))
    if name in known:
        return name
    now = f"it is called '{_FORMER[name]}' now" if name in _FORMER else nearest(name, known)
    raise ValueError(f"there is no layout '{name}': {now}")


def _checked(labels: Labels) -> Labels:
    """TypeError for what a plugin must not give."""
    if not isinstance(labels, Labels) or labels.label not in (0, 1, None):
        raise TypeError(f"{labels!r} are no Labels, whose label is 0 (real), 1 (fake) or None")
    return labels


@dataclass(frozen=True)
class Reading:
    """How the paths of a corpus are read.

    `layout`: any but auto, which is settled before anything is read. `dataset` names the corpus
    where its layout does not. `pattern`: that of the layout regex.
    """

    layout: str
    dataset: str | None = None
    pattern: str | None = None

    @property
    def expects(self) -> str:
        """What the paths must be, in a line."""
        return EXPECTS if self.layout == REGEX else self._named.expects

    def read(self, paths: Sequence[str]) -> list[Labels | Misfit]:
        """The labels of each path below the root (posix), or why it has none.

        What is the same for several paths is one object.
        """
        if self.layout == REGEX:
            found = list(read_paths(self.pattern or "", [readable(path) for path in paths]))
        else:
            found = list(self._by_folders(paths))
        # what is said alike is one object, and is put into words once
        said = {key: self._said(one) for key, one in {id(one): one for one in found}.items()}
        folder = Misfit("a folder that cannot be listed has no labels")
        pairs = zip(paths, found, strict=True)
        return [folder if path.endswith("/") else said[id(one)] for path, one in pairs]

    def labels(self, path: str) -> Labels:
        """The labels of one path; raises Misfit where it does not fit."""
        (found,) = self.read([path])
        if isinstance(found, Misfit):
            raise found
        return found

    @property
    def _named(self) -> Layout:
        layout = find(self.layout)
        if layout is None:
            raise ValueError(f"{self.layout} reads no folders")
        return layout

    def _by_folders(self, paths: Sequence[str]) -> Iterator[Labels | Misfit]:
        read, known = self._named.read, dict[str, Labels | Misfit]()
        for path in paths:
            folder = path.rpartition("/")[0]
            if folder not in known:
                try:
                    known[folder] = _checked(read(folders_of(path)))
                except Misfit as error:
                    known[folder] = error
                except Exception as error:  # a plugin's code raises anything
                    known[folder] = Misfit(f"the layout itself failed: {worded(error)}")
            yield known[folder]

    def _said(self, found: Labels | Misfit) -> Labels | Misfit:
        if isinstance(found, Misfit):
            return Misfit(f"path does not fit the layout {self.layout}: {found}")
        return found if found.dataset else replace(found, dataset=self.dataset)
