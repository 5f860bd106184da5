"""Makes a worker's balance wrong, as a mistake of ours would: under a stopped worker, in its state."""

from decimal import Decimal
from pathlib import Path

import msgspec

from domain.metering.ulid import ulid_bytes
from schemas.balance_state import STAND, decode_stand, encode, pack_used, unpack_used
from tables.balances import BalanceStore
from tables.options import SharedMemory, StoreOptions


def add_usage(states: Path, entitlement_id: str, amount: int) -> None:
    """The entitlement, of a SUM meter, has used so much more; `states` has the balance state of each partition."""
    key = STAND + ulid_bytes(entitlement_id)
    for path in sorted(path for path in states.iterdir() if path.is_dir()):
        store = BalanceStore(path, SharedMemory(StoreOptions()))
        try:
            raw = store.get([key])[0]
            if raw is None:
                continue
            stand = decode_stand(raw)
            used = unpack_used(stand.used)
            assert isinstance(used, int | Decimal)
            batch = store.batch()
            wrong = msgspec.structs.replace(stand, used=pack_used(used + amount))
            batch.put(key, encode(wrong))
            store.write(batch)
            return
        finally:
            store.close()
    raise AssertionError(f"no state in {states} has {entitlement_id}")
