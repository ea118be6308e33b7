//! The public listener, the operators' listener, and the socket in the data directory.

use super::Running;
use crate::{admin_client::ADMIN_SOCKET, config::Config, output};
use advisor_api::{Api, accept, auth::LocalOperator, events::LogAccess, measure::Measurements};
use anyhow::{Context, Result};
use axum::{Extension, Router};
use std::{
    io,
    net::{self, SocketAddr},
    sync::Arc,
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// Where clients and operators come in.
pub(super) struct Doors {
    /// Of a process that answers clients.
    public: Option<net::TcpListener>,
    admin: net::TcpListener,
    /// Whoever answers before the server does: ends with this.
    meanwhile: Option<DropGuard>,
}

impl Doors {
    /// Binds them, and says where they are. Whoever comes waits until somebody serves there.
    pub(super) fn open(config: &Config) -> Result<Self> {
        let public = config.role.answers().then(|| bind(config.listen)).transpose()?;
        let admin = bind(config.admin_listen)?;
        if let Some(public) = &public {
            output::line(&format!("listening on http://{}", public.local_addr()?))?;
        }
        output::line(&format!("admin on http://{}", admin.local_addr()?))?;
        Ok(Self { public, admin, meanwhile: None })
    }

    /// Serves there until the server does.
    pub(super) fn serve_meanwhile(&mut self, config: &Config, public: Router, admin: Router) -> Result<()> {
        let (stopping, serving) = (CancellationToken::new(), TaskTracker::new());
        let (public_listener, admin_listener) = self.listeners()?;
        let limits = &config.limits;
        if let Some(listener) = public_listener {
            serving.spawn(accept::serve_tcp(listener, public, limits.accept.clone(), stopping.clone()));
        }
        serving.spawn(accept::serve_tcp(admin_listener, admin, limits.admin_accept.clone(), stopping.clone()));
        self.meanwhile = Some(stopping.drop_guard());
        Ok(())
    }

    /// Listeners at the same doors.
    fn listeners(&self) -> io::Result<(Option<TcpListener>, TcpListener)> {
        let again = |listener: &net::TcpListener| TcpListener::from_std(listener.try_clone()?);
        Ok((self.public.as_ref().map(again).transpose()?, again(&self.admin)?))
    }
}

impl Running {
    /// Starts to serve at the doors that are open already, or opens them.
    pub(super) fn listen(
        &self,
        config: &Config,
        doors: Option<Doors>,
        api: &Api,
        measurements: Measurements,
    ) -> Result<()> {
        let socket = config.data_dir.join(ADMIN_SOCKET);
        let local = accept::bind_unix(&socket).with_context(|| format!("{} can't be bound", socket.display()))?;
        let doors = doors.map_or_else(|| Doors::open(config), Ok)?;
        let (public, admin) = doors.listeners()?;
        let address = public.as_ref().map(TcpListener::local_addr).transpose()?;
        drop(doors);

        let (limits, admin_limits) = (config.limits.accept.clone(), config.limits.admin_accept.clone());
        let access = LogAccess {
            log: Arc::clone(&api.log),
            keys: Arc::clone(&self.stores.keys) as _,
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
        address.map_or(Ok(()), |address| output::line(&next_step(config, address)))
    }
}

fn bind(address: SocketAddr) -> Result<net::TcpListener> {
    let bound = accept::bind_tcp(address).and_then(TcpListener::into_std);
    bound.with_context(|| format!("{address} can't be listened on"))
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
