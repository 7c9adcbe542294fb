// nats.js against a running server: one function a scenario, each of them exact about what must arrive.
//
// Usage: scenarios.js URL SCENARIO...   (NODE_PATH names the node_modules directory)
//
// Prints `ok SCENARIO` for each that holds and ends with 1 at the first that does not. A scenario that needs the
// server restarted prints `restart` and waits for the line `restarted` on its standard input; one that needs it killed
// prints `kill` and waits for `killed`.
"use strict";

const assert = require("node:assert/strict");
const { createHash, randomBytes } = require("node:crypto");
const { once } = require("node:events");
const readline = require("node:readline");
const nats = require("@nats-io/transport-node");

const [url, ...names] = process.argv.slice(2);
// For everything that should happen at once; generous, because nothing here measures time.
const PATIENCE = 30_000;

function connect(options = {}) {
  return nats.connect({ servers: url, timeout: PATIENCE, ...options });
}

function closeAll(...clients) {
  return Promise.all(clients.map((client) => client.close()));
}

async function until(what, condition) {
  const end = Date.now() + PATIENCE;
  while (!condition()) {
    assert(Date.now() < end, `waited in vain: ${what}`);
    await nats.delay(5);
  }
}

// A subscription and the list of what it gets.
function keep(client, subject, options = {}) {
  const messages = [];
  const callback = (error, message) => messages.push(error ?? message);
  return { messages, subscription: client.subscribe(subject, { callback, ...options }) };
}

function texts(messages) {
  return messages.map((message) => message.string());
}

function numbers(from, to) {
  return Array.from({ length: to - from }, (_, index) => String(from + index));
}

