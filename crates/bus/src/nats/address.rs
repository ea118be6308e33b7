//! Where NATS servers are, and who we are to them: what a configuration says, checked before anything connects.

use async_nats::ServerAddr;
use std::{net::IpAddr, path::Path};

/// Servers of one cluster, and the login for all of them.
#[derive(Clone)]
pub(super) struct Addresses {
    /// Without logins, which would stand in a trace of the client.
    pub(super) servers: Vec<ServerAddr>,
    pub(super) login: Login,
    pub(super) transport: Transport,
}

/// Who we are.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    /// Nobody in particular, or whom a credentials file names.
    Nobody,
    Token(String),
    Password {
        user: String,
        password: String,
    },
}

/// How the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Plain,
    Tls,
}

/// Why a bus's URL can't be used. Never names the login.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct AddressError(String);

/// Whether a bus can be opened at these URLs: `nats://user:password@host:port`, or `tls://…`, several with commas
/// between them; 4222 where no port is given. Beyond loopback a login or a credentials file is needed.
pub fn check(urls: &str, credentials_file: Option<&Path>) -> Result<(), AddressError> {
    parse(urls, credentials_file).map(drop)
}

pub(super) fn parse(urls: &str, credentials_file: Option<&Path>) -> Result<Addresses, AddressError> {
    let mut all: Option<Addresses> = None;
    for url in urls.split(',') {
        let (server, login, transport) = one(url.trim())?;
        match &mut all {
            None => all = Some(Addresses { servers: vec![server], login, transport }),
            Some(all) if all.login != login => return wrong("all servers of one bus must have the same login"),
            Some(all) if all.transport != transport => return wrong("`nats://` and `tls://` do not go together"),
            Some(all) => all.servers.push(server),
        }
    }
    let Some(all) = all else { return wrong("the URL of a NATS server is missing") };
    match (&all.login, credentials_file) {
        (Login::Token(_) | Login::Password { .. }, Some(_)) => {
            wrong("the bus has both a login in its URL and a credentials file: keep one of them")
        }
        (Login::Nobody, None) => match all.servers.iter().find(|server| !is_loopback(server.host())) {
            Some(server) => wrong(&format!(
                "the bus at {} lies beyond loopback, where it needs a login: `nats://user:password@host:port`, or a \
                 credentials file",
                server.host()
            )),
            None => Ok(all),
        },
        (Login::Nobody, Some(_)) | (Login::Token(_) | Login::Password { .. }, None) => Ok(all),
    }
}

fn one(url: &str) -> Result<(ServerAddr, Login, Transport), AddressError> {
    let transport = match url.split_once("://") {
        Some(("nats", _)) => Transport::Plain,
        Some(("tls", _)) => Transport::Tls,
        _ => return wrong("the URL of a NATS server begins with `nats://` or `tls://`"),
    };
    // The parser's own error could name a part of the login.
    let Ok(server) = url.parse::<ServerAddr>() else { return wrong("the URL of a NATS server can't be read") };
    let mut url = server.into_inner();
    if url.host_str().is_none_or(str::is_empty) {
        return wrong("the URL of a NATS server names no host");
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return wrong("the URL of a NATS server has nothing after its port");
    }
    let login = match (decoded(url.username()), url.password().map(decoded)) {
        (Some(user), None) if user.is_empty() => Login::Nobody,
        (Some(token), None) => Login::Token(token),
        (Some(user), Some(Some(password))) if !user.is_empty() => Login::Password { user, password },
        _ => {
            return wrong(
                "the login in the URL of a NATS server can't be read: `user:password@`, with `%` and two digits for what is no letter or digit",
            );
        }
    };
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return wrong("the URL of a NATS server can't be read");
    }
    match ServerAddr::from_url(url) {
        Ok(server) => Ok((server, login, transport)),
        Err(_) => wrong("the URL of a NATS server can't be read"),
    }
}

/// Text with `%41` for `A`.
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn wrong<T>(text: &str) -> Result<T, AddressError> {
    Err(AddressError(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_loopback_a_login_is_needed() {
        let file = Some(Path::new("bus.creds"));
        for here in ["nats://127.0.0.1:4222", "nats://localhost", "tls://[::1]:4223", "nats://127.0.0.2,nats://[::1]"] {
            assert_eq!(check(here, None), Ok(()), "{here}");
        }
        for there in ["nats://10.0.0.1", "tls://nats.example.com:4222", "nats://127.0.0.1,nats://b", "nats://[::]"] {
            let refused = check(there, None).unwrap_err().to_string();
            assert!(refused.contains("beyond loopback") && refused.contains("needs a login"), "{there}: {refused}");
            assert_eq!(check(there, file), Ok(()), "{there}");
        }
        for login in ["nats://u:p@10.0.0.1", "tls://token@b:1", "nats://u:p@a,nats://u:p@b"] {
            assert_eq!(check(login, None), Ok(()), "{login}");
            assert!(check(login, file).unwrap_err().to_string().contains("both"));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_and_no_password_told() {
        for (url, word) in [
            ("", "begins with"),
            ("http://u:secret@a", "begins with"),
            ("u:secret@a:4222", "begins with"),
            ("nats://", "host"),
            ("nats://u:secret@", "can't be read"),
            ("nats://u:secret@a:99999", "can't be read"),
            ("nats://u:secret@a/b", "after its port"),
            ("nats://u:secret@a?b", "after its port"),
            ("nats://:secret@a", "login"),
            ("nats://u:secret%@a", "login"),
            ("nats://u:secret%ff@a", "login"),
            ("nats://u:secret@a,nats://u:secret2@b", "same login"),
            ("nats://u:secret@a,tls://u:secret@b", "do not go together"),
        ] {
            let refused = check(url, None).unwrap_err().to_string();
            assert!(refused.contains(word) && !refused.contains("secret"), "{url}: {refused}");
        }
    }

    #[test]
    fn a_login_is_taken_out_of_the_url() {
        let all =
            parse("nats://us%C3%A9r:p%40%3A%2F@a.example:4333,nats://us%C3%A9r:p%40%3A%2F@b.example", None).unwrap();
        assert!(all.login == Login::Password { user: "usér".to_owned(), password: "p@:/".to_owned() });
        let servers: Vec<&str> = all.servers.iter().map(ServerAddr::as_url_str).collect();
        assert_eq!(servers, ["nats://a.example:4333", "nats://b.example"]);
        assert!(parse("tls://t0ken@a", None).unwrap().login == Login::Token("t0ken".to_owned()));
    }
}
