"""Laws of an API and workers that die or are replaced while clients wait: nobody is lost who asks again by a key."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from threading import Event

import httpx

from service.api_server import GRACE_S
from service.client import Client, Picture
from tests.e2e.fault_worker import picture
from tests.e2e.machine import STOP_TIMEOUT_S, until
from tests.e2e.scene import IN_TIME_S, Scene
from worker.contract import JobState

CLIENTS = 8
PAUSE_S = 0.2
# 503 and 429 say when to come again; 202 that the result will be there.
FORESEEN = {200, 202, 429, 503}


def ask(scene: Scene, key: str) -> httpx.Response:
    """What a client that waits is answered; the seed is left to the service, so that only the key tells two apart."""
    return httpx.post(f"{scene.url}/generate", headers={"Idempotency-Key": key}, timeout=65)


@dataclass
class Callers:
    """Clients that wait, each asking again by its key until it has its picture."""

    scene: Scene
    gone: Event = field(default_factory=Event)

    def insist(self, key: str) -> httpx.Response:
        """The answer with the picture."""
        while not self.gone.wait(PAUSE_S):
            try:
                answer = ask(self.scene, key)
            except httpx.TransportError:
                continue
            assert answer.status_code in FORESEEN, answer.text
            if answer.status_code == 200:
                return answer
        raise TimeoutError(f"{key}: no picture")


@contextmanager
def at_once(scene: Scene) -> Iterator[tuple[ThreadPoolExecutor, Callers]]:
    """Callers side by side, who give up at the end of the block."""
    callers = Callers(scene)
    with ThreadPoolExecutor(CLIENTS) as pool:
        try:
            yield pool, callers
        finally:
            callers.gone.set()


def all_taken(scene: Scene) -> bool:
    """Whether every client's job is there, and one of them runs."""
    jobs = scene.jobs()
    return len(jobs) == CLIENTS and scene.running(jobs)


def test_clients_of_a_killed_api_get_by_their_keys_the_answers_of_the_jobs_they_had(scene: Scene) -> None:
    scene.worker(batch_ms=1000)
    api = scene.api()
    with at_once(scene) as (pool, callers):
        calls = [pool.submit(callers.insist, f"key-{index}") for index in range(CLIENTS)]
        until(lambda: all_taken(scene))
        taken = scene.jobs()
        api.kill()
        api.wait()
        scene.api()
        answers = [call.result(IN_TIME_S) for call in calls]
    assert [answer.content for answer in answers] == [picture(int(answer.headers["X-Seed"])) for answer in answers]
    assert sorted(answer.headers["X-Job-Id"] for answer in answers) == sorted(taken)
    assert scene.await_end(taken) == {JobState.SUCCEEDED: CLIENTS}
    assert scene.runs() == dict.fromkeys(taken, 1)


def test_a_client_that_waits_longer_than_an_api_takes_to_stop_is_told_to_come_again(scene: Scene) -> None:
    scene.worker(batch_ms=(GRACE_S + 3) * 1000)
    api = scene.api()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(ask, scene, "key")
        until(lambda: scene.running(scene.jobs()))
        api.terminate()
        answer = call.result(IN_TIME_S)
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0
    api.wait(STOP_TIMEOUT_S)
    scene.api()
    again = ask(scene, "key")
    assert again.content == picture(int(again.headers["X-Seed"]))
    assert scene.await_end(scene.jobs()) == {JobState.SUCCEEDED: 1}


@dataclass
class Load:
    """Users of the Python client, each with one picture after the other, until they are told to leave."""

    scene: Scene
    pictures: list[Picture] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    gone: Event = field(default_factory=Event)

    def use(self) -> None:
        """Ask for pictures for as long as the load lasts."""
        with Client(self.scene.url, patience_s=IN_TIME_S) as tarflow:
            tarflow.http.event_hooks = {"response": [self._note]}
            while not self.gone.is_set():
                self.pictures += tarflow.generate()

    def _note(self, answer: httpx.Response) -> None:
        self.statuses[answer.status_code] += 1

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Load for the length of the block; whoever waits at its end gets the picture still."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            users: list[Future[None]] = [pool.submit(self.use) for _ in range(CLIENTS)]
            try:
                yield
            finally:
                self.gone.set()
            for user in users:
                user.result(IN_TIME_S)

    def goes_on(self) -> None:
        """Wait until it is seen that pictures are made."""
        enough = len(self.pictures) + CLIENTS
        until(lambda: len(self.pictures) >= enough, IN_TIME_S)

    def assert_all_served(self) -> None:
        """Everybody got what was asked for, each job was asked for by one, and no answer was one of despair."""
        assert [each.png for each in self.pictures] == [picture(each.seed) for each in self.pictures]
        assert set(self.statuses) <= FORESEEN
        jobs = [each.job_id for each in self.pictures]
        assert self.scene.await_end(jobs) == {JobState.SUCCEEDED: len(jobs)}
        assert self.scene.runs() == dict.fromkeys(jobs, 1)


def test_an_api_replaced_under_load_costs_its_clients_another_try_at_most(scene: Scene) -> None:
    for _ in range(2):
        scene.worker()
    api, load = scene.api(), Load(scene)
    with load.flowing():
        for _ in range(2):
            load.goes_on()
            api.terminate()
            api.wait(STOP_TIMEOUT_S)
            api = scene.api()
        load.goes_on()
    load.assert_all_served()


def test_workers_replaced_in_turn_under_load_cost_their_clients_nothing(scene: Scene) -> None:
    workers = [scene.worker() for _ in range(2)]
    scene.api()
    scene.await_workers(2)
    load = Load(scene)
    with load.flowing():
        for worker in workers:
            load.goes_on()
            worker.terminate()
            assert worker.wait(STOP_TIMEOUT_S) == 0
            scene.worker()
            scene.await_workers(2)
        load.goes_on()
    load.assert_all_served()
    assert set(load.statuses) <= {200, 202}


def test_clients_that_wait_while_all_is_replaced_get_their_pictures_by_their_keys(scene: Scene) -> None:
    workers = [scene.worker() for _ in range(2)]
    api, keys, ended = scene.api(), count(), Event()
    with at_once(scene) as (pool, callers):

        def ask_on() -> list[httpx.Response]:
            answers = [callers.insist(f"key-{next(keys)}")]
            while not ended.is_set():
                answers.append(callers.insist(f"key-{next(keys)}"))
            return answers

        calls = [pool.submit(ask_on) for _ in range(CLIENTS)]
        for worker in workers:
            until(lambda: scene.running(scene.jobs()))
            api.terminate()
            worker.terminate()
            api.wait(STOP_TIMEOUT_S)
            assert worker.wait(STOP_TIMEOUT_S) == 0
            scene.worker()
            api = scene.api()
        ended.set()
        answers = [answer for call in calls for answer in call.result(IN_TIME_S)]
    assert [answer.content for answer in answers] == [picture(int(answer.headers["X-Seed"])) for answer in answers]
    jobs = [answer.headers["X-Job-Id"] for answer in answers]
    assert scene.await_end(jobs) == {JobState.SUCCEEDED: len(jobs)}
    assert scene.runs() == dict.fromkeys(jobs, 1)
