"""Takes webhooks by FastAPI, pydantic and aiokafka on uvicorn, as a team would usually write it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from aiokafka import AIOKafkaProducer
from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, Field

from benchmarks.peers.webhooks import BOOTSTRAP_SERVERS, HOST, PATH, PORT, SIGNATURE, TOPIC, is_signed


class Agent(BaseModel):
    """Is the agent of a call."""

    id: str
    email: str | None = None


class Call(BaseModel):
    """Is the call of a webhook."""

    id: str
    direction: str
    from_: str = Field(alias="from")
    to: str
    queue_id: str | None = None
    agent: Agent | None = None


class Webhook(BaseModel):
    """Is a webhook's body."""

    event: str
    timestamp: str
    call: Call


@asynccontextmanager
async def producing(app: FastAPI) -> AsyncIterator[None]:
    """Keep a producer, started before the first request and flushed after the last."""
    app.state.producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP_SERVERS, acks="all", enable_idempotence=True)
    await app.state.producer.start()
    yield
    await app.state.producer.stop()


app = FastAPI(lifespan=producing)


@app.post(PATH, status_code=202)  # type: ignore[untyped-decorator] # mypy has no FastAPI to look at
async def take(request: Request) -> dict[str, str]:
    """202 once the broker has acknowledged the body."""
    body = await request.body()
    if not is_signed(body, request.headers.get(SIGNATURE, "")):
        raise HTTPException(401)
    webhook = Webhook.model_validate_json(body)
    await app.state.producer.send_and_wait(TOPIC, body, key=webhook.call.id.encode())
    return {"status": "accepted"}


if __name__ == "__main__":
    uvicorn.run(app, host=HOST, port=PORT, access_log=False, log_level="warning", loop="uvloop", http="httptools")
