"""A real HTTP server in the place of an SMS provider: keeps what it is sent, and answers as it is told to."""

import contextlib
import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: str

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body, keep_blank_values=True))

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class SmsServer:
    """`requests` holds what came. `answer` is (status, body, headers), or a function of the request; `pause_s` delays it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer: Any = None
        self.pause_s = 0.0
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, body)
                sink.requests.append(request)
                time.sleep(sink.pause_s)
                status, said, more = sink.answer(request) if callable(sink.answer) else sink.answer
                data = (said if isinstance(said, str) else json.dumps(said)).encode()
                self.send_response_only(status)
                first = {"Content-Type": "application/json", "Date": self.date_time_string()}
                for name, value in {**first, **more}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                with contextlib.suppress(OSError):  # who asked may have gone, or been killed
                    self.end_headers()
                    self.wfile.write(data)

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that did not wait
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def texts(self) -> list[tuple[str, str]]:
        """(to, text) of what came in Twilio's form."""
        return [(request.form["To"], request.form["Body"]) for request in self.requests]

    def as_twilio(self) -> None:
        """Take every message, as Twilio does, with SM1, SM2, … for its name."""
        self.answer = lambda _request: (201, {"sid": f"SM{len(self.requests)}", "status": "queued"}, {})

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
