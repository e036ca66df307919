"""The citation of the software and of the paper whose generator it provides, as BibTeX."""

from __future__ import annotations

from importlib.metadata import version

_ENTRIES = """@software{fakeflow_software,
  title = {fakeflow: image-flow-mask triplets from still photos},
  author = {{the fakeflow developers}},
  version = {VERSION},
  license = {MIT}
}

@misc{cho2024fakeflow,
  title = {Improving Unsupervised Video Object Segmentation via Fake Flow Generation},
  author = {Cho, Suhwan and Lee, Minhyeok and Lee, Jungho and Kim, Donghyeong and Lee, Seunghoon and Woo, Sungmin and Lee, Sangyoun},
  year = {2024},
  eprint = {2407.11714},
  archivePrefix = {arXiv},
  primaryClass = {cs.CV}
}"""  # noqa: E501


def bibtex() -> str:
    """Return the BibTeX entries."""
    return _ENTRIES.replace("VERSION", version("fakeflow"))
