"""Random splits by identity, for datasets that have none."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from lowshot.errors import RequestError


@dataclass(frozen=True)
class Shares:
    """Shares of the identities to hold out.

    Args:
        val, test: shares in [0, 1). A share above 0 gives at least one identity.
        seed: decides which identities are held out.
    """

    val: float = 0.0
    test: float = 0.0
    seed: int = 0

    def assign(self, identities: Iterable[str]) -> dict[str, str]:
        """Choose the split of each identity at random.

        The order of sampling depends on (seed, identity) alone, so that identities added later change little. If both
        shares are 0, every split is empty: an archive for pretraining.

        Raises:
            RequestError: there are no identities, or none are left to train on.
        """
        if not self.val and not self.test:
            return dict.fromkeys(identities, "")
        order = sorted(identities, key=lambda name: hashlib.sha256(f"{self.seed}\0{name}".encode()).digest())
        if not order:
            raise RequestError("`val` and `test` hold out identities, and these videos have none; omit both")
        test, val = (max(1, round(share * len(order))) if share else 0 for share in (self.test, self.val))
        if test + val >= len(order):
            raise RequestError(
                f"`val={self.val:g}` and `test={self.test:g}` leave none of {len(order)} identities to train on; "
                "lower them"
            )
        return {
            name: "test" if place < test else "val" if place < test + val else "train"
            for place, name in enumerate(order)
        }
