"""A server of reactions alone, to be killed: ``python vote_server.py PORT DATABASE``; every region, layer and year exists."""

import sys

import uvicorn
from fastapi import FastAPI

from ceiba.react2eo.protection.limits import DeviceLimit
from ceiba.react2eo.reactions import api as reactions
from ceiba.react2eo.reactions.votes import Votes


class Everything:
    """Stands for the store: a snapshot, and any layer of it."""

    def current(self) -> "Everything":
        return self

    def find_layer(self, region: str, layer: str) -> "Everything":
        return self

    def find_period(self, text: str) -> str:
        return text


if __name__ == "__main__":
    app = FastAPI()
    app.state.snapshots = Everything()
    app.state.device_limit = DeviceLimit(10**9)
    app.state.reactions = Votes(sys.argv[2])
    app.include_router(reactions.router)
    app.get("/health")(lambda: {"status": "ok"})
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
