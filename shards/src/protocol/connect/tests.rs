//! Merging, tolerance, refusals, and what a trace shows.

use super::*;

fn merged(json: &[u8]) -> Result<ConnectOptions, ConnectError> {
    let mut options = ConnectOptions::default();
    options.merge(json).map(|()| options)
}

#[test]
fn every_option_is_taken_over() {
    let json = br#" {"verbose":false,"pedantic":false,"echo":false,"headers":true,"no_responders":true,
        "tls_required":true,"new_account":true,"protocol":1,"lang":"rust","version":"1.2.3","name":"app","account":"A",
        "user":"u","pass":"p","auth_token":"t","nkey":"n","sig":"s","jwt":"j"} "#;
    let text = |text: &str| Some(Box::from(text));
    let expected = ConnectOptions {
        verbose: false,
        pedantic: false,
        echo: false,
        headers: true,
        no_responders: true,
        tls_required: true,
        new_account: true,
        protocol: 1,
        lang: text("rust"),
        version: text("1.2.3"),
        name: text("app"),
        account: text("A"),
        credentials: Some(Box::new(Credentials {
            user: text("u"),
            pass: text("p"),
            auth_token: text("t"),
            nkey: text("n"),
            sig: text("s"),
            jwt: text("j"),
        })),
    };
    let options = merged(json).expect("valid");
    assert_eq!(options, expected);
    assert_eq!((options.user(), options.pass(), options.auth_token()), (Some("u"), Some("p"), Some("t")));
}

