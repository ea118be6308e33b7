//! How commands of operators reach a running server: through the socket in its data directory, or its admin address.

use crate::{config::environment, config::settings::Settings};
use anyhow::{Context, Result, bail};
use clap::Args;
use reqwest::{Method, Response, Url};
use std::path::{Path, PathBuf};

/// Name of the operators' socket in the data directory.
pub(crate) const ADMIN_SOCKET: &str = "admin.sock";

/// Where the server is.
#[derive(Args)]
pub(crate) struct AdminClient {
    /// The data directory of the running server.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The admin address of a server elsewhere, instead of the socket in the data directory.
    #[arg(long, value_name = "URL", requires = "token_file")]
    admin_url: Option<Url>,
    /// A file that holds the token of an operator or analyst, for `--admin-url`.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl AdminClient {
    /// Asks, and gives the answer if it is a good one.
    pub(crate) async fn request(&self, method: Method, path: &[&str], query: &[(&str, String)]) -> Result<Response> {
        let (client, mut url) = self.connect()?;
        url.path_segments_mut().ok().context("the admin URL can't have a path")?.pop_if_empty().extend(path);
        url.query_pairs_mut().extend_pairs(query);
        let mut request = client.request(method, url);
        if let Some(file) = &self.token_file {
            let token = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
            request = request.bearer_auth(token.trim());
        }
        let response = request.send().await.context("no server answers; `advisor serve` starts one")?;
        if !response.status().is_success() {
            bail!("the server answers {}: {}", response.status(), response.text().await?);
        }
        Ok(response)
    }

    fn connect(&self) -> Result<(reqwest::Client, Url)> {
        if let Some(url) = &self.admin_url {
            return Ok((reqwest::Client::builder().build()?, url.clone()));
        }
        let socket = data_dir(self.data_dir.as_deref())?.join(ADMIN_SOCKET);
        if !socket.exists() {
            bail!(
                "no server runs on this data directory: {} is not there; `advisor serve` starts one",
                socket.display()
            );
        }
        Ok((reqwest::Client::builder().unix_socket(socket).build()?, Url::parse("http://localhost/")?))
    }
}

/// The data directory as flag, environment or default give it.
pub(crate) fn data_dir(flag: Option<&Path>) -> Result<PathBuf> {
    if let Some(directory) = flag {
        return Ok(directory.to_owned());
    }
    let settings = Settings::resolve(None, &environment(), &[])?;
    Ok(PathBuf::from(settings.text("data_dir").context("`data_dir` must not be empty")?))
}
