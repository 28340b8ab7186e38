"""How much a change may withdraw by itself: beyond a share of what was there, somebody must say that it is right.

A source that was cut, or is of another register, looks like a country whose professionals have all retired.
"""

from collections.abc import Mapping

from vaguemestre.directory.building import Tally
from vaguemestre.errors import VaguemestreError

_FRENCH = {"practitioners": "personnes", "activities": "activités", "addresses": "adresses"}


class WithdrawalsError(VaguemestreError):
    """The change would withdraw more than may be by mistake; nothing was changed."""

    rule = "too-many-withdrawals"


def check(before: Mapping[str, int], tally: Tally, limit: float) -> None:
    """Refuse a change that withdraws more than `limit`, a share of one, of what was `before`. Raises WithdrawalsError."""
    for name, counts in tally.named():
        if name in _FRENCH and counts.withdrawn > limit * before[name]:
            share = 100 * counts.withdrawn / max(before[name], 1)
            raise WithdrawalsError(
                f"This would withdraw {counts.withdrawn} of {before[name]} {name} ({share:.1f} %): more than the limit. "
                "Nothing was changed. Look at the source; if it is right, add --accept-withdrawals.",
                f"Cela retirerait {counts.withdrawn} {_FRENCH[name]} sur {before[name]} ({share:.1f} %) : plus que la "
                "limite. Rien n'a été changé. Regardez la source ; si elle est bonne, ajoutez --accept-withdrawals.",
            )
