"""A small client for Python programs: what the HTTP door offers, typed, with retries that cannot do work twice.

Owns the retries, the idempotency keys and the waiting. Knows nothing of how the service works inside.

    with Client("http://127.0.0.1:8000") as tarflow:
        (picture,) = tarflow.generate(class_name="7", guidance=2.0)
        Path("seven.png").write_bytes(picture.png)
"""

import base64
import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import httpx

# Answers after which the same request may do better: ours, and a proxy's while the service starts again.
PASSING = (429, 502, 503, 504)
PAUSE_S = 1.0
JSON = "application/json"
# Of jobs whose keys are remembered: only one that has not ended can be cancelled.
MOST_KEYS = 10_000
ANSWER_TIMEOUT_S = 75.0


class TarFlowError(Exception):
    """An answer that is not a result: its status, the problem it told (RFC 9457), and when to come again."""

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after_s: float = PAUSE_S) -> None:
        super().__init__(problem.get("detail") or f"status {status}")
        self.status, self.problem, self.retry_after_s = status, problem, retry_after_s


@dataclass(frozen=True)
class Picture:
    """One picture: a PNG, and the seed that makes it again."""

    png: bytes
    seed: int
    job_id: str


@dataclass(frozen=True)
class Event:
    """One event of a job; `event_id` is where to go on from."""

    event: str
    data: Mapping[str, Any]
    event_id: str | None


