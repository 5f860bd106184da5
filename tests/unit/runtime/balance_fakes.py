"""Stand-ins for what a worker's balances are wired of."""

from schemas.balances import Answer, Value


class FakePartition:
    """A balance partition whose customers all have one entitlement."""

    def __init__(self, number, next_offset=None):
        self.number = number
        self.next_offset = next_offset
        self.as_of_ms = 1_000
        self.waiting_bytes = 0
        self.began = []
        self.taken = []
        self.turns = 0
        self.slices = 0
        """Slices of work that are left."""
        self.closed = False

    def began_at(self, offset):
        self.began.append(offset)
        self.next_offset = offset

    def take(self, records, next_offset):
        self.taken += records
        self.next_offset = next_offset
        self.waiting_bytes += sum(len(key) + len(value or b"") for key, value in records)

    async def work(self):
        assert not self.closed, "a closed partition is worked on"
        self.turns += 1
        self.slices = max(0, self.slices - 1)
        self.waiting_bytes = 0
        return self.slices > 0

    def answer(self, question, now):
        assert not self.closed, "a closed partition is asked"
        value = Value(
            entitlement_id="e",
            customer_id=question.customer,
            feature_id="f",
            feature_key="k",
            type="boolean",
            has_access=True,
        )
        return Answer(values=(value,), customer_id=question.customer, as_of_ms=self.as_of_ms)

    async def close(self):
        self.closed = True


class FakeFeed:
    """The usage topic; `ends` says where each partition ends."""

    def __init__(self, ends=None):
        self.ends = ends or {}
        self.following = {}

    async def end(self, partition):
        return self.ends.get(partition, 0)

    def follow(self, partition, offset, taker):
        assert partition not in self.following
        self.following[partition] = (offset, taker)

    def leave(self, partition):
        del self.following[partition]

    def wake(self):
        pass

    def lag(self, partition):
        return 0


class FakeCatalog:
    """Customers by id and by key."""

    def __init__(self, *customers, version=1):
        self.version = version
        self.customers = {c.id: c for c in customers} | {c.key: c for c in customers if c.key}
        self._calls = []

    def customer(self, id_or_key):
        return self.customers.get(id_or_key)

    def customer_of(self, subject):
        everyone = self.customers.values()
        by_key = next((c.id for c in everyone if c.key == subject), None)
        return by_key or next((c.id for c in everyone if subject in c.subject_keys), None)

    def on_change(self, call):
        self._calls.append(call)

    def moves_to(self, version):
        self.version = version
        for call in self._calls:
            call(None)
