//! `/`: a page with links, for people.

use super::http::Answer;
use super::query::Parameters;
use super::{Monitor, Outcome};

const LINKS: [(&str, &str); 10] = [
    ("varz", "General"),
    ("connz", "Connections"),
    ("routez", "Routes"),
    ("subsz", "Subscriptions"),
    ("accountz", "Accounts"),
    ("accstatz", "Account statistics"),
    ("gatewayz", "Gateways"),
    ("leafz", "Leaf nodes"),
    ("jsz", "JetStream"),
    ("healthz", "Health"),
];

const STYLE: &str = "body { font-family: sans-serif; margin: 3em; } li { margin: .5em 0; } \
                     code { color: #777; margin-left: .5em; }";

impl Monitor {
    pub(super) fn root(&self, _: &Parameters) -> Outcome {
        let (base, name) = (escape(&self.base_path()), escape(&self.identity.server_name));
        let link = |(path, title): (&str, &str)| {
            format!("<li><a href=\"{base}/{path}\">{title}</a><code>{base}/{path}</code></li>\n")
        };
        let links: String = LINKS.into_iter().map(link).collect();
        let version = env!("CARGO_PKG_VERSION");
        let page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{name}</title>\n\
             <style>{STYLE}</style>\n</head>\n<body>\n<h1>{name}</h1>\n<ul>\n{links}</ul>\n\
             <p>pinmesh {version}, speaks NATS {}</p>\n</body>\n</html>\n",
            escape(&self.identity.version)
        );
        Ok(Answer::new("200 OK", "text/html; charset=utf-8", page.into_bytes()))
    }
}

/// Text that is no markup.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
