"""Rotation under fire: eight processes refresh one token at the same moment, a thousand times in a row, and a life goes on.

Each round: eight clients present the same refresh token at once; one of the answers is kept; when its token is no longer young,
all present that one, and so on. There is one promotion a generation, no alarm, no 5xx.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter

from flask_supertokens.protocol.tokens import fingerprint, preimage
from flask_supertokens.stores.connecting import database_engine
from flask_supertokens.stores.sqlalchemy import SQLAlchemyStore

from .servers import WINDOW, Client, Gunicorn, Said, databases, json_of

CLIENTS = 8


def fire(database_uri: str, rounds: int, workers: int = CLIENTS) -> Counter[str]:
    """So many rounds; what came of them."""
    figures: Counter[str] = Counter()
    engine = database_engine(database_uri.replace("postgresql:", "postgresql+psycopg:"), "")
    store = SQLAlchemyStore(engine)
    with Gunicorn(database_uri, workers) as server:
        clients = [Client(server.port) for _ in range(CLIENTS)]
        login = clients[0].ask("POST", "/login")
        handle, token = json_of(login)["handle"], login.cookies["sRefreshToken"]
        for number in range(rounds):
            answers = _at_once(clients, token)
            figures["refreshes"] += len(answers)
            figures["5xx"] += sum(answer.status >= 500 for answer in answers)
            figures["alarms"] += sum("theft" in answer.text for answer in answers)
            figures["refused"] += sum(answer.status not in (200, 503) for answer in answers)
            record = store.read(handle)
            promoted = record is not None and record.line.current_fingerprint == fingerprint(preimage(token))
            figures["promotions"] += promoted
            children = {answer.cookies["sRefreshToken"] for answer in answers if answer.status == 200}
            figures["children"] += len(children)
            if not children:
                break
            token = sorted(children)[number % len(children)]
            time.sleep(WINDOW * 1.1)
        for client in clients:
            client.close()
    engine.dispose()
    return figures


def _at_once(clients: list[Client], token: str) -> list[Said]:
    barrier, answers = threading.Barrier(len(clients)), []

    def refresh(client: Client) -> None:
        barrier.wait()
        answers.append(client.ask("POST", "/refresh", sRefreshToken=token))

    threads = [threading.Thread(target=refresh, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def main(rounds: int = 1000) -> None:
    failed = False
    with databases() as found:
        for name, uri in found.items():
            start = time.perf_counter()
            figures = fire(uri, rounds)
            print(f"fire on {name}, {rounds} rounds: {dict(figures)} in {time.perf_counter() - start:.0f} s")
            failed |= figures["promotions"] != rounds or bool(figures["5xx"] + figures["alarms"] + figures["refused"])
    if failed:
        sys.exit("a round went wrong")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
