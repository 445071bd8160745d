"""Every refusal has its status code, a body that says why, and leaves the server working.

    status.py PROGRAM
"""
import concurrent.futures
import http.client
import json
import pathlib
import sys
import tempfile

import tiny_model

PROGRAM = sys.argv[1]
JSON = {"Content-Type": "application/json"}
KEY = {"Authorization": "Bearer secret"}
PROMPT = json.dumps({"prompt": "a", "max_tokens": 1})

# name, method, path, headers, body, expected status
CASES = [
    ("a completion", "POST", "/v1/completions", JSON | KEY, PROMPT, 200),
    ("a type with a parameter", "POST", "/v1/completions", {"Content-Type": "application/json; charset=utf-8"} | KEY, PROMPT, 200),
    ("health without a key", "GET", "/health", {}, None, 200),
    ("a question mark", "GET", "/health?x=1", {}, None, 200),
    ("metrics", "GET", "/metrics", KEY, None, 200),
    ("metrics without a key", "GET", "/metrics", {}, None, 401),
    ("no key", "POST", "/v1/completions", JSON, PROMPT, 401),
    ("another key", "POST", "/v1/completions", JSON | {"Authorization": "Bearer secreT"}, PROMPT, 401),
    ("another scheme", "POST", "/v1/completions", JSON | {"Authorization": "Basic secret"}, PROMPT, 401),
    ("no such path", "GET", "/v1/nothing", KEY, None, 404),
    ("no such path, and a body", "POST", "/v1/nothing", JSON | KEY, PROMPT, 404),
    ("a path of 8000 bytes", "GET", "/" + "a" * 8000, KEY, None, 404),
    ("no such model", "GET", "/v1/models/gpt", KEY, None, 404),
    ("no task", "POST", "/v1/classify", JSON | KEY, '{"input": "a"}', 404),
    ("GET of a completion", "GET", "/v1/completions", KEY, None, 405),
    ("DELETE of models", "DELETE", "/v1/models", KEY, None, 405),
    ("PUT of health", "PUT", "/health", KEY | JSON, "{}", 405),
    ("a form", "POST", "/v1/completions", KEY | {"Content-Type": "application/x-www-form-urlencoded"}, "a=b", 415),
    ("parts of a form", "POST", "/v1/completions", KEY | {"Content-Type": "multipart/form-data; boundary=x"}, "--x--", 415),
    ("no type", "POST", "/v1/completions", KEY, PROMPT, 415),
    ("no JSON", "POST", "/v1/completions", JSON | KEY, "{", 400),
    ("no object", "POST", "/v1/completions", JSON | KEY, "[]", 400),
    ("nothing", "POST", "/v1/completions", JSON | KEY, "", 400),
    ("deep", "POST", "/v1/completions", JSON | KEY, "[" * 20000, 400),
    ("an empty prompt", "POST", "/v1/completions", JSON | KEY, '{"prompt": []}', 400),
    ("an unknown token", "POST", "/v1/completions", JSON | KEY, '{"prompt": [99999]}', 400),
    ("a long prompt", "POST", "/v1/completions", JSON | KEY, json.dumps({"prompt": "a b " * 1000}), 400),
    ("many tokens", "POST", "/v1/completions", JSON | KEY, '{"prompt": "a", "max_tokens": 33}', 400),
    ("no text of tokens", "POST", "/detokenize", JSON | KEY, '{"tokens": [-1]}', 400),
    ("a large body", "POST", "/v1/completions", JSON | KEY, json.dumps({"prompt": "a" * 30000}), 413),
    ("a large body in chunks", "POST", "/v1/completions", JSON | KEY, iter([b'{"prompt": "'] + [b"a" * 3000] * 10), 413),
]


def ask(port, method, path, headers, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the server refuses a body before its end; its answer can be read all the same
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response, text


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tern-serve-")) / "tiny"
    tiny_model.write(PROGRAM, folder)
    failures = []
    with tiny_model.Server(PROGRAM, folder, "--api-key", "secret", "--max-body", "20", "--max-tokens", "32") as server:
        for name, method, path, headers, body, expected in CASES:
            response, text = ask(server.port, method, path, headers, body)
            good = response.status == expected
            if expected >= 400:
                good = good and json.loads(text)["error"]["message"]
            if expected == 405:
                good = good and response.headers["Allow"] in ("GET", "POST")
            if not good:
                failures.append(f"{name}: expected {expected}, got {response.status} {text}")
        assert ask(server.port, "GET", "/health", {}, None)[1] == '{"status":"ok"}'

    with tiny_model.Server(PROGRAM, folder, "--slots", "1", "--queue", "0") as server:
        long = json.dumps({"prompt": "a", "max_tokens": 400, "temperature": 1.5})
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            got = {r.status for r, _ in pool.map(lambda _: ask(server.port, "POST", "/v1/completions", JSON, long), range(48))}
        if got != {200, 429}:
            failures.append(f"a full queue: expected 200 and 429, got {got}")

    # The answer of this model goes on for more than a second, since it is always the most probable token.
    folder = folder.parent / "patient"
    tiny_model.write(PROGRAM, folder, positions=1 << 20)
    with tiny_model.Server(PROGRAM, folder, "--timeout", "1", "--context", str(1 << 20)) as server:
        long = {"prompt": "a", "temperature": 0}
        response, text = ask(server.port, "POST", "/v1/completions", JSON, json.dumps(long))
        if response.status != 504:
            failures.append(f"too long an answer: expected 504, got {response.status} {text[:200]}")
        response, text = ask(server.port, "POST", "/v1/completions", JSON, json.dumps(long | {"stream": True}))
        *_, last, end = [line for line in text.split("\n") if line.startswith("data: ")]
        if response.status != 200 or end != "data: [DONE]" or json.loads(last[6:])["error"]["code"] != "timeout":
            failures.append(f"too long a stream: {response.status} {last} {end}")
    if failures:
        sys.exit("\n".join(failures))


main()