function hash(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

async function refusedAsNoResponders(promise) {
  await assert.rejects(promise, (error) => error instanceof nats.NoRespondersError || error.isNoResponders?.());
}

const scenarios = {
  async connection() {
    const [client, other] = [await connect({ name: 'a name with "quotes"' }), await connect()];
    assert.equal(client.info.max_payload, 1024 * 1024);
    assert.equal(client.info.headers, true);
    assert.equal(client.info.client_ip, "127.0.0.1");
    assert.notEqual(client.info.client_id, other.info.client_id);
    assert((await client.rtt()) >= 0);
    await closeAll(client, other);
  },

  async publish_subscribe() {
    const [subscriber, publisher] = [await connect(), await connect()];
    const first = keep(subscriber, "orders.new").messages;
    const second = keep(subscriber, "orders.new").messages;
    await subscriber.flush();
    const wanted = numbers(0, 10_000);
    for (const payload of wanted) {
      publisher.publish("orders.new", payload);
    }
    await publisher.flush();
    await until("all orders, twice", () => first.length >= wanted.length && second.length >= wanted.length);
    await subscriber.flush();
    assert.deepEqual(texts(first), wanted);
    assert.deepEqual(texts(second), wanted);
    await closeAll(subscriber, publisher);
  },

  async payloads() {
    const client = await connect();
    const { messages } = keep(client, "bytes");
    const wanted = ["", "\r\n", "PUB bytes 2\r\nhi\r\n"].map((text) => Buffer.from(text));
    wanted.push(Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)));
    for (const size of [1, 511, 4096, 32_767, 65_536, 65_537, 300_000, 1024 * 1024]) {
      wanted.push(randomBytes(size));
    }
    for (const payload of wanted) {
      client.publish("bytes", payload);
    }
    await until("all payloads", () => messages.length >= wanted.length);
    assert.deepEqual(messages.map((message) => hash(message.data)), wanted.map(hash));
    await client.close();
  },

  async wildcards() {
    const client = await connect();
    const subjects = ["a", "a.b", "a.b.c", "a.x.c", "a.b.c.d", "b.b.c", "x.b.c"];
    const patterns = {
      "a.b.c": ["a.b.c"],
      "a.*.c": ["a.b.c", "a.x.c"],
      "a.>": ["a.b", "a.b.c", "a.x.c", "a.b.c.d"],
      "*.b.c": ["a.b.c", "b.b.c", "x.b.c"],
      "*": ["a"],
      "*.*.*": ["a.b.c", "a.x.c", "b.b.c", "x.b.c"],
      "a.*.>": ["a.b.c", "a.x.c", "a.b.c.d"],
    };
    const got = Object.keys(patterns).map((pattern) => keep(client, `w.${pattern}`).messages);
    for (const subject of subjects) {
      client.publish(`w.${subject}`, subject);
    }
    await client.flush();
    assert.deepEqual(got.map(texts), Object.values(patterns));
    for (const messages of got) {
      assert.deepEqual(messages.map((message) => message.subject), texts(messages).map((text) => `w.${text}`));
    }
    await client.close();
  },

  async queue_groups() {
    const publisher = await connect();
    const members = await Promise.all(numbers(0, 5).map(() => connect()));
    const red = members.map((client) => keep(client, "work.*", { queue: "red" }).messages);
    const blue = members.slice(0, 2).map((client) => keep(client, "work.item", { queue: "blue" }).messages);
    const plain = keep(members[4], "work.>").messages;
    await Promise.all(members.map((client) => client.flush()));
    const wanted = numbers(0, 3_000);
    for (const payload of wanted) {
      publisher.publish("work.item", payload);
    }
    await publisher.flush();
    const count = (group) => group.reduce((sum, messages) => sum + messages.length, 0);
    await until("all items", () => Math.min(count(red), count(blue), plain.length) >= wanted.length);
    await Promise.all(members.map((client) => client.flush()));
    for (const group of [red, blue]) {
      assert.deepEqual(group.flatMap(texts).sort(), [...wanted].sort(), "each item once in the group");
      for (const messages of group) {
        assert(messages.length > 0, "a member that got nothing");
        const order = texts(messages).map(Number);
        assert.deepEqual(order, [...order].sort((a, b) => a - b), "the order at a member");
      }
    }
    assert.deepEqual(texts(plain), wanted);
    await closeAll(publisher, ...members);
  },

  request_reply() {
    return requests(5_000, {});
  },

  request_reply_with_new_inboxes() {
    return requests(2_000, { noMux: true });
  },

  async headers() {
    const client = await connect();
    const { messages } = keep(client, "headed");
    const sent = nats.headers();
    sent.append("Nats-Test", "one");
    sent.append("Nats-Test", "two");
    sent.set("x", "a b: c");
    client.publish("headed", "body", { headers: sent });
    const only = nats.headers();
    only.set("Only", "headers");
    client.publish("headed", "", { headers: only });
    client.publish("headed", "none");
    await client.flush();
    assert.deepEqual(texts(messages), ["body", "", "none"]);
    assert.deepEqual(messages[0].headers.values("Nats-Test"), ["one", "two"]);
    assert.equal(messages[0].headers.get("x"), "a b: c");
    assert.equal(messages[1].headers.get("Only"), "headers");
    assert.equal(messages[2].headers, undefined);

    client.subscribe("headed.service", {
      callback(_error, message) {
        const headers = nats.headers();
        headers.set("Was", message.headers.get("Ask"));
        message.respond(message.data, { headers });
      },
    });
    const question = nats.headers();
    question.set("Ask", "me");
    const reply = await client.request("headed.service", "?", { timeout: PATIENCE, headers: question });
    assert.equal(reply.string(), "?");
    assert.equal(reply.headers.get("Was"), "me");
    await client.close();
  },

  async no_responders() {
    const client = await connect();
    await refusedAsNoResponders(client.request("nobody.there", "?", { timeout: PATIENCE }));
    await refusedAsNoResponders(client.request("nobody.there", "?", { timeout: PATIENCE, noMux: true }));
    await client.close();
  },

  async drain() {
    const [subscriber, publisher] = [await connect(), await connect()];
    const handled = [];
    const subscription = subscriber.subscribe("drained");
    const handling = (async () => {
      for await (const message of subscription) {
        await nats.delay(0);
        handled.push(message.string());
      }
    })();
    await subscriber.flush();
    const wanted = numbers(0, 1_000);
    for (const payload of wanted) {
      publisher.publish("drained", payload);
    }
    await publisher.flush();
    await subscriber.drain();
    await handling;
    assert.deepEqual(handled, wanted);
    assert(subscriber.isClosed());
    await refusedAsNoResponders(publisher.request("drained", "?", { timeout: PATIENCE }));
    await publisher.close();
  },

  async auto_unsubscribe() {
    const client = await connect();
    const limited = keep(client, "limited", { max: 5 }).messages;
    const late = keep(client, "limited");
    const everything = keep(client, "limited").messages;
    for (const payload of numbers(0, 10)) {
      client.publish("limited", payload);
    }
    await client.flush();
    late.subscription.unsubscribe();
    for (const payload of numbers(10, 20)) {
      client.publish("limited", payload);
    }
    await client.flush();
    assert.deepEqual(texts(limited), numbers(0, 5));
    assert.deepEqual(texts(late.messages), numbers(0, 10));
    assert.deepEqual(texts(everything), numbers(0, 20));
    await client.close();
  },

  async echo_off() {
    const [silent, other] = [await connect({ noEcho: true }), await connect()];
    const own = keep(silent, "echo").messages;
    const others = keep(other, "echo").messages;
    await Promise.all([silent.flush(), other.flush()]);
    silent.publish("echo", "from the silent one");
    await silent.flush();
    other.publish("echo", "from the other");
    await other.flush();
    await silent.flush();
    assert.deepEqual(texts(own), ["from the other"]);
    assert.deepEqual(texts(others), ["from the silent one", "from the other"]);
    await closeAll(silent, other);
  },

  async verbose_and_pedantic() {
    for (const options of [{ verbose: true }, { pedantic: true }, { verbose: true, pedantic: true }]) {
      const client = await connect(options);
      const { messages } = keep(client, "talkative");
      for (const payload of numbers(0, 100)) {
        client.publish("talkative", payload);
      }
      await client.flush();
      assert.deepEqual(texts(messages), numbers(0, 100));
      await client.close();
    }
  },

  async many_connections() {
    const clients = await Promise.all(numbers(0, 100).map(() => connect()));
    const received = clients.map((client) => keep(client, "all").messages);
    await Promise.all(clients.map((client) => client.flush()));
    for (const [number, client] of clients.entries()) {
      client.publish("all", String(number));
      await client.flush();
    }
    await Promise.all(clients.map((client) => client.flush()));
    for (const messages of received) {
      assert.deepEqual(texts(messages), numbers(0, 100), "in causal order");
    }
    await closeAll(...clients);
  },

  async reconnect() {
    const client = await connect({ reconnectTimeWait: 50, reconnectJitter: 1, maxReconnectAttempts: -1 });
    const reconnected = untilReconnected(client);
    const plain = keep(client, "again.*").messages;
    const queued = keep(client, "again.>", { queue: "workers" }).messages;
    client.publish("again.before", "before");
    await client.flush();
    await wish("restart", "restarted");
    await reconnected;
    client.publish("again.after", "after");
    await client.flush();
    assert.deepEqual(texts(plain), ["before", "after"]);
    assert.deepEqual(texts(queued), ["before", "after"]);
    await client.close();
  },

  async move_on() {
    const client = await connect({ reconnectTimeWait: 50, reconnectJitter: 1, maxReconnectAttempts: -1 });
    const first = client.getServer();
    const others = () => (client.info.connect_urls ?? []).filter((address) => address !== first);
    await until("news of two more servers", () => others().length === 2);
    const [known, reconnected] = [others(), untilReconnected(client)];
    const publisher = await nats.connect({ servers: known[0], timeout: PATIENCE });
    const plain = keep(client, "moving.*").messages;
    const queued = keep(client, "moving.>", { queue: "workers" }).messages;
    await arrives(publisher, "moving.before", plain, queued);
    await wish("kill", "killed");
    await reconnected;
    assert(known.includes(client.getServer()), `from ${first} the client moved to ${client.getServer()}`);
    await arrives(publisher, "moving.after", plain, queued);
    const { messages } = keep(client, "moving.back");
    client.publish("moving.back", "here");
    await client.flush();
    assert.deepEqual(texts(messages), ["here"]);
    await closeAll(client, publisher);
  },

  async large_payloads() {
    const [subscriber, publisher] = [await connect(), await connect()];
    assert.equal(publisher.info.max_payload, 16 * 1024 * 1024);
    const { messages } = keep(subscriber, "large.>");
    await subscriber.flush();
    const wanted = [];
    for (const number of numbers(0, 4)) {
      const payload = randomBytes(8 * 1024 * 1024 + Number(number));
      publisher.publish(`large.${number}`, payload);
      publisher.publish(`large.${number}.small`, "small");
      wanted.push([`large.${number}`, hash(payload)], [`large.${number}.small`, hash("small")]);
      await publisher.flush();
    }
    await until("all of the large payloads", () => messages.length >= wanted.length);
    assert.deepEqual(messages.map((message) => [message.subject, hash(message.data)]), wanted);
    await closeAll(subscriber, publisher);
  },

  async max_payload() {
    const client = await connect();
    assert.equal(client.info.max_payload, 1000);
    const { messages } = keep(client, "small");
    assert.throws(() => client.publish("small", "x".repeat(1001)), /max_payload/);
    client.publish("small", "x".repeat(1000));
    await client.flush();
    assert.deepEqual(texts(messages), ["x".repeat(1000)]);
    await client.close();
  },

  async user_and_password() {
    await roundTrip({ user: "ann", pass: "s3cret" });
    await refused({ user: "ann", pass: "wrong" });
    await refused({ user: "bob", pass: "s3cret" });
    await refused({ token: "s3cret" });
    await refused({});
  },

  async token() {
    await roundTrip({ token: "t0ken" });
    await refused({ token: "wrong" });
    await refused({ user: "t0ken", pass: "t0ken" });
    await refused({});
  },
};

