//! Typed results of the language, and its behaviour on bytes that are no configuration.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Document, Environment, FileError, IncludeReader, ParseError, Value, digest, parse_bytes};

/// Files and variables of a test.
#[derive(Default)]
struct World {
    files: BTreeMap<&'static str, &'static str>,
    variables: BTreeMap<&'static str, &'static str>,
}

impl Environment for World {
    fn get(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|value| (*value).to_owned())
    }
}

impl IncludeReader for World {
    fn read(&self, file: &str) -> Result<Vec<u8>, FileError> {
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let text = self.files.get(file);
        text.map(|text| text.as_bytes().to_vec()).ok_or_else(|| FileError {
            operation: "open",
            file: file.to_owned(),
            source: missing(),
        })
    }
}

fn parse_in(world: &World, text: &str) -> Result<Document, ParseError> {
    parse_bytes("f", text.as_bytes(), world, world)
}

fn parse(text: &str) -> Result<Document, ParseError> {
    parse_in(&World::default(), text)
}

/// The value of `foo`.
fn foo(text: &str) -> Value {
    parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}")).remove("foo").expect("foo is there").value
}

#[test]
fn scalars_have_their_types() {
    let integers = [
        ("foo=2", 2),
        ("foo:2", 2),
        ("foo 2", 2),
        ("foo\n2", 2),
        ("foo=2 # c", 2),
        ("foo=1k", 1000),
        ("foo=1kb", 1024),
        ("foo=1KiB", 1024),
        ("foo=1MB", 1_048_576),
        ("foo=1g", 1_000_000_000),
        ("foo=2m", 2_000_000),
        ("foo=-1k", -1000),
        ("foo=-1mb", -1_048_576),
        ("foo=010", 10),
        ("foo=10e", -8_446_744_073_709_551_616),
    ];
    for (text, wanted) in integers {
        assert_eq!(foo(text), Value::Integer(wanted), "{text}");
    }
    let texts = [
        ("foo=", ""),
        ("foo=2#c", "2#c"),
        ("foo=1kk", "1kk"),
        ("foo=1b", "1b"),
        ("foo=0x10", "0x10"),
        ("foo=2s", "2s"),
        ("foo=1]", "1]"),
        ("foo=a=b", "a=b"),
        ("foo=http://a.b/c", "http://a.b/c"),
        ("foo=127.0.0.1:4222", "127.0.0.1:4222"),
        ("foo='a\\tb'", "a\\tb"),
        ("foo=\"a\\tb\\x41\"", "a\tbA"),
        ("foo=a\\tb", "a\tb"),
        ("foo=(\n a\n)\n", "\n a\n"),
        ("foo=\"true\"", "true"),
        ("foo=t", "t"),
        ("foo=\"$x\"", "$x"),
        ("foo=$2a$11$ooo8Y/", "$2a$11$ooo8Y/"),
    ];
    for (text, wanted) in texts {
        assert_eq!(foo(text), Value::String(wanted.to_owned()), "{text}");
    }
    for (text, wanted) in [("foo=TRUE", true), ("foo=yes", true), ("foo=No", false), ("foo=off", false)] {
        assert_eq!(foo(text), Value::Boolean(wanted), "{text}");
    }
    assert_eq!(foo("foo=-1.5"), Value::Float(-1.5));
    assert_eq!(foo("foo=2016-05-04T18:53:41Z"), Value::DateTime("2016-05-04T18:53:41Z".to_owned()));
}

#[test]
fn an_included_file_is_found_beside_its_includer() {
    let files = BTreeMap::from([("dir/a.conf", "foo=1\ninclude b.conf"), ("dir/b.conf", "foo=2")]);
    let world = World { files, ..World::default() };
    let document = parse_in(&world, "include dir/a.conf").expect("both files are good");
    let foo = document.get("foo").expect("foo is there");
    assert_eq!((&foo.value, &*foo.position.file), (&Value::Integer(2), "dir/b.conf"));
}

#[test]
fn files_that_include_each_other_are_an_error() {
    let files = BTreeMap::from([("a", "include b"), ("b", "include a"), ("f", "include f")]);
    let world = World { files, ..World::default() };
    for text in ["include a", "include f"] {
        let error = parse_in(&world, text).expect_err("a circle has no end");
        assert!(error.to_string().contains("include cycle"), "{error}");
    }
}

#[test]
fn variables_come_from_open_maps_first() {
    let world = World { variables: BTreeMap::from([("x", "9"), ("y", "$x")]), ..World::default() };
    let document = parse_in(&world, "x=1\nm { x=2, foo=$x }\nfoo=$y\nbar=$x").expect("all are defined");
    let value = |name: &str| document.get(name).map(|node| node.value.clone());
    assert_eq!(value("foo"), Some(Value::Integer(9)), "the environment does not see the file");
    assert_eq!(value("bar"), Some(Value::Integer(1)));
    let Some(Value::Map(inner)) = value("m") else { panic!("m is a map") };
    assert_eq!(inner.get("foo").map(|node| node.value.clone()), Some(Value::Integer(2)));
    assert!(inner.get("x").is_some_and(|node| node.used_as_variable));
}

#[test]
fn variables_cannot_multiply_without_end() {
    let mut text = "a0: [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = level - 1;
        text.push_str(&format!("a{level}: [{}]\n", format!("$a{before}, ").repeat(10)));
    }
    assert!(matches!(parse(&text), Err(ParseError::TooLarge { .. })));
}

#[test]
fn nesting_has_a_limit() {
    for opening in ["[ ", "{ a: "] {
        let text = format!("foo: {}", opening.repeat(100_000));
        assert!(matches!(parse(&text), Err(ParseError::TooLarge { .. })), "{opening}");
    }
}

#[test]
fn the_digest_is_that_of_the_meaning() {
    let known = "sha256:2dc09086ee7b3c95823e917335e5ebda831c27d22ec29266030c7e5413637c36";
    for text in ["port: 14301", "{\"port\": 14301}", "# port\nport=1\nport 14301"] {
        assert_eq!(digest(&parse(text).expect(text)), known, "{text}");
    }
    assert_ne!(digest(&parse("port: 14302").expect("good")), known);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let world = World::default();
        if let Ok(document) = parse_bytes("f", &bytes, &world, &world) {
            digest(&document);
        }
    }

    #[test]
    fn no_mixture_of_tokens_makes_the_schema_panic(
        text in "(port|cluster|tls|accounts|users|[=:{}\\[\\],;#'\"$(). \n0-9a-km-]|include |true|\\\\x4){0,40}"
    ) {
        if let Ok(document) = parse(&text) {
            super::schema::read(&document);
        }
    }
}
