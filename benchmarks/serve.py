"""How much faster several answers are together than one after another, from `bitdistill serve`.

    benchmarks/serve.py PROGRAM MODEL [CLIENTS] [TOKENS] [ROUNDS]

Only the standard library of Python is needed. Each round asks for one answer, and then for as many as there are clients at
once, each of TOKENS tokens; requests that end early at an end token are counted with the tokens that they have.
"""
import concurrent.futures
import http.client
import json
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "serve"))
from tiny_model import Server  # noqa: E402

if len(sys.argv) < 3:
    sys.exit(__doc__)
program, model = sys.argv[1:3]
clients, tokens, rounds = (int(a) for a in (sys.argv[3:] + ["8", "64", "5"][len(sys.argv) - 3:]))


def answer(port, seed):
    """Returns how many tokens the answer has."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    body = {"prompt": "Once upon a time", "max_tokens": tokens, "temperature": 1.5, "seed": seed}
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read()
    if response.status != 200:
        sys.exit(f"status {response.status}: {text.decode()}")
    return json.loads(text)["usage"]["completion_tokens"]


def speed(port, at_once, seed):
    """Returns tokens per second of requests that start together."""
    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        count = sum(pool.map(lambda i: answer(port, seed + i), range(at_once)))
    return count / (time.perf_counter() - start)


with Server(program, model, "--slots", str(clients), "--threads", "2") as server:
    speed(server.port, clients, 0)  # the first requests touch the weights
    alone, together = [], []
    for n in range(rounds):
        alone.append(speed(server.port, 1, 1000 * n))
        together.append(speed(server.port, clients, 1000 * n))
a, b = statistics.median(alone), statistics.median(together)
print(f"tokens/s: {a:.1f} alone, {b:.1f} for {clients} clients together, {b / a:.2f} times "
      f"(medians of {rounds} rounds of {tokens} tokens)")