// Has the test do something with the server.
async function wish(action, answer) {
  const input = readline.createInterface({ input: process.stdin });
  console.log(action);
  const [line] = await once(input, "line");
  input.close();
  assert.equal(line, answer);
}

async function untilReconnected(client) {
  for await (const status of client.status()) {
    if (status.type === "reconnect") {
      return;
    }
  }
}

// Publishes until something came to each of the lists: interest is on its way to the publisher's server.
async function arrives(publisher, subject, ...lists) {
  const end = Date.now() + PATIENCE;
  while (!lists.every((messages) => messages.some((message) => message.subject === subject))) {
    assert(Date.now() < end, `nothing comes on ${subject}`);
    publisher.publish(subject);
    await publisher.flush();
    await nats.delay(10);
  }
}

async function requests(amount, options) {
  const [service, client] = [await connect(), await connect()];
  service.subscribe("service.echo", {
    callback: (_error, message) => message.respond(`answer to ${message.string()}`),
  });
  await service.flush();
  const calls = numbers(0, amount).map((number) =>
    client.request("service.echo", number, { timeout: PATIENCE, ...options }),
  );
  const answers = await Promise.all(calls);
  assert.deepEqual(texts(answers), numbers(0, amount).map((number) => `answer to ${number}`));
  await closeAll(service, client);
}

async function roundTrip(options) {
  const client = await connect(options);
  const { messages } = keep(client, "in");
  client.publish("in", "side");
  await client.flush();
  assert.deepEqual(texts(messages), ["side"]);
  await client.close();
}

// Connects with options that the server must not accept.
function refused(options) {
  return assert.rejects(connect({ reconnect: false, ...options }), nats.AuthorizationError);
}

async function main() {
  for (const name of names) {
    await scenarios[name]();
    console.log(`ok ${name}`);
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
