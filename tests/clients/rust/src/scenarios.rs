//! What an application does with async-nats, one method a scenario, each of them exact about what must arrive.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use async_nats::client::{PublishErrorKind, RequestErrorKind};
use async_nats::{
    Client, ConnectErrorKind, ConnectOptions, Event, HeaderMap, Message, Request, RequestError, Subscriber,
};
use bytes::Bytes;
use futures_util::future::{FutureExt, join_all, try_join_all};
use futures_util::stream::StreamExt;
use tokio::sync::mpsc;
use tokio::task;
use tokio::time::{sleep, timeout};

/// For everything that should happen at once; generous, because nothing here measures time.
const PATIENCE: Duration = Duration::from_secs(30);

/// The server under test.
pub struct Server {
    /// Where it listens.
    pub url: String,
}

impl Server {
    async fn connect(&self) -> Result<Client> {
        self.connect_with(ConnectOptions::new()).await
    }

    async fn connect_with(&self, options: ConnectOptions) -> Result<Client> {
        let options = options.connection_timeout(PATIENCE).request_timeout(Some(PATIENCE));
        Ok(options.connect(&self.url).await?)
    }

    /// What INFO says reaches the client.
    pub async fn connection(&self) -> Result<()> {
        let client = self.connect_with(ConnectOptions::new().name("a name with \"quotes\"")).await?;
        let other = self.connect().await?;
        let info = client.server_info();
        equal(info.max_payload, 1024 * 1024)?;
        equal(info.client_ip.as_str(), "127.0.0.1")?;
        ensure!(info.headers, "the server supports headers");
        ensure!(info.client_id != other.server_info().client_id, "two connections have the same client_id");
        Ok(())
    }

    /// Ten thousand messages for two subscriptions, in order.
    pub async fn publish_subscribe(&self) -> Result<()> {
        let (subscriber, publisher) = (self.connect().await?, self.connect().await?);
        let mut first = subscriber.subscribe("orders.new").await?;
        let mut second = subscriber.subscribe("orders.new").await?;
        settle(&subscriber).await?;
        let wanted = numbers(0, 10_000);
        publish_all(&publisher, "orders.new", &wanted).await?;
        for subscription in [&mut first, &mut second] {
            equal(&texts(&take(subscription, wanted.len()).await?), &wanted)?;
            nothing_more(&subscriber, subscription).await?;
        }
        Ok(())
    }

    /// Payloads of any size and content arrive as they were sent.
    pub async fn payloads(&self) -> Result<()> {
        let client = self.connect().await?;
        let mut subscription = client.subscribe("bytes").await?;
        let mut wanted = vec![Bytes::new(), "\r\n".into(), "PUB bytes 2\r\nhi\r\n".into(), (0..=255).collect()];
        let mut draw = fastrand::Rng::with_seed(1);
        for size in [1, 511, 4096, 32_767, 65_536, 65_537, 300_000, 1024 * 1024] {
            wanted.push(random_bytes(&mut draw, size));
        }
        for payload in &wanted {
            client.publish("bytes", payload.clone()).await?;
        }
        for (message, payload) in take(&mut subscription, wanted.len()).await?.iter().zip(&wanted) {
            ensure!(message.payload == payload, "a payload of {} bytes arrived changed", payload.len());
        }
        Ok(())
    }

    /// Each pattern gets what it matches and nothing else.
    pub async fn wildcards(&self) -> Result<()> {
        let client = self.connect().await?;
        let subjects = ["a", "a.b", "a.b.c", "a.x.c", "a.b.c.d", "b.b.c", "x.b.c"];
        let patterns: [(&str, &[&str]); 7] = [
            ("a.b.c", &["a.b.c"]),
            ("a.*.c", &["a.b.c", "a.x.c"]),
            ("a.>", &["a.b", "a.b.c", "a.x.c", "a.b.c.d"]),
            ("*.b.c", &["a.b.c", "b.b.c", "x.b.c"]),
            ("*", &["a"]),
            ("*.*.*", &["a.b.c", "a.x.c", "b.b.c", "x.b.c"]),
            ("a.*.>", &["a.b.c", "a.x.c", "a.b.c.d"]),
        ];
        let subscribed = patterns.iter().map(|(pattern, _)| client.subscribe(format!("w.{pattern}")));
        let mut subscriptions = try_join_all(subscribed).await?;
        for subject in subjects {
            client.publish(format!("w.{subject}"), subject.into()).await?;
        }
        for (subscription, (pattern, wanted)) in subscriptions.iter_mut().zip(patterns) {
            let messages = take(subscription, wanted.len()).await?;
            equal(texts(&messages), wanted).with_context(|| format!("matches of {pattern}"))?;
            for (message, subject) in messages.iter().zip(wanted) {
                equal(message.subject.as_str(), format!("w.{subject}"))?;
            }
            nothing_more(&client, subscription).await?;
        }
        Ok(())
    }

