//! A proxy before the PostgreSQL that the tests are given, on whose connections nothing is said any more from some
//! statement on: as on a network that swallows everything, neither side hears that the other is gone.

use super::postgres::{schema, url};
use crate::PostgresOptions;
use secrecy::ExposeSecret;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// Words that are said on a connection one after the other, perhaps with others between.
pub(crate) type Words = &'static [&'static str];

/// From when on a connection is silent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Silent {
    /// Before what the last of these words stands in, which does not arrive.
    Before(Words),
    /// After it: it arrives, and is never answered.
    After(Words),
}

impl Silent {
    /// The words that are still to be said after this.
    fn left(self, said: &[u8]) -> Words {
        let (Self::Before(words) | Self::After(words)) = self;
        match words {
            [word, left @ ..] if said.windows(word.len()).any(|part| part == word.as_bytes()) => left,
            words => words,
        }
    }

    fn once_left(self, left: Words) -> Self {
        match self {
            Self::Before(_) => Self::Before(left),
            Self::After(_) => Self::After(left),
        }
    }
}

/// The proxy. It ends, with its connections, when it is dropped.
pub(crate) struct SilentProxy {
    port: u16,
    silent: watch::Sender<Option<Silent>>,
    fallen: watch::Sender<u64>,
    _end: DropGuard,
}

impl SilentProxy {
    /// One through which all goes, for now.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (silent, fallen) = (watch::Sender::new(None), watch::Sender::new(0));
        let (tasks, ended) = (TaskTracker::new(), CancellationToken::new());
        let accepting = accept(listener, (silent.subscribe(), fallen.clone()), tasks.clone(), ended.clone());
        tasks.spawn(ended.clone().run_until_cancelled_owned(accepting));
        Self { port, silent, fallen, _end: ended.drop_guard() }
    }

    /// A schema that nobody else uses, through this proxy.
    pub(crate) fn options(&self) -> PostgresOptions {
        let url = url();
        let (login, rest) = url.expose_secret().rsplit_once('@').unwrap();
        let (_, database) = rest.split_once('/').unwrap();
        PostgresOptions::at(format!("{login}@127.0.0.1:{}/{database}", self.port).into(), schema())
    }

    /// Every connection is silent from now on, as soon as it comes to that.
    pub(crate) fn fall(&self, silent: Silent) {
        self.silent.send_replace(Some(silent));
    }

    /// What is silent stays so; nothing else falls silent.
    pub(crate) fn mend(&self) {
        self.silent.send_replace(None);
    }

    /// Waits until a connection has fallen silent.
    pub(crate) async fn has_fallen(&self) {
        self.fallen.subscribe().wait_for(|fallen| *fallen > 0).await.unwrap();
    }
}

type Shared = (watch::Receiver<Option<Silent>>, watch::Sender<u64>);

async fn accept(listener: TcpListener, shared: Shared, tasks: TaskTracker, ended: CancellationToken) {
    let server = url().expose_secret().rsplit_once('@').unwrap().1.split_once('/').unwrap().0.to_owned();
    while let Ok((client, _)) = listener.accept().await {
        let passing = pass(client, server.clone(), shared.clone());
        tasks.spawn(ended.clone().run_until_cancelled_owned(passing));
    }
}

async fn pass(client: TcpStream, server: String, (mut silent, fallen): Shared) {
    let server = TcpStream::connect(server).await.unwrap();
    for socket in [&client, &server] {
        socket.set_nodelay(true).unwrap();
    }
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let requests = async {
        let (mut piece, mut awaited) = (vec![0; 64 << 10], *silent.borrow_and_update());
        loop {
            let bytes = from_client.read(&mut piece).await.unwrap_or_default();
            if silent.has_changed().unwrap_or_default() {
                awaited = *silent.borrow_and_update();
            }
            awaited = awaited.map(|awaited| awaited.once_left(awaited.left(&piece[..bytes])));
            if matches!(awaited, Some(Silent::Before([]))) {
                return End::Silent;
            }
            if bytes == 0 || to_server.write_all(&piece[..bytes]).await.is_err() {
                return End::Closed;
            }
            if matches!(awaited, Some(Silent::After([]))) {
                return End::Silent;
            }
        }
    };
    let end = tokio::select! {
        end = requests => end,
        _ = tokio::io::copy(&mut from_server, &mut to_client) => End::Closed,
    };
    match end {
        End::Closed => {}
        End::Silent => {
            fallen.send_modify(|fallen| *fallen += 1);
            // Both sides keep their connections.
            std::future::pending::<()>().await;
        }
    }
}

enum End {
    Closed,
    Silent,
}
