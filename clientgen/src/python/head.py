# Written by `comfyport client python`; changes are lost when it is written again.
"""What each workflow takes and yields."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, List, Literal, Optional, Type, TypedDict

from ._runtime import Artifact, Lora, Media, MediaSummary, Request

if TYPE_CHECKING:
    # Type checkers bring it along; nothing asks for it while running.
    from typing_extensions import NotRequired