    /// One member of each group gets a message, every member gets some, and plain subscriptions get all.
    pub async fn queue_groups(&self) -> Result<()> {
        let publisher = self.connect().await?;
        let members = try_join_all((0..5).map(|_| self.connect())).await?;
        let (mut red, mut blue) = (Vec::new(), Vec::new());
        for client in &members {
            red.push(client.queue_subscribe("work.*", "red".into()).await?);
        }
        for client in members.iter().take(2) {
            blue.push(client.queue_subscribe("work.item", "blue".into()).await?);
        }
        let [.., last] = members.as_slice() else { bail!("no members") };
        let mut plain = last.subscribe("work.>").await?;
        try_join_all(members.iter().map(settle)).await?;
        let wanted = numbers(0, 3_000);
        publish_all(&publisher, "work.item", &wanted).await?;
        equal(&texts(&take(&mut plain, wanted.len()).await?), &wanted)?;
        // The publisher's messages are all on their way, so what each member will get is ahead of this.
        settle(&publisher).await?;
        for group in [&mut red, &mut blue] {
            let mut everything = Vec::new();
            for (subscription, client) in group.iter_mut().zip(&members) {
                settle(client).await?;
                let mut order: Vec<u32> = Vec::new();
                while let Some(message) = already_there(subscription) {
                    order.push(text(&message).parse()?);
                }
                ensure!(!order.is_empty(), "a member that got nothing");
                ensure!(order.is_sorted(), "the order at a member");
                everything.extend(order);
            }
            everything.sort_unstable();
            ensure!(everything.into_iter().eq(0..3_000), "each item once in the group");
        }
        Ok(())
    }

    /// Five thousand requests in flight, whose replies share one subscription.
    pub async fn request_reply(&self) -> Result<()> {
        self.requests(5_000, |_| Request::new()).await
    }

    /// Two thousand requests in flight, each with an inbox and a subscription of its own.
    pub async fn request_reply_with_new_inboxes(&self) -> Result<()> {
        self.requests(2_000, |client| Request::new().inbox(client.new_inbox())).await
    }

    async fn requests(&self, amount: usize, request: impl Fn(&Client) -> Request) -> Result<()> {
        let (service, client) = (self.connect().await?, self.connect().await?);
        let mut questions = service.subscribe("service.echo").await?;
        settle(&service).await?;
        let answering = task::spawn(async move {
            while let Some(message) = questions.next().await {
                let answer = format!("answer to {}", text(&message));
                service.publish(message.reply.context("a reply subject")?, answer.into()).await?;
            }
            Ok::<_, anyhow::Error>(())
        });
        let calls = numbers(0, amount)
            .into_iter()
            .map(|number| client.send_request("service.echo", request(&client).payload(number.into())));
        for (number, answer) in join_all(calls).await.into_iter().enumerate() {
            equal(text(&answer?), format!("answer to {number}"))?;
        }
        ensure!(!answering.is_finished(), "the service still runs");
        answering.abort();
        Ok(())
    }

    /// Headers, also several of one name, and without a payload.
    pub async fn headers(&self) -> Result<()> {
        let client = self.connect().await?;
        let mut subscription = client.subscribe("headed").await?;
        let mut headers = HeaderMap::new();
        headers.append("Nats-Test", "one");
        headers.append("Nats-Test", "two");
        headers.insert("x", "a b: c");
        client.publish_with_headers("headed", headers.clone(), "body".into()).await?;
        let mut only = HeaderMap::new();
        only.insert("Only", "headers");
        client.publish_with_headers("headed", only.clone(), Bytes::new()).await?;
        client.publish("headed", "none".into()).await?;
        let messages = take(&mut subscription, 3).await?;
        equal(texts(&messages), ["body", "", "none"])?;
        let received: Vec<_> = messages.into_iter().map(|message| message.headers).collect();
        equal(received, [Some(headers.clone()), Some(only), None])?;

        let mut questions = client.subscribe("headed.service").await?;
        let (reply, answered) =
            tokio::join!(client.request_with_headers("headed.service", headers.clone(), "?".into()), async {
                let question = take(&mut questions, 1).await?.pop().context("a question")?;
                let to = question.reply.context("a reply subject")?;
                client.publish_with_headers(to, question.headers.unwrap_or_default(), question.payload).await?;
                Ok::<_, anyhow::Error>(())
            });
        answered?;
        let reply = reply?;
        equal(text(&reply), "?")?;
        equal(reply.headers, Some(headers))
    }

