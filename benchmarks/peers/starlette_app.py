"""What somebody writes by hand in an afternoon: Starlette, uvicorn and a bare predict."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.peers.bare import Model
from benchmarks.stopwatch import arguments


def main() -> None:
    asked = arguments(__doc__, port=8000)
    import uvicorn

    model = Model.given()

    # On the event loop: on one core a thread for each call is only a detour.
    async def predict(request: Request) -> JSONResponse:
        return JSONResponse(model.infer([model.decode(await request.body())])[0])

    app = Starlette(routes=[Route("/predict", predict, methods=["POST"])])
    uvicorn.run(app, port=asked.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
