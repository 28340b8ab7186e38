"""The root of every error a person may read.

An error names a fact, never a wire code: each server has one table from error to reply. It carries the sentence a
person reads, in French first and in English, and says what to do next where there is something to do.
"""


class VaguemestreError(Exception):
    """A fact that stops what was asked, with words for people.

    `en` and `fr` are whole sentences without secrets or message content; `fr` falls back on `en`.
    """

    def __init__(self, en: str, fr: str = "") -> None:
        super().__init__(en)
        self.en = en
        self.fr = fr or en


class ConfigurationError(VaguemestreError):
    """The installation cannot work as configured; an administrator must act."""


class StorageFailure(VaguemestreError):
    """The database or the disk did not do what it must; nothing was acknowledged, the caller may try again.

    Its words, which may be the database's own, are for administrators: a server keeps them from its clients.
    """


class KeyFailure(VaguemestreError):
    """A key file is missing, unreadable, or does not open what it should."""
