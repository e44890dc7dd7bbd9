"""Hanging protocols that every site has; whatever a person or the site keeps comes before them."""

from imaging.hanging import Links, Place, Protocol, Stage

# Centre and width in HU, as radiology departments commonly set them.
_SOFT, _LUNG, _BONE = (40.0, 400.0), (-600.0, 1500.0), (500.0, 2000.0)
_BRAIN = (40.0, 80.0)
_TOGETHER = Links(scroll="position", view=True)
# An older study has a position of its own on the table; windows stay each its own.
_WITH_PRIOR = Links(scroll="position")
_FIRST = Stage(1, 1, "One series")
_COMPARED = Stage(1, 2, "With the prior", (Place(), Place(prior=1)), links=_WITH_PRIOR, least=2)


def _breast(side: str, view: str, prior: int = 0) -> Place:
    return Place(prior=prior, laterality=side, view=view)


def _facing(*views: str) -> tuple[Place, ...]:
    """Return right beside left for each view: the person faces the reader."""
    return tuple(_breast(side, view) for view in views for side in "RL")


MAMMOGRAPHY = Protocol(
    "Mammography",
    modality="MG",
    is_built_in=True,
    stages=(
        Stage(2, 2, "Four views", _facing("CC", "MLO"), fit="chest wall", least=2),
        Stage(
            2, 4, "With the prior outside",
            tuple(
                place
                for view in ("CC", "MLO")
                for place in (
                    _breast("R", view, 1), _breast("R", view), _breast("L", view),
                    _breast("L", view, 1),
                )
            ),
            fit="chest wall", least=2,
        ),
        Stage(1, 2, "CC", _facing("CC"), fit="chest wall", least=2),
        Stage(1, 2, "MLO", _facing("MLO"), fit="chest wall", least=2),
    ),
)  # fmt: skip


def _sequences(*words: str) -> Stage:
    rows = 2 if len(words) > 2 else 1
    return Stage(
        rows, 2, "By sequence", tuple(Place(description=one) for one in words),
        links=_TOGETHER, least=min(3, len(words)),
    )  # fmt: skip


_CHEST = "chest, thorax, lung, pulmo"
_HEAD = "head, brain, skull, kopf, schädel, cerv, crane, crâne"


def _windows(name: str, *windows: tuple[float, float]) -> Stage:
    places = tuple(Place(modality="CT", window=window) for window in windows)
    return Stage(1, len(windows), name, places, links=_TOGETHER, least=2)


_THREE_WINDOWS = _windows("Soft tissue, lung, bone", _SOFT, _LUNG, _BONE)
# The lung's own reconstruction where there is one.
_TWO_KERNELS = Stage(
    1,
    2,
    "Soft tissue and lung",
    (
        Place(modality="CT", description="-lung", window=_SOFT),
        Place(modality="CT", description="lung, -soft", window=_LUNG),
    ),
    links=_TOGETHER,
    least=2,
)


def _radiograph(modality: str) -> Protocol:
    """Return the layout of radiographs: those from the front beside those from the side."""
    frontal = Place(modality=modality, view="PA, AP")
    lateral = Place(modality=modality, view="LL, RL, LATERAL")
    before = (Place(modality=modality), Place(prior=1, modality=modality))
    return Protocol(
        "Radiograph",
        modality=modality,
        is_built_in=True,
        stages=(
            Stage(1, 2, "Frontal and lateral", (frontal, lateral), fit="scale", least=2),
            Stage(1, 1, "One picture"),
            Stage(1, 2, "With the prior", before, least=2),
        ),
    )


PET_CT = Protocol(
    "PET and CT",
    modality="PT",
    # Before the layouts of the CT's body part.
    priority=50,
    is_built_in=True,
    stages=(
        Stage(
            2, 2, "PET, CT, fused, MIP",
            (
                Place(modality="PT"), Place(modality="CT"), Place(modality="CT", show="fused"),
                Place(modality="PT", show="mip"),
            ),
            links=Links(scroll="position"), least=4,
        ),
        _FIRST,
        _COMPARED,
    ),
)  # fmt: skip


PROTOCOLS: tuple[Protocol, ...] = (
    MAMMOGRAPHY,
    PET_CT,
    Protocol(
        "CT of the chest",
        modality="CT",
        body_part=_CHEST,
        is_built_in=True,
        stages=(_FIRST, _TWO_KERNELS, _THREE_WINDOWS, _COMPARED),
    ),
    Protocol(
        "CT of the head",
        modality="CT",
        body_part=_HEAD,
        is_built_in=True,
        stages=(_FIRST, _windows("Brain and bone", _BRAIN, _BONE), _COMPARED),
    ),
    Protocol("CT", modality="CT", is_built_in=True, stages=(_FIRST, _THREE_WINDOWS, _COMPARED)),
    Protocol(
        "MR of the head",
        modality="MR",
        body_part=_HEAD,
        is_built_in=True,
        stages=(
            _sequences("t1, mprage, -t2", "t2, -flair, -t2*", "flair", "dwi, diff, trace, b1000"),
            _FIRST,
            _COMPARED,
        ),
    ),
    Protocol(
        "MR",
        modality="MR",
        is_built_in=True,
        stages=(
            _sequences("t1, -t2", "t2, -stir", "stir, pd, fs, tirm", "dwi, diff, adc, gd, km"),
            _FIRST,
            _COMPARED,
        ),
    ),
    _radiograph("DX"),
    _radiograph("CR"),
    Protocol(
        "Ultrasound",
        modality="US",
        is_built_in=True,
        stages=(Stage(1, 1, "One series"), Stage(2, 2, "Four series", least=2)),
    ),
    Protocol("Plain", is_built_in=True, stages=(_FIRST, _COMPARED)),
)
