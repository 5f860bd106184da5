"""A schema registry for tests: answers as Confluent's does, and can be told to be down or slow."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class SchemaRegistryServer:
    def __init__(self):
        self.schemas: dict[int, dict] = {}
        self.status = 200
        self.body: bytes | None = None
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                registry.asked.append(self.path)
                registry.gate.wait(10)
                status, body = registry._answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def store(self, id: int, schema: str, **more):
        self.schemas[id] = {"schema": schema, **more}

    def _answer(self, path: str) -> tuple[int, bytes]:
        if self.body is not None or self.status != 200:
            return self.status, self.body or b"{}"
        found = self.schemas.get(int(path.rpartition("/")[2]))
        if found is None:
            return 404, b'{"error_code": 40403, "message": "Schema not found"}'
        return 200, json.dumps(found).encode()

    def close(self):
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def schema_registry():
    found = SchemaRegistryServer()
    yield found
    found.close()
