"""The client of the Python package openai uses `bitdistill serve`."""
import concurrent.futures
import importlib.util
import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

if importlib.util.find_spec("openai") is None:
    sys.exit("skipped: needs the Python package openai")
import openai  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "serve"))
import tiny_model  # noqa: E402

PROGRAM = sys.argv[1]


def refused(kind, call):
    """Returns the message of an error of this kind."""
    try:
        call()
    except kind as error:
        return str(error)
    sys.exit(f"expected {kind.__name__}")


def completions(client, model):
    def ask(**changes):
        return client.completions.create(**{"model": model, "prompt": "The ship", "max_tokens": 20, "seed": 1} | changes)

    whole = ask()
    assert whole.usage.completion_tokens == 20 and whole.choices[0].finish_reason == "length"
    text = whole.choices[0].text
    assert ask().choices[0].text == text, "the same seed must give the same answer"
    assert ask(seed=2).choices[0].text != text
    assert {ask(seed=openai.omit).choices[0].text for _ in range(3)} != {text}, "answers without a seed must differ"
    assert ask(temperature=0).choices[0].text == ask(temperature=0, seed=9).choices[0].text

    pieces = list(ask(stream=True, stream_options={"include_usage": True}))
    assert "".join(p.choices[0].text for p in pieces if p.choices) == text
    assert pieces[-1].usage.total_tokens == whole.usage.total_tokens
    assert [p.choices[0].finish_reason for p in pieces if p.choices][-1] == "length"

    stop = re.search(r"[ -~]{3}", text[4:])[0]
    stopped = ask(stop=["@@@", stop]).choices[0]
    assert stopped.finish_reason == "stop" and stopped.text == text[:text.index(stop)], (stopped, text)
    assert "".join(p.choices[0].text for p in ask(stop=stop, stream=True)) == stopped.text

    scored = ask(logprobs=3).choices[0]
    assert scored.text == text and len(scored.logprobs.tokens) == 20
    assert all(len(t) == 3 for t in scored.logprobs.top_logprobs)
    assert scored.logprobs.text_offset[0] == 0 and all(p <= 0 for p in scored.logprobs.token_logprobs)
    best = ask(logprobs=1, temperature=0).choices[0].logprobs
    assert all(p == max(t.values()) for p, t in zip(best.token_logprobs, best.top_logprobs))

    tokens = client.post("/tokenize", cast_to=object, body={"content": "The ship", "add_special": True})["tokens"]
    assert ask(prompt=tokens).choices[0].text == text
    assert client.post("/detokenize", cast_to=object, body={"tokens": tokens})["content"] == "The ship"
    return text


def chats(client, model):
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Count."}]

    def ask(**changes):
        return client.chat.completions.create(**{"model": model, "messages": messages, "max_tokens": 15, "seed": 4} | changes)

    whole = ask()
    text = whole.choices[0].message.content
    assert whole.choices[0].message.role == "assistant"
    written = "[system] Be kind.\n[user] Count.\n[assistant] "
    same = client.completions.create(model=model, prompt=written, max_tokens=15, seed=4)
    assert same.choices[0].text == text, "a chat is a completion of what the template writes"
    pieces = list(ask(stream=True))
    assert pieces[0].choices[0].delta.role == "assistant"
    assert "".join(p.choices[0].delta.content or "" for p in pieces) == text
    scored = ask(logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert len(scored) == 15 and all(len(t.top_logprobs) == 2 for t in scored)
    assert b"".join(bytes(t.bytes) for t in scored).decode(errors="replace") == text


def errors(client, model, port):
    def ask(**changes):
        return client.completions.create(**{"model": model, "prompt": "a", "max_tokens": 2} | changes)

    assert "n is not supported" in refused(openai.BadRequestError, lambda: ask(n=2))
    assert "there is no model 'gpt'" in refused(openai.NotFoundError, lambda: ask(model="gpt"))
    assert "may have 256" in refused(openai.BadRequestError, lambda: ask(prompt="a b " * 400))
    assert "may have 256" in refused(openai.BadRequestError, lambda: ask(max_tokens=256))
    refused(openai.NotFoundError, lambda: client.post("/v1/images", cast_to=object, body={}))
    too_large = refused(openai.APIStatusError, lambda: ask(prompt="a" * 100_000))
    assert "the body is larger" in too_large
    other = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="wrong", max_retries=0)
    refused(openai.AuthenticationError, lambda: other.models.list())


def together(client, model):
    """Eight at once get what each gets alone."""
    def ask(seed):
        return client.completions.create(model=model, prompt=f"Line {seed} " * (seed + 1), max_tokens=40,
                                         seed=seed).choices[0].text

    alone = [ask(i) for i in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == alone


def embeddings(client, model):
    def ask(value, **more):
        return [d.embedding for d in client.embeddings.create(model=model, input=value, **more).data]

    one = ask("a ship", encoding_format="float")[0]
    assert abs(sum(x * x for x in one) - 1) < 1e-5
    many = ask(["a ship", "the sea"])  # the client asks for base64
    assert many[0] == one and many[1] != one


def classes(port, key):
    """Asks with curl for classes."""
    def ask(value):
        out = subprocess.run(["curl", "-sS", "-H", "Content-Type: application/json", "-H", f"Authorization: Bearer {key}",
                              "-d", json.dumps({"input": value}), f"http://127.0.0.1:{port}/v1/classify"],
                             check=True, stdout=subprocess.PIPE, text=True).stdout
        return json.loads(out)

    one = ask("a ship")["data"][0]
    assert set(one["probabilities"]) == {"bad", "good"} and abs(sum(one["probabilities"].values()) - 1) < 1e-9
    assert one["label"] == max(one["probabilities"], key=one["probabilities"].get)
    many = ask([{"review": "a ship"}, "the sea"])["data"]
    assert many[0]["probabilities"] == one["probabilities"] and many[1]["probabilities"] != one["probabilities"]
    assert "no column" in ask([{"text": "a"}])["error"]["message"]


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tern-serve-")) / "tiny"
    tiny_model.write(PROGRAM, folder)
    key = "secret"
    options = ["--api-key", key, "--context", "256", "--max-body", "60", "--prompt", "{review} =>", "--label-words",
               "bad,good"]
    with tiny_model.Server(PROGRAM, folder, *options) as server:
        address = f"http://127.0.0.1:{server.port}"
        client = openai.OpenAI(base_url=address + "/v1", api_key=key, max_retries=0)
        model = client.models.list().data[0].id
        assert model == "tiny" and client.models.retrieve(model).id == model
        root = client.with_options(base_url=address)
        root.completions, root.chat = client.completions, client.chat
        completions(root, model)
        chats(client, model)
        errors(client, model, server.port)
        together(client, model)
        embeddings(client, model)
        classes(server.port, key)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=30) == 0


main()
