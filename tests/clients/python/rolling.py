"""Applications under load while the servers of a cluster are replaced one after the other.

Usage: rolling.py URL,URL,... rolling

On each server there is a publisher that numbers its messages, and a subscriber that gets the messages of all
publishers. For each server in turn, twice, this prints `replace INDEX` and waits for the line `replaced` on its
standard input, when another server listens at the same URL and all servers are connected again. What must hold:

* Between a publisher and a subscriber who are both on other servers, nothing is lost.
* Between others, after the replacement nothing is lost any more. A publisher who moves may be overtaken by itself on
  its new way, and a subscriber who moves may get its last messages a second time, in order, if they were still on their way to the
  server where it is now; nothing else comes twice or late.
* Whoever was on that server reconnects by itself; nobody else is disconnected.
* Requests are answered afterwards, whoever asks whom.

Prints `ok rolling` in the end.
"""

import asyncio
import itertools
import sys
import time

import nats

URLS = []
PATIENCE = 30
# Of each publisher, in messages and seconds: moderate, because the applications shall not be what is slow.
BURST, PAUSE = 5, 0.02
NAMES = itertools.count()


async def until(what, condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain: {what()}")
        await asyncio.sleep(0.005)


class Application:
    """A client that knows when it lost its connection."""

    async def start(self, server):
        self.home = server
        self.losses = 0

        async def lost():
            self.losses += 1

        self.client = await nats.connect(
            URLS[server],
            connect_timeout=PATIENCE,
            disconnected_cb=lost,
            error_cb=self.ignore,
            reconnect_time_wait=0.05,
            max_reconnect_attempts=-1,
        )
        return self

    async def ignore(self, error):
        """A refused connection is an error to the client, and what happens while a server is replaced."""

    def is_on(self, server):
        return self.client.is_connected and URLS[server].endswith(f":{self.client.connected_url.port}")


class Publisher(Application):
    async def start(self, server):
        await super().start(server)
        self.name = f"p{next(NAMES)}"
        self.sent = 0
        self.task = asyncio.create_task(self.run())
        return self

    async def run(self):
        while True:
            for _ in range(BURST):
                await self.client.publish(f"load.{self.name}", b"%d" % self.sent)
                self.sent += 1
            await asyncio.sleep(PAUSE)

    async def stop(self):
        self.task.cancel()
        await self.client.close()


class Subscriber(Application):
    async def start(self, server):
        await super().start(server)
        self.name = f"s{next(NAMES)}"
        # By publisher: the number that comes next; what did not come (from, to); and what came where another was due.
        self.next, self.gaps, self.late = {}, {}, {}
        await self.client.subscribe("load.*", cb=self.take)
        await self.client.subscribe(f"ask.{self.name}", cb=self.answer)
        await self.client.flush(timeout=PATIENCE)
        return self

    async def take(self, message):
        publisher, number = message.subject.split(".")[1], int(message.data)
        due = self.next.get(publisher, number)
        if number < due:
            self.late.setdefault(publisher, []).append((number, due))
            return
        if number > due:
            self.gaps.setdefault(publisher, []).append((due, number))
        self.next[publisher] = number + 1

    async def answer(self, message):
        await message.respond(b"answer")

    async def stop(self):
        await self.client.close()


async def everything_arrives(publishers, subscribers):
    """From now on: what has been sent until now may still be missing between some."""
    marks = [(publisher, publisher.sent) for publisher in publishers]
    behind = lambda: [
        (publisher.name, subscriber.name)
        for publisher, mark in marks
        for subscriber in subscribers
        if subscriber.next.get(publisher.name, -1) < mark + 1
    ]
    await until(lambda: f"messages of publishers at subscribers: {behind()}", lambda: not behind())


def is_seam(late):
    """Whether these are consecutive messages up to the one that was due: the end of the old way, once more on the new one."""
    numbers, dues = [number for number, _ in late], {due for _, due in late}
    return len(dues) == 1 and numbers == list(range(numbers[0], dues.pop()))


def check_gaps(publishers, subscribers, touched, step):
    for subscriber in subscribers:
        for publisher in publishers:
            gaps, late = (kept.pop(publisher.name, []) for kept in (subscriber.gaps, subscriber.late))
            if late and publisher not in touched and not (subscriber in touched and is_seam(late)):
                raise AssertionError(
                    f"{step}: from {publisher.name} on {URLS[publisher.home]}, who was not touched, {subscriber.name} on "
                    f"{URLS[subscriber.home]} got these twice or late (what came, what was due): {late}"
                )
            if gaps and publisher not in touched and subscriber not in touched:
                raise AssertionError(
                    f"{step}: between {publisher.name} on {URLS[publisher.home]} and {subscriber.name} on "
                    f"{URLS[subscriber.home]}, neither of them touched, these were lost (from, to): {gaps}"
                )


async def replace(server, publishers, subscribers, step):
    everybody = [*publishers, *subscribers]
    touched = [application for application in everybody if application.is_on(server)]
    if len(touched) != 2:
        raise AssertionError(f"{step}: {len(touched)} applications on server {server}")
    print(f"replace {server}", flush=True)
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    if line != "replaced\n":
        raise AssertionError(f"{step}: the test says {line!r}")
    await until(
        lambda: f"{step}: applications reconnect",
        lambda: all(application.losses > 0 and application.client.is_connected for application in touched),
    )
    for application in everybody:
        if application.losses != 0 and application not in touched:
            raise AssertionError(f"{step}: {application.name} on {URLS[application.home]} lost its connection")
    # Interest of those who moved has to get around; after that nothing may be lost between anybody.
    await everything_arrives(publishers, subscribers)
    check_gaps(publishers, subscribers, touched, step)
    await everything_arrives(publishers, subscribers)
    check_gaps(publishers, subscribers, [], f"after {step}")
    for asking in publishers:
        for asked in subscribers:
            await asking.client.request(f"ask.{asked.name}", b"question", timeout=PATIENCE)
    # Others take their place: applications that start on the server that is new.
    for group, kind in ((publishers, Publisher), (subscribers, Subscriber)):
        for index, application in enumerate(group):
            if application in touched:
                await application.stop()
                group[index] = await kind().start(server)
    await everything_arrives(publishers, subscribers)
    check_gaps(publishers, subscribers, [*touched, publishers[server], subscribers[server]], f"after {step}")


async def rolling():
    subscribers = [await Subscriber().start(server) for server in range(len(URLS))]
    publishers = [await Publisher().start(server) for server in range(len(URLS))]
    await everything_arrives(publishers, subscribers)
    check_gaps(publishers, subscribers, publishers, "the beginning")
    for direction in ("there", "back"):
        for server in range(len(URLS)):
            await replace(server, publishers, subscribers, f"{direction}, server {server}")
    for application in [*publishers, *subscribers]:
        await application.stop()
    total = sum(publisher.sent for publisher in publishers)
    print(f"the last publishers sent {total} messages", flush=True)


async def main():
    global URLS
    URLS = sys.argv[1].split(",")
    for name in sys.argv[2:]:
        await asyncio.wait_for(globals()[name](), 8 * PATIENCE)
        print(f"ok {name}", flush=True)


asyncio.run(main())
