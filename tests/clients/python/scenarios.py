"""nats.py against a running server: one function a scenario, each of them exact about what must arrive.

Usage: scenarios.py URL SCENARIO...

Prints `ok SCENARIO` for each that holds and ends with 1 at the first that does not. A scenario that needs the
server restarted prints `restart` and waits for the line `restarted` on its standard input; one that needs it killed
prints `kill` and waits for `killed`.
"""

import asyncio
import hashlib
import random
import sys
import time

import nats
from nats.errors import MaxPayloadError, NoRespondersError

URL = ""
# For everything that should happen at once; generous, because nothing here measures time.
PATIENCE = 30


def equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {str(got)[:500]}, wanted {str(wanted)[:500]}")


async def connect(**options):
    return await nats.connect(URL, connect_timeout=PATIENCE, **options)


async def flush(client):
    """Waits until the server has acted on everything sent so far. The PING of nats.py's own flush overtakes what its
    flusher task has not written yet; by the second one that is done."""
    await client.flush(timeout=PATIENCE)
    await client.flush(timeout=PATIENCE)


async def until(what, condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain: {what}")
        await asyncio.sleep(0.005)


def keep_in(messages):
    """A handler that keeps what comes."""

    async def handler(message):
        messages.append(message)

    return handler


async def wish(action, answer):
    """Has the test do something with the server."""
    print(action, flush=True)
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    equal(line, f"{answer}\n", "what the test says")


async def connection():
    client = await connect(name="a name with \"quotes\"")
    equal(client.is_connected, True, "connected")
    equal(client.max_payload, 1024 * 1024, "max_payload of INFO")
    equal(client.client_ip, "127.0.0.1", "client_ip of INFO")
    other = await connect()
    if client.client_id == other.client_id:
        raise AssertionError("two connections have the same client_id")
    if await client.rtt() < 0:
        raise AssertionError("a round trip into the past")
    await other.close()
    await client.close()


async def publish_subscribe():
    subscriber, publisher = await connect(), await connect()
    first, second = [], []
    await subscriber.subscribe("orders.new", cb=keep_in(first))
    await subscriber.subscribe("orders.new", cb=keep_in(second))
    await flush(subscriber)
    wanted = [b"order %d" % number for number in range(10_000)]
    for payload in wanted:
        await publisher.publish("orders.new", payload)
    await flush(publisher)
    await until("all orders, twice", lambda: len(first) >= len(wanted) and len(second) >= len(wanted))
    await flush(subscriber)
    equal([message.data for message in first], wanted, "first subscription")
    equal([message.data for message in second], wanted, "second subscription")
    await subscriber.close()
    await publisher.close()


async def payloads():
    client = await connect()
    messages = []
    await client.subscribe("bytes", cb=keep_in(messages))
    draw = random.Random(1)
    wanted = [b"", b"\r\n", b"PUB bytes 2\r\nhi\r\n", bytes(range(256))]
    wanted += [draw.randbytes(size) for size in (1, 511, 4096, 32_767, 65_536, 65_537, 300_000, 1024 * 1024)]
    for payload in wanted:
        await client.publish("bytes", payload)
    await until("all payloads", lambda: len(messages) >= len(wanted))
    equal([message.data for message in messages], wanted, "payloads")
    await client.close()


async def wildcards():
    client = await connect()
    subjects = ["a", "a.b", "a.b.c", "a.x.c", "a.b.c.d", "b.b.c", "x.b.c"]
    patterns = {
        "a.b.c": ["a.b.c"],
        "a.*.c": ["a.b.c", "a.x.c"],
        "a.>": ["a.b", "a.b.c", "a.x.c", "a.b.c.d"],
        "*.b.c": ["a.b.c", "b.b.c", "x.b.c"],
        "*": ["a"],
        "*.*.*": ["a.b.c", "a.x.c", "b.b.c", "x.b.c"],
        "a.*.>": ["a.b.c", "a.x.c", "a.b.c.d"],
    }
    got = {pattern: [] for pattern in patterns}
    for pattern in patterns:
        await client.subscribe(f"w.{pattern}", cb=keep_in(got[pattern]))
    for subject in subjects:
        await client.publish(f"w.{subject}", subject.encode())
    await flush(client)
    total = sum(len(wanted) for wanted in patterns.values())
    await until("every match", lambda: sum(len(messages) for messages in got.values()) >= total)
    await flush(client)
    for pattern, wanted in patterns.items():
        equal([message.data.decode() for message in got[pattern]], wanted, f"matches of {pattern}")
        equal([message.subject for message in got[pattern]], [f"w.{name}" for name in wanted], "their subjects")
    await client.close()


async def queue_groups():
    publisher = await connect()
    members = [await connect() for _ in range(5)]
    red = [[] for _ in members]
    blue = [[] for _ in members[:2]]
    plain = []
    for client, messages in zip(members, red):
        await client.subscribe("work.*", queue="red", cb=keep_in(messages))
    for client, messages in zip(members, blue):
        await client.subscribe("work.item", queue="blue", cb=keep_in(messages))
    await members[4].subscribe("work.>", cb=keep_in(plain))
    for client in members:
        await flush(client)
    wanted = [b"item %d" % number for number in range(3_000)]
    for payload in wanted:
        await publisher.publish("work.item", payload)
    await flush(publisher)
    count = lambda group: sum(len(messages) for messages in group)
    await until("all items", lambda: min(count(red), count(blue), len(plain)) >= len(wanted))
    for client in members:
        await flush(client)
    for name, group in (("red", red), ("blue", blue)):
        everything = [message.data for messages in group for message in messages]
        equal(sorted(everything), sorted(wanted), f"the items of group {name}, each of them once")
        if not all(group):
            raise AssertionError(f"a member of group {name} got nothing")
        for messages in group:
            numbers = [int(message.data.split()[1]) for message in messages]
            equal(numbers, sorted(numbers), f"the order at a member of {name}")
    equal([message.data for message in plain], wanted, "the plain subscription")
    for client in [*members, publisher]:
        await client.close()


async def requests(amount, **options):
    service, client = await connect(), await connect()

    async def answer(message):
        await message.respond(b"answer to " + message.data)

    await service.subscribe("service.echo", cb=answer)
    await flush(service)
    calls = [
        client.request("service.echo", b"question %d" % number, timeout=PATIENCE, **options)
        for number in range(amount)
    ]
    answers = await asyncio.gather(*calls)
    equal(
        [message.data for message in answers],
        [b"answer to question %d" % number for number in range(amount)],
        "answers",
    )
    await service.close()
    await client.close()


async def request_reply():
    await requests(5_000)


async def request_reply_with_new_inboxes():
    await requests(2_000, old_style=True)


async def headers():
    client = await connect()
    messages = []
    await client.subscribe("headed", cb=keep_in(messages))
    await client.publish("headed", b"body", headers={"Nats-Test": "one", "x": "a b: c"})
    await client.publish("headed", b"", headers={"Only": "headers"})
    await client.publish("headed", b"none")
    await client.publish("headed", b"many", headers={f"Key-{number}": "v" * number for number in range(1, 100)})
    await until("messages with headers", lambda: len(messages) >= 4)
    equal([message.data for message in messages], [b"body", b"", b"none", b"many"], "payloads")
    equal(messages[0].headers, {"Nats-Test": "one", "x": "a b: c"}, "headers")
    equal(messages[1].headers, {"Only": "headers"}, "headers without payload")
    equal(messages[2].headers, None, "no headers")
    equal(messages[3].headers, {f"Key-{number}": "v" * number for number in range(1, 100)}, "many headers")

    async def answer(message):
        await client.publish(message.reply, message.data, headers={"Was": message.headers["Ask"]})

    await client.subscribe("headed.service", cb=answer)
    reply = await client.request("headed.service", b"?", timeout=PATIENCE, headers={"Ask": "me"})
    equal((reply.data, reply.headers), (b"?", {"Was": "me"}), "reply with headers")
    await client.close()


async def no_responders():
    client = await connect()
    for options in ({}, {"old_style": True}):
        try:
            await client.request("nobody.there", b"?", timeout=PATIENCE, **options)
        except NoRespondersError:
            continue
        raise AssertionError("an answer although nobody listens")
    await client.close()


async def drain():
    closed = asyncio.Event()

    async def note_close():
        closed.set()

    subscriber, publisher = await connect(closed_cb=note_close, drain_timeout=PATIENCE), await connect()
    handled = []

    async def slowly(message):
        await asyncio.sleep(0.0002)
        handled.append(message.data)

    await subscriber.subscribe("drained", cb=slowly)
    await flush(subscriber)
    wanted = [b"%d" % number for number in range(1_000)]
    for payload in wanted:
        await publisher.publish("drained", payload)
    await flush(publisher)
    await subscriber.drain()
    await asyncio.wait_for(closed.wait(), PATIENCE)
    equal(handled, wanted, "what was on its way when the drain began")
    try:
        await publisher.request("drained", b"?", timeout=PATIENCE)
    except NoRespondersError:
        pass
    else:
        raise AssertionError("the drained subscription is still there")
    await publisher.close()


async def auto_unsubscribe():
    client = await connect()
    limited, after, all_of_them = [], [], []
    subscription = await client.subscribe("limited", cb=keep_in(limited))
    await subscription.unsubscribe(limit=5)
    late = await client.subscribe("limited", cb=keep_in(after))
    await client.subscribe("limited", cb=keep_in(all_of_them))
    for number in range(10):
        await client.publish("limited", b"%d" % number)
    await until("ten messages", lambda: len(all_of_them) >= 10 and len(after) >= 10)
    await late.unsubscribe()
    for number in range(10, 20):
        await client.publish("limited", b"%d" % number)
    await until("twenty messages", lambda: len(all_of_them) >= 20)
    await flush(client)
    equal([message.data for message in limited], [b"%d" % number for number in range(5)], "five messages")
    equal([message.data for message in after], [b"%d" % number for number in range(10)], "until unsubscribed")
    equal([message.data for message in all_of_them], [b"%d" % number for number in range(20)], "all messages")
    await client.close()


async def echo_off():
    silent, other = await connect(no_echo=True), await connect()
    own, others = [], []
    await silent.subscribe("echo", cb=keep_in(own))
    await other.subscribe("echo", cb=keep_in(others))
    await flush(silent)
    await flush(other)
    await silent.publish("echo", b"from the silent one")
    await flush(silent)
    await other.publish("echo", b"from the other")
    await flush(other)
    await until("what the other sent", lambda: own and len(others) >= 2)
    equal([message.data for message in own], [b"from the other"], "without echo")
    equal([message.data for message in others], [b"from the silent one", b"from the other"], "with echo")
    await silent.close()
    await other.close()


async def verbose_and_pedantic():
    for options in ({"verbose": True}, {"pedantic": True}, {"verbose": True, "pedantic": True}):
        client = await connect(**options)
        messages = []
        await client.subscribe("talkative", cb=keep_in(messages))
        for number in range(100):
            await client.publish("talkative", b"%d" % number)
        await flush(client)
        await until("a hundred messages", lambda: len(messages) >= 100)
        equal([message.data for message in messages], [b"%d" % number for number in range(100)], str(options))
        await client.close()


async def many_connections():
    clients = [await connect() for _ in range(100)]
    received = [[] for _ in clients]
    for client, messages in zip(clients, received):
        await client.subscribe("all", cb=keep_in(messages))
        await flush(client)
    for number, client in enumerate(clients):
        await client.publish("all", b"%d" % number)
        await flush(client)
    await until("everybody's message at everybody", lambda: all(len(messages) >= 100 for messages in received))
    for messages in received:
        equal([message.data for message in messages], [b"%d" % number for number in range(100)], "in causal order")
    for client in clients:
        await client.close()


async def reconnect():
    reconnected = asyncio.Event()

    async def note():
        reconnected.set()

    client = await connect(reconnected_cb=note, reconnect_time_wait=0.05, max_reconnect_attempts=-1)
    plain, queued = [], []
    await client.subscribe("again.*", cb=keep_in(plain))
    await client.subscribe("again.>", queue="workers", cb=keep_in(queued))
    await client.publish("again.before", b"before")
    await until("a message before the restart", lambda: plain and queued)
    await wish("restart", "restarted")
    await asyncio.wait_for(reconnected.wait(), PATIENCE)
    await client.publish("again.after", b"after")
    await until("a message after the restart", lambda: len(plain) >= 2 and len(queued) >= 2)
    await flush(client)
    equal([message.data for message in plain], [b"before", b"after"], "plain subscription")
    equal([message.data for message in queued], [b"before", b"after"], "queue subscription")
    await client.close()


async def move_on():
    reconnected = asyncio.Event()

    async def note():
        reconnected.set()

    client = await connect(reconnected_cb=note, reconnect_time_wait=0.05, max_reconnect_attempts=-1)
    await until("news of two more servers", lambda: len(client.discovered_servers) >= 2)
    first = client.connected_url.netloc
    known = {url.netloc for url in client.servers}
    others = sorted(known - {first})
    equal(len(others), 2, f"the other servers among {known}")
    publisher = await nats.connect(f"nats://{others[0]}", connect_timeout=PATIENCE)
    plain, queued = [], []
    await client.subscribe("moving.*", cb=keep_in(plain))
    await client.subscribe("moving.>", queue="workers", cb=keep_in(queued))
    await arrives(publisher, "moving.before", plain, queued)
    await wish("kill", "killed")
    await asyncio.wait_for(reconnected.wait(), PATIENCE)
    if client.connected_url.netloc not in others:
        raise AssertionError(f"from {first} the client moved to {client.connected_url.netloc}")
    await arrives(publisher, "moving.after", plain, queued)
    answers = await client.subscribe("moving.back", queue="answers")
    await client.publish("moving.back", b"here")
    equal((await answers.next_msg(timeout=PATIENCE)).data, b"here", "its own message")
    await publisher.close()
    await client.close()


async def arrives(publisher, subject, *lists):
    """Publishes until something came to each of the lists: interest is on its way to the publisher's server."""
    end = time.monotonic() + PATIENCE
    while not all(any(message.subject == subject for message in messages) for messages in lists):
        if time.monotonic() > end:
            raise AssertionError(f"nothing comes on {subject}")
        await publisher.publish(subject, b"")
        await flush(publisher)
        await asyncio.sleep(0.01)


async def say_hello():
    client = await nats.connect(URL.split(","), connect_timeout=PATIENCE)
    await client.publish("hello", b"from the list")
    await client.drain()


async def large_payloads():
    subscriber, publisher = await connect(), await connect(pending_size=64 * 1024 * 1024)
    equal(publisher.max_payload, 16 * 1024 * 1024, "max_payload of INFO")
    messages = []
    await subscriber.subscribe("large.>", cb=keep_in(messages))
    await flush(subscriber)
    draw = random.Random(8)
    wanted = []
    for number in range(4):
        payload = draw.randbytes(8 * 1024 * 1024 + number)
        wanted.append((f"large.{number}", hashlib.sha256(payload).hexdigest()))
        await publisher.publish(f"large.{number}", payload)
        await publisher.publish(f"large.{number}.small", b"small")
        wanted.append((f"large.{number}.small", hashlib.sha256(b"small").hexdigest()))
        await flush(publisher)
    await until("all of the large payloads", lambda: len(messages) >= len(wanted))
    equal([(message.subject, hashlib.sha256(message.data).hexdigest()) for message in messages], wanted, "hashes")
    await subscriber.close()
    await publisher.close()


async def max_payload():
    client = await connect()
    equal(client.max_payload, 1000, "max_payload of INFO")
    messages = []
    await client.subscribe("small", cb=keep_in(messages))
    try:
        await client.publish("small", b"x" * 1001)
    except MaxPayloadError:
        pass
    else:
        raise AssertionError("a payload above max_payload was sent")
    await client.publish("small", b"x" * 1000)
    await flush(client)
    await until("the payload that fits", lambda: messages)
    equal([message.data for message in messages], [b"x" * 1000], "the payload that fits")
    await client.close()


async def refused(**options):
    """Connects with options that the server must not accept."""
    errors = []

    async def note(error):
        errors.append(str(error))

    try:
        client = await connect(error_cb=note, allow_reconnect=False, **options)
    except Exception as error:
        errors.append(str(error))
    else:
        await client.close()
        raise AssertionError(f"the server accepts {options}")
    if not any("authorization violation" in error.lower() for error in errors):
        raise AssertionError(f"{options} were refused for another reason: {errors}")


async def round_trip(**options):
    client = await connect(**options)
    messages = []
    await client.subscribe("in", cb=keep_in(messages))
    await client.publish("in", b"side")
    await until("the message", lambda: messages)
    await client.close()


async def user_and_password():
    await round_trip(user="ann", password="s3cret")
    await refused(user="ann", password="wrong")
    await refused(user="bob", password="s3cret")
    await refused(token="s3cret")
    await refused()


async def token():
    await round_trip(token="t0ken")
    await refused(token="wrong")
    await refused(user="t0ken", password="t0ken")
    await refused()


async def main():
    global URL
    URL, names = sys.argv[1], sys.argv[2:]
    for name in names:
        await asyncio.wait_for(globals()[name](), 4 * PATIENCE)
        print(f"ok {name}", flush=True)


asyncio.run(main())
