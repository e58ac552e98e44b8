"""How a server is asked: a picture, or another body, as the bytes of one HTTP request."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
_BOUNDARY = "a-boundary-that-no-picture-has"


@dataclass(frozen=True)
class Asking:
    """A path, further headers, and the form's field where a server takes pictures by form alone.

    ``content_type`` is what is sent where it is no form.
    """

    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    form_field: str = ""
    content_type: str = "image/jpeg"

    def parts(self, picture: bytes) -> tuple[dict[str, str], bytes]:
        """Headers and body of a request with this picture."""
        if not self.form_field:
            return {**self.headers, "Content-Type": self.content_type}, picture
        disposition = f'form-data; name="{self.form_field}"; filename="picture.jpg"'
        head = f"--{_BOUNDARY}\r\nContent-Disposition: {disposition}\r\nContent-Type: image/jpeg"
        body = b"%b\r\n\r\n%b\r\n--%b--\r\n" % (head.encode(), picture, _BOUNDARY.encode())
        return {**self.headers, "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}, body

    def message(self, picture: bytes, port: int) -> bytes:
        """The whole request, as it goes over the wire."""
        headers, body = self.parts(picture)
        headers = {"Host": f"{HOST}:{port}", **headers, "Content-Length": str(len(body))}
        lines = [
            f"POST {self.path} HTTP/1.1",
            *(f"{name}: {text}" for name, text in headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def write(self, pictures: list[bytes], port: int, folder: Path) -> list[Path]:
        """A file for each request, for programs that send what they are given."""
        folder.mkdir()
        paths = [folder / f"{number:02}.http" for number in range(len(pictures))]
        for path, picture in zip(paths, pictures, strict=True):
            path.write_bytes(self.message(picture, port))
        return paths

    def ask(self, picture: bytes, port: int, timeout_seconds: float = 10.0) -> tuple[int, Any]:
        """Ask once: the status, and the answer's JSON, or None where it is none.

        Raises:
            OSError: nobody listens, or nobody answers in time.
        """
        connection = http.client.HTTPConnection(HOST, port, timeout=timeout_seconds)
        try:
            headers, body = self.parts(picture)
            connection.request("POST", self.path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"no HTTP: {error}") from error
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, None
