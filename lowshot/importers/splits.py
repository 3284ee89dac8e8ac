"""Splits drawn by identity, where a dataset brings none."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from lowshot.errors import RequestError


@dataclass(frozen=True)
class Shares:
    """Shares of the identities to hold out.

    Args:
        val, test: shares in [0, 1); whatever is above zero comes to one identity at least.
        seed: another seed, other identities.
    """

    val: float = 0.0
    test: float = 0.0
    seed: int = 0

    def draw(self, identities: Iterable[str]) -> dict[str, str]:
        """The split of each identity.

        Where each stands in the order of drawing depends on (seed, identity) alone: identities that are added later
        change little. Without shares the split is empty: an archive for pretraining.

        Raises:
            RequestError: there are no identities, or none would be left to train on.
        """
        if not self.val and not self.test:
            return dict.fromkeys(identities, "")
        order = sorted(identities, key=lambda name: hashlib.sha256(f"{self.seed}\0{name}".encode()).digest())
        if not order:
            raise RequestError("--val and --test hold out identities, and these videos have none; leave them out")
        test, val = (max(1, round(share * len(order))) if share else 0 for share in (self.test, self.val))
        if test + val >= len(order):
            raise RequestError(
                f"--val {self.val:g} and --test {self.test:g} leave none of {len(order)} identities to train on; "
                "lower them"
            )
        return {
            name: "test" if place < test else "val" if place < test + val else "train"
            for place, name in enumerate(order)
        }