    /// A request that nobody listens to fails at once.
    pub async fn no_responders(&self) -> Result<()> {
        let client = self.connect().await?;
        no_responders(client.request("nobody.there", "?".into())).await?;
        let request = Request::new().inbox(client.new_inbox()).payload("?".into());
        no_responders(client.send_request("nobody.there", request)).await
    }

    /// What was on its way when a drain began is still handled.
    pub async fn drain(&self) -> Result<()> {
        let (subscriber, publisher) = (self.connect().await?, self.connect().await?);
        let mut subscription = subscriber.subscribe("drained").await?;
        settle(&subscriber).await?;
        let wanted = numbers(0, 1_000);
        publish_all(&publisher, "drained", &wanted).await?;
        settle(&publisher).await?;
        subscriber.drain().await?;
        equal(&texts(&take(&mut subscription, wanted.len()).await?), &wanted)?;
        ensure!(timeout(PATIENCE, subscription.next()).await?.is_none(), "a message after the drain");
        no_responders(publisher.request("drained", "?".into())).await
    }

    /// A subscription with a limit ends by itself, another by unsubscribing, and a third goes on.
    pub async fn auto_unsubscribe(&self) -> Result<()> {
        let client = self.connect().await?;
        let mut limited = client.subscribe("limited").await?;
        limited.unsubscribe_after(5).await?;
        let mut late = client.subscribe("limited").await?;
        let mut everything = client.subscribe("limited").await?;
        publish_all(&client, "limited", &numbers(0, 10)).await?;
        equal(texts(&take(&mut late, 10).await?), numbers(0, 10))?;
        late.unsubscribe().await?;
        publish_all(&client, "limited", &numbers(10, 20)).await?;
        equal(texts(&take(&mut everything, 20).await?), numbers(0, 20))?;
        equal(texts(&take(&mut limited, 5).await?), numbers(0, 5))?;
        ensure!(timeout(PATIENCE, limited.next()).await?.is_none(), "more messages than the limit");
        ensure!(timeout(PATIENCE, late.next()).await?.is_none(), "a message after unsubscribing");
        nothing_more(&client, &mut everything).await
    }

    /// A client without echo does not hear itself; others do.
    pub async fn echo_off(&self) -> Result<()> {
        let silent = self.connect_with(ConnectOptions::new().no_echo()).await?;
        let other = self.connect().await?;
        let mut own = silent.subscribe("echo").await?;
        let mut others = other.subscribe("echo").await?;
        settle(&other).await?;
        silent.publish("echo", "from the silent one".into()).await?;
        settle(&silent).await?;
        other.publish("echo", "from the other".into()).await?;
        equal(texts(&take(&mut own, 1).await?), ["from the other"])?;
        equal(texts(&take(&mut others, 2).await?), ["from the silent one", "from the other"])?;
        nothing_more(&silent, &mut own).await
    }

    /// A hundred clients who all hear each other, in the order in which they spoke.
    pub async fn many_connections(&self) -> Result<()> {
        let clients = try_join_all((0..100).map(|_| self.connect())).await?;
        let mut subscriptions = try_join_all(clients.iter().map(|client| client.subscribe("all"))).await?;
        try_join_all(clients.iter().map(settle)).await?;
        for (number, client) in clients.iter().enumerate() {
            client.publish("all", number.to_string().into()).await?;
            settle(client).await?;
        }
        for subscription in &mut subscriptions {
            equal(texts(&take(subscription, clients.len()).await?), numbers(0, clients.len()))?;
        }
        Ok(())
    }

    /// The client finds the restarted server again and its subscriptions work as before.
    pub async fn reconnect(&self) -> Result<()> {
        let (sender, mut events) = mpsc::unbounded_channel();
        let options = ConnectOptions::new().reconnect_delay_callback(|_| Duration::from_millis(50)).event_callback(
            move |event| {
                // Nobody listens any more at the end of the scenario.
                let _ = sender.send(event);
                async {}
            },
        );
        let client = self.connect_with(options).await?;
        let mut plain = client.subscribe("again.*").await?;
        let mut queued = client.queue_subscribe("again.>", "workers".into()).await?;
        client.publish("again.now", "before".into()).await?;
        for subscription in [&mut plain, &mut queued] {
            equal(texts(&take(subscription, 1).await?), ["before"])?;
        }
        wait_for(&mut events, Event::Connected).await?;
        wish("restart", "restarted").await?;
        wait_for(&mut events, Event::Connected).await?;
        client.publish("again.now", "after".into()).await?;
        for subscription in [&mut plain, &mut queued] {
            equal(texts(&take(subscription, 1).await?), ["after"])?;
            nothing_more(&client, subscription).await?;
        }
        Ok(())
    }

