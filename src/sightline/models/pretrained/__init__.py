"""Weights to begin from: other programs' state dicts, fitted to our networks by key names and shapes.

`load` fills a network, `files` reads a file without running anything in it, `names` knows torchvision's and timm's
tensor names, `fit` says what goes where, and `hub` downloads weights that have a name.
"""

from __future__ import annotations

from sightline.models.pretrained.load import PretrainedReport, load_pretrained

__all__ = ["PretrainedReport", "load_pretrained"]
