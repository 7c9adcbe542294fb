//! Who may connect: the decision about one CONNECT.

use ring::digest::{SHA256, digest};

use crate::config::{Auth, Secret};
use crate::protocol::connect::ConnectOptions;

/// What is to be done with a CONNECT.
#[derive(Debug)]
pub enum Decision {
    /// Admit; the text names the credential in logs, if one was sent.
    Admit(Option<Box<str>>),
    /// `Authorization Violation`.
    Refuse,
    /// Compare with a hash first. That takes tens of milliseconds, so it is not done on a shard.
    Verify(Verification),
}

/// A password and the bcrypt hash that it must fit.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Configured hash.
    pub hash: Secret,
    /// What the client sent.
    pub password: Secret,
    /// Credential as logs name it.
    pub credential: Box<str>,
}

impl Verification {
    /// The slow part. A hash that bcrypt does not understand fits nothing.
    pub fn run(&self) -> bool {
        bcrypt::verify(self.password.0.as_bytes(), &self.hash.0).unwrap_or(false)
    }
}

/// Decides about the credentials in `options`.
pub fn decide(auth: &Auth, options: &ConnectOptions) -> Decision {
    match auth {
        Auth::Open => Decision::Admit(label(options)),
        Auth::Token(token) => compare(token, options.auth_token(), "token".into()),
        Auth::UserPassword { user, password } => {
            let given = options.user().unwrap_or_default();
            if !equal(user.as_bytes(), given.as_bytes()) {
                return Decision::Refuse;
            }
            compare(password, options.pass(), format!("user:{user}").into())
        }
    }
}

/// The credential that a client sent to a server that asks for none.
fn label(options: &ConnectOptions) -> Option<Box<str>> {
    match (options.user(), options.auth_token()) {
        (Some(user), _) if !user.is_empty() => Some(format!("user:{user}").into()),
        (_, Some(token)) if !token.is_empty() => Some("token".into()),
        _ => None,
    }
}

fn compare(configured: &Secret, given: Option<&str>, credential: Box<str>) -> Decision {
    let given = given.unwrap_or_default();
    if is_bcrypt(&configured.0) {
        let (hash, password) = (configured.clone(), Secret(given.into()));
        return Decision::Verify(Verification { hash, password, credential });
    }
    if equal(configured.0.as_bytes(), given.as_bytes()) { Decision::Admit(Some(credential)) } else { Decision::Refuse }
}

/// Compares digests, so that the time says nothing about how much of a secret was right.
fn equal(a: &[u8], b: &[u8]) -> bool {
    digest(&SHA256, a).as_ref() == digest(&SHA256, b).as_ref()
}

/// `$2a$11$…`: two digits of cost between the marks.
pub fn is_bcrypt(value: &str) -> bool {
    let bytes = value.as_bytes();
    matches!(bytes, [b'$', b'2', b'a' | b'b' | b'x' | b'y', b'$', tens, ones, b'$', ..]
        if tens.is_ascii_digit() && ones.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(json: &str) -> ConnectOptions {
        let mut options = ConnectOptions::default();
        options.merge(json.as_bytes()).unwrap();
        options
    }

    fn user_password(password: &str) -> Auth {
        Auth::UserPassword { user: "u".into(), password: Secret(password.into()) }
    }

    #[test]
    fn plain_secrets() {
        let auth = user_password("p");
        assert!(matches!(decide(&auth, &options(r#"{"user":"u","pass":"p"}"#)), Decision::Admit(Some(_))));
        for wrong in ["{}", r#"{"user":"u"}"#, r#"{"user":"x","pass":"p"}"#, r#"{"user":"u","pass":"pp"}"#] {
            assert!(matches!(decide(&auth, &options(wrong)), Decision::Refuse), "{wrong}");
        }
        let auth = Auth::Token(Secret("t".into()));
        assert!(matches!(decide(&auth, &options(r#"{"auth_token":"t"}"#)), Decision::Admit(Some(_))));
        assert!(matches!(decide(&auth, &options(r#"{"user":"t","pass":"t"}"#)), Decision::Refuse));
    }

    #[test]
    fn hashes_are_for_others_to_compare() {
        let hash = bcrypt::hash("p", 4).unwrap();
        let Decision::Verify(verification) = decide(&user_password(&hash), &options(r#"{"user":"u","pass":"p"}"#))
        else {
            panic!("a hash takes time")
        };
        assert!(verification.run());
        let Decision::Verify(wrong) =
            decide(&user_password(&hash), &options(&format!(r#"{{"user":"u","pass":"{hash}"}}"#)))
        else {
            panic!("a hash takes time")
        };
        assert!(!wrong.run(), "the hash itself is no password");
    }

    #[test]
    fn what_looks_like_a_hash() {
        assert!(is_bcrypt("$2a$11$ooo8YyXbJwpSXNPNHXW1d.") && is_bcrypt("$2y$04$"));
        assert!(!is_bcrypt("$2c$11$x") && !is_bcrypt("$2a$1$x") && !is_bcrypt("secret") && !is_bcrypt("$2a$xx$"));
    }
}