    /// The client finds out about the other servers; when its own is killed it moves to one of them and goes on.
    pub async fn move_on(&self) -> Result<()> {
        let (sender, mut events) = mpsc::unbounded_channel();
        let options = ConnectOptions::new().reconnect_delay_callback(|_| Duration::from_millis(50)).event_callback(
            move |event| {
                // Nobody listens any more at the end of the scenario.
                let _ = sender.send(event);
                async {}
            },
        );
        let client = self.connect_with(options).await?;
        wait_for(&mut events, Event::Connected).await?;
        let first = client.server_info().port;
        let is_other = |url: &String| !url.ends_with(&format!(":{first}"));
        let others = timeout(PATIENCE, async {
            loop {
                let others: Vec<String> = client.server_info().connect_urls.into_iter().filter(is_other).collect();
                if others.len() == 2 {
                    return others;
                }
                sleep(Duration::from_millis(5)).await;
            }
        });
        let others = others.await.context("no news of two more servers")?;
        let publisher = Server { url: format!("nats://{}", others[0]) }.connect().await?;
        let mut plain = client.subscribe("moving.*").await?;
        let mut queued = client.queue_subscribe("moving.>", "workers".into()).await?;
        for subscription in [&mut plain, &mut queued] {
            arrives(&publisher, "moving.before", subscription).await?;
        }
        wish("kill", "killed").await?;
        wait_for(&mut events, Event::Connected).await?;
        let now = client.server_info().port;
        ensure!(others.iter().any(|url| url.ends_with(&format!(":{now}"))), "from {first} the client moved to {now}");
        for subscription in [&mut plain, &mut queued] {
            arrives(&publisher, "moving.after", subscription).await?;
        }
        let mut own = client.subscribe("moving.back").await?;
        client.publish("moving.back", "here".into()).await?;
        equal(texts(&take(&mut own, 1).await?), ["here"])
    }

    /// Payloads of 8 MB between small ones.
    pub async fn large_payloads(&self) -> Result<()> {
        let (subscriber, publisher) = (self.connect().await?, self.connect().await?);
        equal(publisher.server_info().max_payload, 16 * 1024 * 1024)?;
        let mut subscription = subscriber.subscribe("large.>").await?;
        settle(&subscriber).await?;
        let mut draw = fastrand::Rng::with_seed(8);
        for number in 0..4 {
            let payload = random_bytes(&mut draw, 8 * 1024 * 1024 + number);
            publisher.publish(format!("large.{number}"), payload.clone()).await?;
            publisher.publish(format!("large.{number}.small"), "small".into()).await?;
            let messages = take(&mut subscription, 2).await?;
            let [large, small] = messages.as_slice() else { bail!("two messages") };
            equal(large.subject.as_str(), format!("large.{number}"))?;
            ensure!(large.payload == payload, "payload {number} arrived changed");
            equal(text(small), "small")?;
        }
        Ok(())
    }

    /// The client keeps to the server's limit on payloads.
    pub async fn max_payload(&self) -> Result<()> {
        let client = self.connect().await?;
        equal(client.server_info().max_payload, 1000)?;
        let mut subscription = client.subscribe("small").await?;
        match client.publish("small", "x".repeat(1001).into()).await {
            Err(error) => equal(error.kind(), PublishErrorKind::MaxPayloadExceeded)?,
            Ok(()) => bail!("a payload above max_payload was sent"),
        }
        client.publish("small", "x".repeat(1000).into()).await?;
        equal(texts(&take(&mut subscription, 1).await?), ["x".repeat(1000)])
    }

    /// The right user with the right password gets in, nobody else does.
    pub async fn user_and_password(&self) -> Result<()> {
        let login =
            |user: &str, password: &str| ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
        self.round_trip(login("ann", "s3cret")).await?;
        self.refused(login("ann", "wrong")).await?;
        self.refused(login("bob", "s3cret")).await?;
        self.refused(ConnectOptions::with_token("s3cret".to_owned())).await?;
        self.refused(ConnectOptions::new()).await
    }

