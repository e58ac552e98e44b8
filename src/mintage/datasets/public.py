"""Public sets that ``mintage get`` knows: where they lie, what they may be used for, their digest.

A digest stands here only where it was published by others and found the same in two places.
"""

from __future__ import annotations

from dataclasses import dataclass

from mintage.core.errors import ConfigError
from mintage.core.messages import Message, _
from mintage.create.collect import Origin
from mintage.sources.https import PublicFile

_MICROSOFT = "https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/"


@dataclass(frozen=True)
class PublicSet:
    """A data set that somebody published, as one file."""

    name: str
    title: str
    what: Message
    licence: Message
    consent: Message
    page: str
    file: PublicFile

    @property
    def about(self) -> Origin:
        """What a dataset's card says of it; the digest makes it this file and no other."""
        origin = f"{self.page} {self.file.name} sha256:{self.file.sha256}"
        return Origin(str(self.licence), str(self.consent), origin)


SETS = (
    # Size and digest: dataset_infos.json of cats_vs_dogs in huggingface/datasets, and the example
    # dogsvscats of GoMLX. Licence: the archive's own MSR-LA and the rules of Kaggle's competition.
    PublicSet(
        name="pets",
        title="Cats vs. Dogs (Microsoft Research, Kaggle)",
        what=_("25,000 photographs, half of cats and half of dogs, some of them damaged"),
        licence=_(
            "Microsoft Research License Agreement (MSR-LA, in the archive): for research that is "
            "not commercial, not to be published anew"
        ),
        consent=_("not stated by its publisher; photographs of animals from shelters"),
        page="https://www.microsoft.com/en-us/download/details.aspx?id=54765",
        file=PublicFile(
            name="kagglecatsanddogs_5340.zip",
            size=824_887_076,
            sha256="b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
            addresses=(_MICROSOFT + "kagglecatsanddogs_5340.zip",),
        ),
    ),
)


def find(name: str) -> PublicSet:
    """The set of that name.

    Raises:
        ConfigError: there is none; the remedy lists those there are.
    """
    for each in SETS:
        if each.name == name:
            return each
    raise ConfigError(
        _("No public set is called {name!r}.", name=name),
        remedy=_("There are: {names}.", names=", ".join(each.name for each in SETS)),
    )