class Client:
    """A connection to one service; use it as a context manager, or close it."""

    def __init__(self, url: str, patience_s: float = 120.0, api_key: str | None = None) -> None:
        """`patience_s` is how long a call goes on trying while the service is full, away or slow."""
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self.http = httpx.Client(base_url=url, timeout=ANSWER_TIMEOUT_S, headers=headers)
        self.patience_s = patience_s
        self._keys: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        """Let the connections go."""
        self.http.close()

    def generate(self, class_name: str | None = None, **query: Any) -> list[Picture]:
        """Pictures of a class, by index or name; `query` as `POST /generate`: guidance, n, seed, denoise, model.

        Raises:
            TarFlowError: The service refused, or the job failed.
            TimeoutError: Patience ran out.
        """
        job_id = self.submit(class_name, **query)
        body = self.wait(job_id)
        return [Picture(base64.b64decode(each["png_base64"]), each["seed"], job_id) for each in body["images"]]

    def score(self, images: Sequence[bytes], class_name: str | None = None, **query: Any) -> list[dict[str, Any]]:
        """The scores of image files, in order; `query` as `POST /score`. Raises as `generate`."""
        files = [("image", (f"{index}", content)) for index, content in enumerate(images)]
        accepted = self._post("/score", _query(class_name, query), files)
        results: list[dict[str, Any]] = self.wait(accepted["job_id"])["results"]
        return results

    def encode(self, image: bytes, class_name: str | None = None, **query: Any) -> dict[str, Any]:
        """An image file's `latents`, and its `round_trip`; `query` as `POST /encode`. Raises as `generate`.

        The numbers of the round trip are None where the latents do not lead back: far from what the model knows.
        """
        accepted = self._post("/encode", _query(class_name, query), [("image", ("image", image))])
        return self.wait(accepted["job_id"])

    def decode(self, latents: Sequence[Sequence[float]], class_name: str | None = None, **query: Any) -> bytes:
        """The picture of latents (T, D), a PNG; `query` as `POST /decode`. Raises as `generate`."""
        rows = [list(row) for row in latents]
        accepted = self._post("/decode", _query(class_name, query), json={"latents": rows})
        (image,) = self.wait(accepted["job_id"])["images"]
        return base64.b64decode(image["png_base64"])

    def interpolate(self, start: bytes, end: bytes, class_name: str | None = None, **query: Any) -> list[bytes]:
        """PNGs from one image file to another; `query` as `POST /interpolate`. Raises as `generate`."""
        files = [("image", ("start", start)), ("image", ("end", end))]
        accepted = self._post("/interpolate", _query(class_name, query), files)
        return [base64.b64decode(each["png_base64"]) for each in self.wait(accepted["job_id"])["images"]]

    def verify(self, png: bytes) -> dict[str, Any]:
        """Whether a PNG of ours is what it says: `verified`, and the `reason` where not; raises as `generate`.

        `same_weights` says whether the weights that it names are those that it was recomputed with.
        """
        return self.wait(self._post("/verify", {}, [("image", ("image", png))])["job_id"])

    def submit(self, class_name: str | None = None, **query: Any) -> str:
        """The id of a job that will make pictures; arguments and errors as `generate`."""
        job_id: str = self._post("/generate", _query(class_name, query))["job_id"]
        return job_id

    def wait(self, job_id: str) -> dict[str, Any]:
        """The result of a job as JSON, once it is there. Raises as `generate`."""
        for _ in self.events(job_id):
            pass
        return self._send("GET", f"/jobs/{job_id}/result", headers={"Accept": JSON})

    def cancel(self, job_id: str) -> None:
        """End a job, unless others want it; what has ended stays. Raises TarFlowError."""
        key = self._keys.get(job_id)
        try:
            self._send("DELETE", f"/jobs/{job_id}", headers={} if key is None else {"Idempotency-Key": key})
        except TarFlowError as error:
            if error.status != httpx.codes.CONFLICT:
                raise

    def events(self, job_id: str) -> Iterator[Event]:
        """What happens to a job until it ends; a broken stream is taken up where it broke. Raises as `generate`."""
        deadline_s, last_id = time.monotonic() + self.patience_s, None
        while True:
            pause_s = PAUSE_S
            try:
                for event in self._stream(job_id, last_id, deadline_s):
                    last_id = event.event_id or last_id
                    yield event
                    if event.event == "done":
                        return
            except httpx.TransportError:
                pass
            except TarFlowError as error:
                if error.status not in PASSING:
                    raise
                pause_s = error.retry_after_s
            if time.monotonic() + pause_s > deadline_s:
                raise TimeoutError(f"job {job_id} has not ended within {self.patience_s:g} s")
            time.sleep(pause_s)

    def _stream(self, job_id: str, last_id: str | None, deadline_s: float) -> Iterator[Event]:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        with self.http.stream("GET", f"/jobs/{job_id}/events", headers=headers) as answer:
            if answer.is_error:
                answer.read()
                raise _error(answer)
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "event" in fields:
                    yield Event(fields["event"], json.loads(fields["data"]), fields.get("id"))
                    fields = {}
                if time.monotonic() > deadline_s:  # Nothing but heartbeats may come for ever.
                    return

    def _post(self, path: str, query: Mapping[str, Any], files: Any = None, json: Any = None) -> dict[str, Any]:
        """Queue work; one key for all tries, so that none of them does it twice."""
        key = uuid.uuid4().hex
        headers = {"Prefer": "respond-async", "Idempotency-Key": key, "Accept": JSON}
        accepted = self._send("POST", path, params=query, headers=headers, files=files, json=json)
        self._keys[accepted["job_id"]] = key
        if len(self._keys) > MOST_KEYS:
            del self._keys[next(iter(self._keys))]
        return accepted

    def _send(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        deadline_s = time.monotonic() + self.patience_s
        while True:
            error: Exception
            try:
                answer = self.http.request(method, path, **options)
                if not answer.is_error:
                    return dict(answer.json())
                refusal = _error(answer)
                if refusal.status not in PASSING:
                    raise refusal
                error, pause_s = refusal, refusal.retry_after_s
            except httpx.TransportError as broken:
                error, pause_s = broken, PAUSE_S
            if time.monotonic() + pause_s > deadline_s:
                raise error
            time.sleep(pause_s)


def _query(class_name: str | None, query: Mapping[str, Any]) -> dict[str, Any]:
    given = {"class": class_name, **query}
    return {name: _text(value) for name, value in given.items() if value is not None}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pause_s(retry_after: str | None) -> float:
    """What `Retry-After` asks for (RFC 9110): seconds, or a date, as a proxy may send; `PAUSE_S` for anything else."""
    if retry_after is None:
        return PAUSE_S
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return PAUSE_S


def _error(answer: httpx.Response) -> TarFlowError:
    retry_after_s = _pause_s(answer.headers.get("Retry-After"))
    try:
        return TarFlowError(answer.status_code, answer.json(), retry_after_s)
    except ValueError:
        return TarFlowError(answer.status_code, {"detail": answer.text[:200]}, retry_after_s)
