//! URLs as they may be shown: without what only their servers may know.

/// What stands for something that is not shown.
pub(crate) const MASK: &str = "********";

/// The URL without who signs in and with what, and without the values of its query that may be secrets.
pub(crate) fn masked(url: &str) -> String {
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let mut shown = match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{MASK}@{rest}"),
        (None, Some((_, rest))) => format!("{MASK}@{rest}"),
        (Some(_) | None, None) => address.to_owned(),
    };
    if let Some(query) = query {
        let pairs: Vec<String> = query.split('&').map(pair).collect();
        shown = format!("{shown}?{}", pairs.join("&"));
    }
    shown
}

/// Flags, numbers and words are shown; all else may be a secret, or the path of one.
fn pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((name, value))
            if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') || is_secret(name) =>
        {
            format!("{name}={MASK}")
        }
        Some(_) | None => pair.to_owned(),
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    ["pass", "token", "secret", "key", "user"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_only_its_server_may_know() {
        for (url, shown) in [
            (
                "postgres://advisor:geheim@db:5432/advisor?sslmode=require",
                "postgres://********@db:5432/advisor?sslmode=require",
            ),
            (
                "postgres://db/advisor?user=advisor&password=geheim",
                "postgres://db/advisor?user=********&password=********",
            ),
            ("postgres://advisor:ge@he/im@db/advisor", "postgres://********@db/advisor"),
            ("nats://geheim@one:4222,nats://geheim@two:4222", "nats://********@two:4222"),
            (
                "esdb://admin:geheim@one,two?tls=false&userKeyFile=/geheim",
                "esdb://********@one,two?tls=false&userKeyFile=********",
            ),
            ("admin:geheim@one", "********@one"),
            ("sqlite:data/log.db", "sqlite:data/log.db"),
            ("local:", "local:"),
        ] {
            assert_eq!(masked(url), shown);
        }
    }
}