    /// The right token gets in, nothing else does.
    pub async fn token(&self) -> Result<()> {
        self.round_trip(ConnectOptions::with_token("t0ken".to_owned())).await?;
        self.refused(ConnectOptions::with_token("wrong".to_owned())).await?;
        self.refused(ConnectOptions::with_user_and_password("t0ken".to_owned(), "t0ken".to_owned())).await?;
        self.refused(ConnectOptions::new()).await
    }

    async fn round_trip(&self, options: ConnectOptions) -> Result<()> {
        let client = self.connect_with(options).await?;
        let mut subscription = client.subscribe("in").await?;
        client.publish("in", "side".into()).await?;
        equal(texts(&take(&mut subscription, 1).await?), ["side"])
    }

    /// Connects with options that the server must not accept.
    async fn refused(&self, options: ConnectOptions) -> Result<()> {
        match options.connection_timeout(PATIENCE).connect(&self.url).await {
            Err(error) => equal(error.kind(), ConnectErrorKind::AuthorizationViolation),
            Ok(_) => bail!("the server let somebody in"),
        }
    }
}

fn equal<A: Debug + PartialEq<B>, B: Debug>(got: A, wanted: B) -> Result<()> {
    ensure!(got == wanted, "got {got:?}, wanted {wanted:?}");
    Ok(())
}

fn numbers(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|number| number.to_string()).collect()
}

fn random_bytes(draw: &mut fastrand::Rng, size: usize) -> Bytes {
    let mut bytes = vec![0; size];
    draw.fill(&mut bytes);
    bytes.into()
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.payload).into_owned()
}

fn texts(messages: &[Message]) -> Vec<String> {
    messages.iter().map(text).collect()
}

async fn publish_all(client: &Client, subject: &'static str, payloads: &[String]) -> Result<()> {
    for payload in payloads {
        client.publish(subject, payload.clone().into()).await?;
    }
    Ok(())
}

async fn take(subscription: &mut Subscriber, amount: usize) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    while messages.len() < amount {
        match timeout(PATIENCE, subscription.next()).await {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => bail!("the subscription ended after {} of {amount} messages", messages.len()),
            Err(_) => bail!("{} of {amount} messages came", messages.len()),
        }
    }
    Ok(messages)
}

/// Waits until the server has acted on everything that the client sent: `flush` of async-nats only empties the
/// client's own buffer, but the answer to a request comes after that.
async fn settle(client: &Client) -> Result<()> {
    no_responders(client.request("nobody.listens.here", Bytes::new())).await
}

/// A message that has come already. Unconstrained, because the runtime otherwise makes a busy task believe now and
/// then that there is nothing.
fn already_there(subscription: &mut Subscriber) -> Option<Message> {
    task::unconstrained(subscription.next()).now_or_never().flatten()
}

/// Has the test do something with the server.
async fn wish(action: &str, answer: &str) -> Result<()> {
    println!("{action}");
    let line = task::spawn_blocking(|| io::stdin().lines().next()).await?.context("an answer")??;
    equal(line, answer)
}

/// Publishes until something comes: interest is on its way to the publisher's server.
async fn arrives(publisher: &Client, subject: &'static str, subscription: &mut Subscriber) -> Result<()> {
    let publish = async {
        loop {
            publisher.publish(subject, Bytes::new()).await?;
            publisher.flush().await?;
            while let Some(message) = already_there(subscription) {
                if message.subject.as_str() == subject {
                    return anyhow::Ok(());
                }
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, publish).await.with_context(|| format!("nothing comes on {subject}"))?
}

async fn nothing_more(client: &Client, subscription: &mut Subscriber) -> Result<()> {
    settle(client).await?;
    match already_there(subscription) {
        Some(message) => bail!("one message too many: {message:?}"),
        None => Ok(()),
    }
}

async fn no_responders(request: impl Future<Output = Result<Message, RequestError>>) -> Result<()> {
    match request.await {
        Err(error) => equal(error.kind(), RequestErrorKind::NoResponders),
        Ok(message) => bail!("an answer although nobody listens: {message:?}"),
    }
}

async fn wait_for(events: &mut mpsc::UnboundedReceiver<Event>, wanted: Event) -> Result<()> {
    while let Some(event) = timeout(PATIENCE, events.recv()).await.with_context(|| format!("no {wanted}"))? {
        if event == wanted {
            return Ok(());
        }
    }
    bail!("the client is gone")
}
