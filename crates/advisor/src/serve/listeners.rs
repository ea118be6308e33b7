//! The public listener, the operators' listener, and the socket in the data directory.

use super::Running;
use crate::{admin_client::ADMIN_SOCKET, config::Config, output};
use advisor_api::{Api, accept, auth::LocalOperator, events::LogAccess, measure::Measurements};
use advisor_events::KeyStore;
use anyhow::{Context, Result};
use axum::Extension;
use std::{net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, sync::Semaphore};

impl Running {
    /// Binds everything, starts to serve, and says where.
    pub(super) fn listen(
        &self,
        config: &Config,
        api: &Api,
        keys: Arc<dyn KeyStore>,
        measurements: Measurements,
    ) -> Result<()> {
        let public = config.role.answers().then(|| bind(config.listen)).transpose()?;
        let admin = bind(config.admin_listen)?;
        let socket = config.data_dir.join(ADMIN_SOCKET);
        let local = accept::bind_unix(&socket).with_context(|| format!("{} can't be bound", socket.display()))?;
        let address = public.as_ref().map(TcpListener::local_addr).transpose()?;
        let admin_address = admin.local_addr()?;

        let (limits, admin_limits) = (config.limits.accept.clone(), config.limits.admin_accept.clone());
        let access = LogAccess {
            log: Arc::clone(&api.log),
            keys,
            authenticator: Arc::clone(&api.authenticator),
            shutdown: self.stopping.clone(),
            followers: Arc::new(Semaphore::new(config.limits.followers_max.min(Semaphore::MAX_PERMITS))),
        };
        let admin_router = advisor_api::admin_router(api, measurements, access);
        let local_router = admin_router.clone().layer(Extension(LocalOperator));
        let stopping = || self.stopping.clone();
        if let Some(public) = public {
            self.listeners.spawn(accept::serve_tcp(public, advisor_api::front(api), limits, stopping()));
        }
        self.listeners.spawn(accept::serve_tcp(admin, admin_router, admin_limits.clone(), stopping()));
        self.listeners.spawn(accept::serve_unix(local, local_router, admin_limits, stopping()));

        if let Some(address) = address {
            output::line(&format!("listening on http://{address}"))?;
        }
        output::line(&format!("admin on http://{admin_address}"))?;
        address.map_or(Ok(()), |address| output::line(&next_step(config, address)))
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener> {
    accept::bind_tcp(address).with_context(|| format!("{address} can't be listened on"))
}

/// What a newcomer can try now.
fn next_step(config: &Config, address: SocketAddr) -> String {
    if config.sign_in.own_tokens {
        let directory = config.data_dir.display();
        format!(
            "try: curl -H \"Authorization: Bearer $(advisor token --user me --data-dir {directory})\" http://{address}/api/me"
        )
    } else {
        format!("try: curl http://{address}/api/advisors")
    }
}
