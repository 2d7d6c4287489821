"""The links that a run works on, passed on from command to flow to task as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from storage.errors import UsageError
from storage.text.names import NAME
from storage.text.source_names import parse_sources, sources_of

# Takes 0.1 CPU-s to import; the list of commands does not need it.
if TYPE_CHECKING:
    from tasks.web.http import ConnectTo

# One source or several, `a,b` or `a+b`: vggface1, vggface2, synthetic, or the name of a list that is read by a recipe.
SourceNames = Annotated[str, Field(pattern=rf"^(?:{NAME.pattern})([,+](?:{NAME.pattern}))*$")]


@dataclass(frozen=True, slots=True)
class Selection:
    """A source and the requested part of its links.

    Attributes:
        source: source of the links, or several, `a,b`.
        links: location of the links, as for `flows.ingest.ingest`.
        recipe: meaning of the columns of a list: a preset or a TOML file.
        identities: the number of people, from the first on, or their names; None for all.
        per_identity: the number of links per person, from the first on; None for all.
        connect_to: HOST:PORT that every request is sent to instead of its own host.
    """

    source: str
    links: str | None = None
    recipe: str | None = None
    identities: int | list[str] | None = None
    per_identity: int | None = None
    connect_to: str | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources, if `source` joins several (`storage.text.source_names`).

        Raises:
            UsageError: there are several, and `links` or `recipe` can be of only one.
        """
        several = sources_of(parse_sources(self.source))
        if len(several) > 1 and (self.links is not None or self.recipe is not None):
            raise UsageError(
                f"links and a recipe belong to one source, and {' and '.join(several)} were given: run "
                "`facemill ingest` for each of them first; the lake then knows where its list is"
            )
        return several

    @property
    def names(self) -> list[str] | None:
        """The people selected by name."""
        return self.identities if isinstance(self.identities, list) else None

    @property
    def address(self) -> ConnectTo | None:
        """The address of `connect_to`.

        Raises:
            UsageError: it has another form.
        """
        from tasks.web.http import ConnectTo  # noqa: PLC0415

        return ConnectTo.parse(self.connect_to) if self.connect_to else None
