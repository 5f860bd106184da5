"""The application on fakes with a customer who has entitlements: what tests of values, histories and explanations share."""

from datetime import timedelta

from tests.api_app import AnApp
from tests.builders import NOON


class BalanceApp(AnApp):
    """`begin` makes a meter `tokens` over `$.n`, a feature of the same key, and the customer `acme` with subject `s1`."""

    async def begin(self, aggregation="SUM", **more):
        self.meter = await self.with_meter("tokens", aggregation, **more)
        self.feature = await self.made(
            "/api/v1/features", key="tokens", name="t", meterSlug="tokens"
        )
        self.customer = await self.made(
            "/api/v1/customers", key="acme", name="Acme", usageAttribution={"subjectKeys": ["s1"]}
        )
        return self

    async def made(self, path, **body):
        answer = await self.post(path, body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def entitled(self, key="tokens", customer="acme", **more):
        """A daily metered entitlement since six hours ago, with a grant of 10."""
        body = {
            "type": "metered",
            "featureKey": key,
            "usagePeriod": {"interval": "DAY", "anchor": text(-6)},
            "measureUsageFrom": text(-6),
            "issueAfterReset": 10,
        } | more
        body = {name: value for name, value in body.items() if value is not None}
        return await self.made(f"/api/v2/customers/{customer}/entitlements", **body)

    async def flag(self, key, customer="acme", **more):
        """A boolean entitlement, or what `more` says, for a new feature."""
        await self.made("/api/v1/features", key=key, name=key)
        body = {"type": "boolean", "featureKey": key} | more
        return await self.made(f"/api/v2/customers/{customer}/entitlements", **body)

    async def granted(self, amount, hours=-6, entitlement="tokens", **more):
        """A grant of v2."""
        body = {"amount": amount, "effectiveAt": text(hours)} | more
        path = f"/api/v2/customers/acme/entitlements/{entitlement}/grants"
        return await self.made(path, **body)

    def use(self, amount, hours, subject="s1", **more):
        """An event of the meter."""
        self.used.add(self.meter, subject, NOON + timedelta(hours=hours), {"n": amount}, **more)

    async def value(self, **parameters):
        answer = await self.get(
            "/api/v2/customers/acme/entitlements/tokens/value", params=parameters
        )
        assert answer.status_code == 200, answer.text
        return answer.json()


def text(hours):
    """So many hours after noon, as requests say it."""
    return (NOON + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
