import pytest

from connectors.schema_registry.client import Options, SchemaRegistry
from domain.errors import NotFound, Refused, Unavailable
from runtime.embedded.service import free_port
from tests.schema_registry import schema_registry as schema_registry


@pytest.fixture
async def client(schema_registry):
    found = SchemaRegistry(Options(url=schema_registry.url + "/", timeout_s=0.5))
    yield found
    await found.close()


async def test_the_text_of_a_schema_is_found_by_its_id(client, schema_registry):
    schema_registry.store(7, '{"type": "string"}')

    assert await client.schema(7) == '{"type": "string"}'
    assert schema_registry.asked == ["/schemas/ids/7"]


async def test_no_such_schema_is_another_thing_than_no_answer(client):
    with pytest.raises(NotFound):
        await client.schema(8)


@pytest.mark.parametrize(
    ("more", "why"),
    [({"schemaType": "PROTOBUF"}, "PROTOBUF"), ({"references": [{"name": "x"}]}, "refers to")],
)
async def test_what_is_not_one_whole_avro_schema_is_refused(client, schema_registry, more, why):
    schema_registry.store(7, "{}", **more)

    with pytest.raises(Refused, match=why) as refused:
        await client.schema(7)

    assert refused.value.code == "avro_schema_unsuitable"


async def test_an_answer_without_end_is_refused(client, schema_registry):
    schema_registry.body = b"x" * (4 << 20)

    with pytest.raises(Refused, match="bytes"):
        await client.schema(7)


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503, 302])
async def test_a_registry_that_does_not_serve_us_is_not_there(client, schema_registry, status):
    schema_registry.status = status

    with pytest.raises(Unavailable, match=str(status)):
        await client.schema(7)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b"\xff", b"[" * 100_000, b"null"])
async def test_what_is_no_registrys_answer_is_none(client, schema_registry, body):
    schema_registry.body = body

    with pytest.raises(Unavailable):
        await client.schema(7)


async def test_a_registry_that_takes_too_long_is_not_waited_for(client, schema_registry):
    schema_registry.gate.clear()

    with pytest.raises(Unavailable):
        await client.schema(7)


async def test_nobody_at_the_address():
    client = SchemaRegistry(Options(url=f"http://127.0.0.1:{free_port()}", timeout_s=0.5))

    with pytest.raises(Unavailable):
        await client.schema(7)

    await client.close()
