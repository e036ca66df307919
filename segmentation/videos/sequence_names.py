"""Names of the sequences of each video dataset, by which a folder is recognised whatever it is called."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase

_DAVIS = """
bear blackswan bmx-bumps bmx-trees boat breakdance breakdance-flare bus camel car-roundabout car-shadow car-turn cows
dance-jump dance-twirl dog dog-agility drift-chicane drift-straight drift-turn elephant flamingo goat hike hockey
horsejump-high horsejump-low kite-surf kite-walk libby lucia mallard-fly mallard-water motocross-bumps motocross-jump
motorbike paragliding paragliding-launch parkour rhino rollerblade scooter-black scooter-gray soapbox soccerball
stroller surf swing tennis train
"""
_FBMS = """
bear01 bear02 camel01 cars1 cars10 cars2 cars3 cars4 cars5 cars6 cars7 cars8 cars9 cats01 cats02 cats03 cats04 cats05
cats06 cats07 dogs01 dogs02 ducks01 farm01 giraffes01 goats01 horses01 horses02 horses03 horses04 horses05 horses06
lion01 lion02 marple1 marple10 marple11 marple12 marple13 marple2 marple3 marple4 marple5 marple6 marple7 marple8
marple9 meerkats01 people03 people04 people05 people1 people2 rabbits01 rabbits02 rabbits03 rabbits04 rabbits05 tennis
"""
_SEGTRACK = """
bird_of_paradise birdfall bmx cheetah drift frog girl hummingbird monkey monkeydog parachute penguin soldier worm
"""
_CLASSES = "aeroplane bird boat car cat cow dog horse motorbike train"
NAMES: Mapping[str, tuple[str, ...]] = {
    "davis16": tuple(_DAVIS.split()),
    "fbms": tuple(_FBMS.split()),
    "ytobj": tuple(f"{name}/*" for name in _CLASSES.split()),
    "lvid": ("blueboy", "dressage", "rat"),
    "ytvos18": ("[0-9a-f]" * 10,),
    "segtrackv2": tuple(_SEGTRACK.split()),
}
"""Name of a dataset -> names of its sequences, or patterns of them."""


def other_dataset(names: Collection[str], dataset: str) -> tuple[str, list[str]] | None:
    """Return the dataset that knows more of some sequences than the dataset they are said to be of.

    Args:
        names: names of sequences.
        dataset: name of the dataset that they are said to be of.

    Returns:
        Name of the other dataset and the names that it knows; None if no dataset knows more of them.
    """
    known = {each: [name for name in names if _is_known(name, patterns)] for each, patterns in NAMES.items()}
    best = max(known, key=lambda each: (len(known[each]), each == dataset))
    return None if len(known[best]) <= len(known[dataset]) else (best, known[best])


def _is_known(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