/// The reference names one of those who say several.
#[test]
fn who_is_named_when_refused() {
    let named = |json: &str| merged(json.as_bytes()).expect("valid").credentials.map(|who| who.to_string());
    assert_eq!(named(r#"{"user":"a\n","auth_token":"t"}"#).as_deref(), Some(r#" - User "a\n""#));
    assert_eq!(named(r#"{"user":"u","nkey":"UX","auth_token":"t"}"#).as_deref(), Some(r#" - Nkey "UX""#));
    assert_eq!(named(r#"{"auth_token":"t","jwt":"j"}"#).as_deref(), Some(r#" - Token "[REDACTED]""#));
    assert_eq!(named(r#"{"pass":"p","jwt":"j"}"#).as_deref(), Some(""));
}

#[test]
fn what_is_not_named_stays() {
    let mut options = merged(br#"{"verbose":false,"user":"u","pass":"p","name":"one","protocol":1}"#).expect("valid");
    for unchanged in ["{}", "null", r#"{"verbose":null,"user":null,"name":null,"protocol":null}"#] {
        let before = options.clone();
        options.merge(unchanged.as_bytes()).expect("valid");
        assert_eq!(options, before, "{unchanged}");
    }
    options.merge(br#"{"pass":"","name":"two"}"#).expect("valid");
    assert_eq!((options.user(), options.pass(), options.name.as_deref()), (Some("u"), None, Some("two")));
    assert!(!options.verbose && options.pedantic);
}

#[test]
fn tolerance() {
    for (json, name) in [
        (&br#"{"NAME":"a"}"#[..], "a"),
        (br#"{"na\u006de":"a"}"#, "a"),
        (br#"{"name":"x","Name":"a"}"#, "a"),
        (br#"{"name":"\u0061\tb"}"#, "a\tb"),
        (b"{\"name\":\"a\xffb\"}", "a\u{fffd}b"),
        (br#"{"name":"a","x":{"y":[1,2,{"z":null}]},"foo":1e999,"s":"\ud800"}"#, "a"),
        (b"{\"name\":\"a\x7f\"}", "a\x7f"),
        (b"{\"k\xff\":1,\"name\":\"a\"}\t", "a"),
    ] {
        let options = merged(json).unwrap_or_else(|error| panic!("{}: {error}", json.escape_ascii()));
        assert_eq!(options.name.as_deref(), Some(name), "{}", json.escape_ascii());
    }
    let lone_surrogate = merged(br#"{"name":"\ud800x"}"#).expect("valid");
    assert!(lone_surrogate.name.is_some_and(|name| name.starts_with('\u{fffd}') && name.ends_with('x')));
}

#[test]
fn refusals() {
    for json in [
        &b""[..],
        b"[]",
        b"1",
        b"\"x\"",
        b"true",
        b"{",
        b"{} x",
        b"{}}",
        b"{\"verbose\":tru",
        b"{\"verbose\":\"yes\"}",
        b"{\"verbose\":1}",
        b"{\"name\":1}",
        b"{\"name\":[97]}",
        b"{\"name\":{}}",
        b"{\"pass\":false}",
        b"{\"protocol\":1.0}",
        b"{\"protocol\":\"1\"}",
        b"{\"protocol\":1e0}",
        b"{\"protocol\":99999999999999999999}",
        b"{\"name\":\"a\tb\"}",
        b"{\"name\":\"a\\u00\"}",
        b"{'name':'a'}",
        b"{\"name\":\"a\",}",
        b"{name:\"a\"}",
    ] {
        assert!(merged(json).is_err(), "{}", json.escape_ascii());
    }
}

#[test]
fn complaints_name_the_field() {
    for (json, text) in [
        (r#"{"user":7}"#, "json: cannot unmarshal number into Go struct field ClientOpts.user of type string"),
        (r#"{"VERBOSE":"x"}"#, "json: cannot unmarshal string into Go struct field ClientOpts.verbose of type bool"),
        (
            r#"{"protocol":1.5}"#,
            "json: cannot unmarshal number 1.5 into Go struct field ClientOpts.protocol of type int",
        ),
        ("[]", "json: cannot unmarshal array into Go value of type server.ClientOpts"),
        ("{", "unexpected end of JSON input"),
        ("", "unexpected end of JSON input"),
        ("{x", "invalid JSON: key must be a string at line 1 column 2"),
    ] {
        assert_eq!(merged(json.as_bytes()).expect_err(json).to_string(), text);
    }
    let complaint = validate_info(br#"{"connect_urls":["a",1]}"#).expect_err("a number is no address").to_string();
    assert_eq!(complaint, "json: cannot unmarshal number into Info.connect_urls.1 of type string");
}

#[test]
fn minus_nought_is_whole() {
    assert_eq!(merged(br#"{"protocol":-0}"#).expect("valid").protocol, 0);
}

#[test]
fn info_from_a_client() {
    for json in [&b"{}"[..], b"null", b"{\"a\":1}", b"{\"port\":-0,\"nonce\":null,\"connect_urls\":[\"x\"]}"] {
        assert!(validate_info(json).is_ok(), "{}", json.escape_ascii());
    }
    for json in [&b""[..], b"x", b"[]", b"{", b"{\"server_id\":1}", b"{\"client_id\":-1}", b"{\"port\":1.5}"] {
        assert!(validate_info(json).is_err(), "{}", json.escape_ascii());
    }
}

#[test]
fn secrets_are_not_shown() {
    for (line, shown) in [
        (r#"{"verbose":false,"user":"u"}"#, r#"{"verbose":false,"user":"u"}"#),
        (r#"{"user":"u","pass":"a\"b,}c","x":1}"#, r#"{"user":"u","pass":"[REDACTED]","x":1}"#),
        (r#"{"PASSWORD" : "p","auth_token":"t"}"#, r#"{"PASSWORD" : "[REDACTED]","auth_token":"[REDACTED]"}"#),
        (
            r#"{"sig":"s","nkey":"n","proxy_sig":"p","sigx":"q","jwt":"j"}"#,
            r#"{"sig":"[REDACTED]","nkey":"[REDACTED]","proxy_sig":"[REDACTED]","sigx":"q","jwt":"j"}"#,
        ),
        (r#"{"pass":123,"a":1}"#, r#"{"pass":[REDACTED],"a":1}"#),
        (r#"{"user":"a,"pass":"secret"}"#, r#"{"user":"a,"pass":"[REDACTED]"}"#),
        (r#"{"pass":"unterminated"#, r#"{"pass":"[REDACTED]"#),
        (r#"pass=foo bar"#, r#"pass=[REDACTED]"#),
        (r#"{"x":"pass","y":"z"}"#, r#"{"x":"pass","y":"z"}"#),
        ("", ""),
    ] {
        assert_eq!(String::from_utf8_lossy(&redact(line.as_bytes())), shown);
    }
    let options = merged(br#"{"user":"u","pass":"secret","auth_token":"secret"}"#).expect("valid");
    assert!(!format!("{options:?}").contains("secret"));
}

#[test]
fn it_is_small() {
    assert!(size_of::<ConnectOptions>() <= 96, "{}", size_of::<ConnectOptions>());
}
