"""Honest, slow, broken and absent clients at once: every honest answer is the one that the request gets alone, none
is lost, and memory stays flat.

    load.py PROGRAM [SECONDS]
"""
import http.client
import json
import pathlib
import random
import re
import signal
import socket
import sys
import tempfile
import threading
import time

import tiny_model

PROGRAM = sys.argv[1]
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 8
JSON = {"Content-Type": "application/json"}


def ask(port, body, timeout=60):
    """Returns status and body of a completion."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("POST", "/v1/completions", json.dumps(body), JSON)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def text_of(request, body):
    """Returns the text of an answer, streamed or not."""
    if not request["stream"]:
        return json.loads(body)["choices"][0]["text"]
    events = [line[6:] for line in body.split("\n") if line.startswith("data: ")]
    if events.pop() != "[DONE]":
        return None
    pieces = [json.loads(e) for e in events]
    return "".join(p["choices"][0]["text"] if "choices" in p else f"<error {p}>" for p in pieces)


def gauge(port, name):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return float(re.search(rf"^{name} (\S+)$", text, re.M)[1])


def requests():
    """Returns requests that differ in prompt, length, sampling and form."""
    draw = random.Random(1)
    words = tiny_model.CORPUS.split()
    made = []
    for i in range(24):
        made.append({"prompt": " ".join(draw.choices(words, k=draw.choice([1, 5, 40, 120]))), "seed": i,
                     "max_tokens": draw.choice([1, 8, 30, 60]), "temperature": draw.choice([0, 0.7, 1.5]),
                     "stream": i % 2 == 0})
    return made


class Load:
    """The clients. Each method runs in threads of its own until the time is over."""

    def __init__(self, port, expected):
        self.port, self.expected = port, expected
        self.end = time.monotonic() + SECONDS
        self.lock = threading.Lock()
        self.counts = dict.fromkeys(["right", "wrong", "lost", "full", "abandoned", "broken", "slow"], 0)
        self.memory = []

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def running(self):
        return time.monotonic() < self.end

    def honest(self, seed):
        draw = random.Random(seed)
        while self.running():
            request, expected = draw.choice(self.expected)
            try:
                status, body = ask(self.port, request)
            except (OSError, http.client.HTTPException) as error:
                print("lost:", repr(error))
                self.count("lost")
                continue
            if status == 429:
                self.count("full")
                time.sleep(0.02)
            elif status != 200:
                print("lost:", status, body)
                self.count("lost")
            else:
                right = text_of(request, body) == expected
                self.count("right" if right else "wrong")

    def absent(self, seed):
        """Asks for a long answer and goes away: at once, after some bytes, and without a goodbye."""
        draw = random.Random(seed)
        while self.running():
            body = json.dumps({"prompt": "The ship", "max_tokens": 400, "stream": draw.random() < 0.5}).encode()
            s = socket.create_connection(("127.0.0.1", self.port), timeout=60)
            s.sendall(b"POST /v1/completions HTTP/1.1\r\nContent-Type: application/json\r\n"
                      b"Content-Length: %d\r\n\r\n" % len(body) + body)
            if draw.random() < 0.5:
                s.recv(100)
            if draw.random() < 0.5:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close by a reset
            s.close()
            self.count("abandoned")
            time.sleep(0.05)

    def broken(self, seed):
        """Sends what is no request, or only a part of one."""
        draw = random.Random(seed)
        head = b"POST /v1/completions HTTP/1.1\r\nContent-Type: application/json\r\n"
        while self.running():
            message = draw.choice([
                draw.randbytes(200), b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/completions HTTP/1.1\r\n\r\n",
                head + b"Content-Length: 50\r\n\r\n{\"prompt\"", head + b"Content-Length: -5\r\n\r\n",
                head + b"Content-Length: 5\r\n\r\n{\"a\":", head + b"Content-Length: 99999999999\r\n\r\nx",
                head + b"Transfer-Encoding: chunked\r\n\r\nzzz\r\n", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n",
                head + b"Transfer-Encoding: chunked\r\n\r\n" + b"8000\r\n" + b"x" * 0x8000 + b"\r\n",
                head + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
                b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n"])
            try:
                s = socket.create_connection(("127.0.0.1", self.port), timeout=60)
                s.sendall(message)
                s.shutdown(socket.SHUT_WR)
                while s.recv(4096):
                    pass
                s.close()
            except OSError:
                pass
            self.count("broken")
            time.sleep(0.02)

    def slow(self):
        """Sends a request byte by byte and reads the answer slowly."""
        while self.running():
            body = b'{"prompt": "The", "max_tokens": 3}'
            s = socket.create_connection(("127.0.0.1", self.port), timeout=60)
            for byte in (b"POST /v1/completions HTTP/1.1\r\nContent-Type: application/json\r\n"
                         b"Content-Length: %d\r\n\r\n" % len(body) + body):
                s.sendall(bytes([byte]))
                time.sleep(0.01)
            answer = b""
            while piece := s.recv(20):
                answer += piece
                time.sleep(0.01)
            s.close()
            self.count("slow" if answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 429")) else "lost")

    def watch(self):
        while self.running():
            self.memory.append(gauge(self.port, "process_resident_memory_bytes"))
            time.sleep(0.2)

    def run(self):
        jobs = [(self.honest, i) for i in range(8)] + [(self.absent, i) for i in range(3)]
        jobs += [(self.broken, i) for i in range(2)] + [(self.slow,), (self.slow,), (self.watch,)]
        threads = [threading.Thread(target=f, args=a) for f, *a in jobs]
        for t in threads:
            t.start()
        for t in threads:
            t.join()


def check(condition, message):
    if not condition:
        sys.exit(message)


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tern-serve-")) / "tiny"
    tiny_model.write(PROGRAM, folder)
    with tiny_model.Server(PROGRAM, folder, "--slots", "4", "--queue", "6", "--threads", "2", "--max-body", "60") as server:
        expected = []
        for request in requests():
            status, body = ask(server.port, request)
            check(status == 200, f"{status} {body}")
            expected.append((request, text_of(request, body)))
        load = Load(server.port, expected)
        load.run()
        print(load.counts)
        check(load.counts["wrong"] == 0 and load.counts["lost"] == 0, "wrong or lost answers")
        check(load.counts["right"] > 20, "the server answers too slowly")

        until = time.monotonic() + 20
        while gauge(server.port, "bitdistill_requests_running") + gauge(server.port, "bitdistill_requests_waiting"):
            check(time.monotonic() < until, "slots of absent clients were not freed")
            time.sleep(0.1)
        check(gauge(server.port, "bitdistill_abandoned_total") > 0, "no client was seen to go away")
        tenths = [load.memory[len(load.memory) * i // 10] for i in range(10)] + load.memory[-1:]
        print("MB in use after each tenth of the time:", *(f"{m / 1e6:.1f}" for m in tenths))
        check(tenths[-1] - tenths[3] < 8e6, "memory grows")

        # A signal lets a request finish that runs, and refuses the next one.
        answers = []
        body = {"prompt": "The ship", "max_tokens": 300, "temperature": 0, "stream": False}
        last = threading.Thread(target=lambda: answers.append(ask(server.port, body)))
        last.start()
        while not gauge(server.port, "bitdistill_requests_running"):
            if answers:  # it was too fast to be seen
                break
        server.process.send_signal(signal.SIGTERM)
        last.join()
        check(answers[0][0] == 200, f"a running request was not finished: {answers[0]}")
        check(server.process.wait(timeout=30) == 0, "the server did not end with status 0")


main()
