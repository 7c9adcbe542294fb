//! How the servers were configured that were recorded, who dialled whom, and what happened that is not on the wire of
//! a recorded connection.

use crate::recording::{Recording, Role, recordings};

/// What happens to the server under test at some time.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A client that was not recorded says this.
    Client(&'static str),
    /// The server is asked to end.
    Stop,
    /// The server is sent into lame duck mode.
    LameDuck,
    /// The server reads its configuration again, with this added to the block `cluster`.
    Reload(&'static str),
}

/// Where scenarios take place.
pub struct Setting {
    /// What happened with one and the same server, in this order.
    scenarios: Vec<String>,
    role: Role,
    pub server_name: &'static str,
    /// The inner part of the block `cluster`, beside the name and the routes.
    pub cluster: String,
    /// What else is configured.
    pub other: &'static str,
    /// How the labels of the connections begin that the server dials.
    pub dialled: &'static [&'static str],
    /// Who of them is configured as a route.
    pub explicit: Option<Explicit>,
    /// Whether the PINGs of the server are part of the story, and are not answered.
    pub is_about_pings: bool,
    /// Whether it is left to chance on which of its routes the server says something.
    pub any_route: bool,
    /// In milliseconds since the scenario began.
    pub events: Vec<(f64, Event)>,
}

/// A configured route.
#[derive(Clone, Copy)]
pub struct Explicit {
    /// How the labels of its connections begin.
    pub label: &'static str,
    /// What stands in front of the host in its URL.
    pub user: &'static str,
}

impl Setting {
    fn of(scenarios: &[&str]) -> Setting {
        Setting {
            scenarios: scenarios.iter().map(|&name| name.to_owned()).collect(),
            role: Role::Alone,
            server_name: "GO1",
            cluster: String::new(),
            other: "",
            dialled: &[],
            explicit: None,
            is_about_pings: false,
            any_route: false,
            events: Vec::new(),
        }
    }

