//! async-nats against a running server, as the client tests' driver wants it: `URL SCENARIO...` on the command line,
//! `ok SCENARIO` on standard output for each that holds, a failure for the first that does not.

mod scenarios;

use std::env;

use anyhow::{Context, bail};

use crate::scenarios::Server;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut args = env::args().skip(1);
    let server = Server { url: args.next().context("the first argument is the URL of the server")? };
    for name in args {
        match name.as_str() {
            "connection" => server.connection().await,
            "publish_subscribe" => server.publish_subscribe().await,
            "payloads" => server.payloads().await,
            "wildcards" => server.wildcards().await,
            "queue_groups" => server.queue_groups().await,
            "request_reply" => server.request_reply().await,
            "request_reply_with_new_inboxes" => server.request_reply_with_new_inboxes().await,
            "headers" => server.headers().await,
            "no_responders" => server.no_responders().await,
            "drain" => server.drain().await,
            "auto_unsubscribe" => server.auto_unsubscribe().await,
            "echo_off" => server.echo_off().await,
            "many_connections" => server.many_connections().await,
            "reconnect" => server.reconnect().await,
            "move_on" => server.move_on().await,
            "large_payloads" => server.large_payloads().await,
            "max_payload" => server.max_payload().await,
            "user_and_password" => server.user_and_password().await,
            "token" => server.token().await,
            _ => bail!("there is no scenario {name}"),
        }
        .with_context(|| format!("scenario {name}"))?;
        println!("ok {name}");
    }
    Ok(())
}
