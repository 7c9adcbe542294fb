//! What the servers say of themselves and of a client, as text: the same fields in the same order, written the same way.

use pinmesh_harness::{Client, Server, Side};
use regex::Regex;

/// A name that JSON for web pages has to escape.
const CONFIG: &str = "server_name: \"a<b>&\u{2028}c\"";

fn start(side: Side) -> Server {
    side.server().config(CONFIG).start()
}

/// The text without what differs from server to server and from connection to connection.
fn normal(text: &str) -> String {
    let patterns = [
        (r#""(server_id|id)":"N[A-Z2-7]{55}""#, r#""$1":"ID""#),
        (r#""(git_commit|go|time)":"[^"]+""#, r#""$1":"TEXT""#),
        (r#""(port|client_id|seq)":\d+"#, r#""$1":0"#),
        // These belong to JetStream and to auth callouts, which this server does not have.
        (r#""feature_flags":\{[^}]*\},"#, ""),
        (r#","api_lvl":\d+"#, ""),
        (r#","xkey":"[^"]+""#, ""),
    ];
    patterns.iter().fold(text.to_owned(), |text, (pattern, shown)| {
        Regex::new(pattern).expect("a pattern").replace_all(&text, *shown).into_owned()
    })
}

#[test]
fn the_greeting_and_the_info_after_it() {
    let [ours, theirs] = Side::BOTH.map(|side| {
        let server = start(side);
        let mut client = Client::dial(server.address()).expect("a connection");
        client.send(b"CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\nPING\r\n").expect("the server takes it");
        client.half_close().expect("a half-close");
        normal(&String::from_utf8(client.read_to_close().expect("the answer")).expect("text"))
    });
    assert_eq!(ours, theirs);
    assert_eq!(ours.matches(r#""server_name":"a\u003cb\u003e\u0026\u2028c""#).count(), 2, "{ours}");
}

#[test]
fn who_a_client_is() {
    for options in ["", r#","user":"bob<","pass":"p""#, r#","auth_token":"t","echo":false"#] {
        let [ours, theirs] = Side::BOTH.map(|side| {
            let server = start(side);
            let mut client = Client::open(server.address()).expect("a connection");
            let connect = format!("CONNECT {{\"verbose\":false,\"headers\":true,\"no_responders\":true{options}}}\r\n");
            let request = "SUB in.* 1\r\nPUB $SYS.REQ.USER.INFO in.box 0\r\n\r\n";
            client.send(format!("{connect}{request}").as_bytes()).expect("the server takes it");
            let answer = client.message().expect("an answer");
            assert_eq!(answer.subject, "in.box", "{side}");
            normal(&String::from_utf8(answer.payload).expect("text"))
        });
        assert_eq!(ours, theirs, "{options}");
    }
}

/// The request is a message besides, and the answer finds its way to other connections, on whatever shard they are.
#[test]
fn the_answer_goes_to_all_who_listen() {
    for side in Side::BOTH {
        let server = side.server().shards(4).start();
        let mut listeners: Vec<Client> = (0..8)
            .map(|_| {
                let mut client = Client::connect(server.address()).expect("a connection");
                client.subscribe("in.box", "", 1).expect("a subscription");
                client.subscribe("$SYS.REQ.>", "", 2).expect("a subscription");
                client.flush().expect("a PONG");
                client
            })
            .collect();
        let mut requester = Client::connect(server.address()).expect("a connection");
        for _ in 0..3 {
            requester.publish("$SYS.REQ.USER.INFO", "in.box", b"x");
        }
        requester.flush().expect("a PONG");
        for client in &mut listeners {
            let mut subjects: Vec<String> = (0..6).map(|_| client.message().expect("a message").subject).collect();
            subjects.sort();
            assert_eq!(subjects[..3], ["$SYS.REQ.USER.INFO"; 3], "{side}");
            assert_eq!(subjects[3..], ["in.box"; 3], "{side}");
        }
    }
}