    fn solicits(self, label: &'static str, dialled: &'static [&'static str]) -> Setting {
        Setting { explicit: Some(Explicit { label, user: "" }), dialled, ..self }
    }

    /// Whether a scenario takes place here.
    pub fn has(&self, scenario: &str) -> bool {
        self.scenarios.iter().any(|name| name == scenario)
    }

    /// What is to be replayed here, each with a server of its own.
    pub fn recordings(&self, all: &[Recording]) -> Vec<Recording> {
        let suits = |recording: &&Recording| recording.role == self.role;
        let mut chains: Vec<Recording> = Vec::new();
        for (number, name) in self.scenarios.iter().enumerate() {
            let parts = all.iter().filter(suits).filter(|recording| recording.scenario == *name).cloned();
            if number == 0 {
                chains.extend(parts);
            } else {
                for (chain, part) in chains.iter_mut().zip(parts) {
                    chain.scenario = format!("{} + {}", chain.scenario, part.scenario);
                    chain.steps.extend(part.steps);
                }
            }
        }
        chains
    }
}

const ACCOUNTS: &str = "accounts {\n  A { users: [{ user: a, password: a }] }\n  B { users: [{ user: b, password: b }] }\n  \
                        D { users: [{ user: d, password: d }] }\n  E { users: [{ user: e, password: e }] }\n}";

const QUICK_PINGS: &str = "ping_interval: \"1s\"\nping_max: 2";

/// The settings of all scenarios that can be played.
pub fn settings() -> Vec<Setting> {
    let mut settings = vec![
        Setting {
            explicit: Some(Explicit { label: "peer#", user: "ruser:rpass@" }),
            dialled: &["peer#"],
            ..Setting::of(&["go-solicits-peer-nopool"])
        },
        Setting {
            explicit: Some(Explicit { label: "peer#", user: "ruser:rpass@" }),
            dialled: &["peer#"],
            ..Setting::of(&["go-solicits-peer-pool3"])
        },
        Setting::of(&["interest-propagation", "messages-go-to-peer", "messages-peer-to-go", "route-protocol-errors"]),
        Setting::of(&["handshake-errors"]),
        Setting { other: ACCOUNTS, any_route: true, ..Setting::of(&["pool3-interest-and-any-index"]) },
        Setting { other: ACCOUNTS, ..Setting::of(&["pool-size-mismatch peer1 vs go3"]) },
        Setting::of(&["gossip-accepted-peers"]),
        Setting::of(&["gossip-to-explicit-solicited-peer"]).solicits("PX#", &["PX#", "P9#", "Pgm1#", "Pgm2#"]),
        Setting {
            cluster: "authorization { user: ru, password: rp, timeout: 2 }".to_owned(),
            ..Setting::of(&["route-auth"])
        },
        Setting { other: QUICK_PINGS, is_about_pings: true, ..Setting::of(&["ping-stale"]) },
        Setting { other: QUICK_PINGS, is_about_pings: true, ..Setting::of(&["never-handshakes"]) },
        Setting { events: vec![(300.0, Event::Stop)], ..Setting::of(&["shutdown-bytes"]) },
        Setting {
            other: "lame_duck_grace_period: \"1s\"\nlame_duck_duration: \"30s\"",
            events: vec![(340.0, Event::LameDuck)],
            ..Setting::of(&["lame-duck"])
        },
        Setting::of(&["peer-in-lame-duck", "slow-route"]),
        Setting { cluster: "accounts: [A]".to_owned(), other: ACCOUNTS, ..Setting::of(&["pinned-account-A"]) },
        Setting {
            other: ACCOUNTS,
            events: vec![(30.0, Event::Reload("accounts: [A]"))],
            ..Setting::of(&["reload-add-pinned-account"])
        },
        Setting {
            cluster: "permissions { import { allow: [\"imp.>\", \"both\"] }, export { allow: [\"exp.>\", \"both\"] } }"
                .to_owned(),
            ..Setting::of(&["cluster-permissions"])
        },
        Setting::of(&["reply-with-deliver-subject"]),
        Setting::of(&["message-trace proto=2"]),
        Setting::of(&["message-trace proto=3"]),
        Setting { server_name: "G", ..Setting::of(&["unknown-fields-from-acceptor"]).solicits("PX#", &["PX#"]) },
        Setting::of(&["acceptor-sends-pool-idx"]).solicits("PX#", &["PX#"]),
        Setting {
            role: Role::Accepts,
            server_name: "A",
            events: vec![
                (-1.0, Event::Client("SUB early 1\r\nSUB eq g 2\r\nSUB eq g 3\r\n")),
                (2100.0, Event::Client("PUB late 1\r\n5\r\nPUB lq rply 1\r\n6\r\n")),
                (2400.0, Event::Client("UNSUB 1\r\nUNSUB 2\r\nUNSUB 3\r\n")),
            ],
            ..Setting::of(&["go-to-go"])
        },
        Setting {
            role: Role::Solicits,
            server_name: "B",
            events: vec![
                (1500.0, Event::Client("SUB late 1\r\nSUB lq g 2\r\n")),
                (
                    1800.0,
                    Event::Client(
                        "PUB early 1\r\n1\r\nPUB early rply 1\r\n2\r\nPUB eq 1\r\n3\r\n\
                         HPUB eq rply 22 23\r\nNATS/1.0\r\nK: vvvvv\r\n\r\n4\r\n",
                    ),
                ),
                (2715.0, Event::Stop),
            ],
            ..Setting::of(&["go-to-go"]).solicits("conn", &["conn"])
        },
    ];
    settings.extend(recordings().iter().filter_map(|recording| compression(&recording.scenario)));
    settings
}

/// `compression go-acceptor(accept) peer(s2_fast)` and the like tell how the server is configured.
fn compression(scenario: &str) -> Option<Setting> {
    let (role, rest) = scenario.strip_prefix("compression go-")?.split_once('(')?;
    let (mode, _) = rest.split_once(')')?;
    let setting = Setting::of(&[scenario]);
    let setting = if role == "solicitor" { setting.solicits("peer", &["peer"]) } else { setting };
    Some(Setting { cluster: format!("pool_size: 1, compression: {mode}"), ..setting })
}
