//! Makes the server's side of the protocol from the `.proto` files that the client's package ships.

use anyhow::{Context, Result};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

const FILES: [&str; 3] = ["streams.proto", "serverfeatures.proto", "gossip.proto"];

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let protos = client_package()?.join("protos");
    let files = protox::compile(FILES, [protos])?;
    tonic_build::configure().build_client(false).bytes(["."]).include_file("protocol.rs").compile_fds(files)?;
    Ok(())
}

/// Where cargo keeps the sources of the client.
fn client_package() -> Result<PathBuf> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()?;
    let metadata: Value = serde_json::from_slice(&metadata.stdout).context("cargo metadata")?;
    let packages = metadata.get("packages").and_then(Value::as_array).context("no packages")?;
    let mut named = packages.iter().filter(|package| package.get("name").is_some_and(|name| name == "eventstore"));
    let client = named.next().context("no package eventstore")?;
    let manifest = client.get("manifest_path").and_then(Value::as_str).context("no manifest")?;
    Ok(Path::new(manifest).parent().context("no directory")?.to_owned())
}
