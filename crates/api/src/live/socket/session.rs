//! A conversation with a client that has said who it is: its subscriptions, and a stream that shows them.

use super::{
    super::{
        QUERIES_MAX, beginning,
        connection::{Connection, End, From, NotBegun},
        frame::{ResetReason, Wire},
        id::SubscriptionId,
        moves::Watched,
        parts,
        query::{Audience, LiveQuery},
        refusal, settle,
    },
    SHUTDOWN,
    link::{Link, Over, Received},
    over,
    protocol::{Authenticate, Authenticated, Refused, Resume, Said, Subscription, Unsubscribe, Unsubscribed},
};
use crate::{
    Api,
    auth::Viewer,
    problem::{Detail, Problem},
    traffic::Meter,
};
use std::convert::Infallible;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until},
};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// A conversation.
pub(super) struct Session<'a> {
    api: &'a Api,
    meter: &'a Meter,
    viewer: Option<Viewer>,
    connection: Connection,
    /// How it ends when everything that waits has been sent.
    over: Option<Over>,
}

/// A problem, and the subscription that it is about.
type About<T> = Result<T, (Option<SubscriptionId>, Problem)>;

impl<'a> Session<'a> {
    /// A conversation with a client that has no subscription yet.
    pub(super) async fn begin(api: &'a Api, meter: &'a Meter, authenticate: &Authenticate) -> Result<Self, Problem> {
        let viewer = viewer_of(api, meter, authenticate).await?;
        charge(meter, viewer.as_ref())?;
        let begun = Connection::begin(parts(api, Wire::Socket, viewer.as_ref(), Vec::new())?, From::Now).await;
        let connection = begun.map_err(|not_begun| refusal(&not_begun, &[]))?;
        let mut session = Self { api, meter, viewer, connection, over: None };
        session.say_who();
        Ok(session)
    }

    /// Goes on until one of the two ends it.
    pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(mut self, link: &mut Link<S>) -> Over {
        match self.go_on(link).await {
            Ok(never) => match never {},
            Err(over) => over,
        }
    }

    async fn go_on<S: AsyncRead + AsyncWrite + Unpin>(&mut self, link: &mut Link<S>) -> Result<Infallible, Over> {
        let (heartbeat, silence) = (self.api.settings.streams.heartbeat, self.api.settings.socket.silence_timeout);
        let mut pings = interval_at(Instant::now() + heartbeat, heartbeat);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        loop {
            while let Some(frame) = self.connection.take() {
                link.send(frame).await?;
            }
            if let Some(over) = self.over.take().or_else(|| self.connection.ended().map(ended)) {
                return Err(over);
            }
            // What is waited for can be given up at any time; what is done about it comes after the wait.
            tokio::select! {
                received = link.receive() => {
                    heard_at = Instant::now();
                    if let Received::Text(text) = received? {
                        self.hear(&text).await;
                    }
                }
                woken = self.connection.wait() => self.connection.act(woken).await,
                _ = pings.tick() => link.ping().await?,
                () = sleep_until(heard_at + silence) => return Err(Over::Gone),
            }
        }
    }

    async fn hear(&mut self, text: &str) {
        let heard = match Said::parse(text) {
            Ok(Said::Authenticate(authenticate)) => self.authenticate(&authenticate).await,
            Ok(Said::Subscribe(subscription)) => self.subscribe(subscription).await,
            Ok(Said::Unsubscribe(unsubscribe)) => self.unsubscribe(unsubscribe),
            Ok(Said::Resume(resume)) => self.resume(resume).await,
            Err(problem) => {
                // Who talks like this does not talk this protocol.
                self.over = Some(over(&problem));
                Err((None, problem))
            }
        };
        if let Err((id, problem)) = heard {
            let id = id.as_ref().filter(|id| id.is_short());
            self.connection.say("error", None, &Refused { id, problem: problem.message() });
        }
    }

    /// A fresh token of the same person carries the stream further; nobody else takes it over.
    async fn authenticate(&mut self, authenticate: &Authenticate) -> About<()> {
        let viewer = viewer_of(self.api, self.meter, authenticate).await.map_err(|problem| (None, problem))?;
        if !self.connection.is_of(viewer.as_ref()) {
            self.over = Some(Over::Close(CloseCode::Policy, "authenticated as somebody else"));
            return Ok(());
        }
        if let Some(viewer) = &viewer {
            self.connection.renew(viewer, self.api.authenticator.watch(viewer.person()));
        }
        self.viewer = viewer;
        self.say_who();
        Ok(())
    }

    fn say_who(&mut self) {
        let authenticated = Authenticated {
            user_id: self.viewer.as_ref().map(Viewer::user_id),
            expires_at: self.viewer.as_ref().map(Viewer::expires_at),
        };
        self.connection.say("authenticated", None, &authenticated);
    }

    async fn subscribe(&mut self, subscription: Subscription) -> About<()> {
        let id = subscription.id.clone();
        let about = |problem| (Some(id.clone()), problem);
        let watched = self.watched(subscription, self.connection.watched()).map_err(about)?;
        let query = watched.query.clone();
        let begun = match self.connection.subscribe(watched.clone()).await {
            // What is not there may only not be there yet.
            Err(NotBegun::NotThere(_)) => {
                settle(self.api).await.map_err(about)?;
                self.connection.subscribe(watched).await
            }
            begun => begun,
        };
        begun.map_err(|not_begun| about(refusal(&not_begun, &[&query])))
    }

    fn unsubscribe(&mut self, Unsubscribe { id }: Unsubscribe) -> About<()> {
        let subscriptions = self.connection.watched();
        let Some(index) = subscriptions.iter().position(|watched| watched.id.as_ref() == Some(&id)) else {
            let problem = broken("/id", "is not the id of a subscription");
            return Err((Some(id), problem));
        };
        self.connection.unsubscribe(index);
        let at = self.connection.id();
        self.connection.say("unsubscribed", Some(&at), &Unsubscribed { id: &id });
        Ok(())
    }

    /// Everything at once, as it was when the connection before this one was lost: one move brings all of it here.
    async fn resume(&mut self, Resume { last_event_id, queries }: Resume) -> About<()> {
        if !self.connection.watched().is_empty() {
            return Err((None, broken("", "comes before the first subscription")));
        }
        if queries.is_empty() {
            return Err((None, broken("/queries", "must name 1 to 20 queries")));
        }
        let mut all: Vec<Watched> = Vec::with_capacity(queries.len().min(QUERIES_MAX));
        for subscription in queries {
            let id = subscription.id.clone();
            all.push(self.watched(subscription, &all).map_err(|problem| (Some(id), problem))?);
        }
        let queries: Vec<&LiveQuery> = all.iter().map(|watched| &watched.query).collect();
        let from = beginning(self.api, self.viewer.as_ref(), &queries, &last_event_id).await;
        let from = from.map_err(|problem| (None, problem))?;
        let begun = match self.connection.resume(all.clone(), from).await {
            Err(NotBegun::NotThere(_)) => {
                settle(self.api).await.map_err(|problem| (None, problem))?;
                self.connection.resume(all.clone(), from).await
            }
            begun => begun,
        };
        begun.map_err(|not_begun| {
            let id = not_begun.missing().and_then(|index| all.get(index)).and_then(|watched| watched.id.clone());
            (id, refusal(&not_begun, &queries))
        })
    }

    /// A subscription beside these.
    fn watched(&self, Subscription { id, query: text }: Subscription, others: &[Watched]) -> Result<Watched, Problem> {
        charge(self.meter, self.viewer.as_ref())?;
        if !id.is_short() {
            return Err(broken("/id", "must be a number or have 1 to 128 bytes"));
        }
        if others.iter().any(|other| other.id.as_ref() == Some(&id)) {
            return Err(broken("/id", "is the id of a subscription already"));
        }
        if others.len() >= QUERIES_MAX {
            return Err(broken("", "a connection has at most 20 queries"));
        }
        let query = LiveQuery::parse(&text)?;
        if query.audience() == Audience::SignedIn && self.viewer.is_none() {
            return Err(Problem::auth_required());
        }
        if others.iter().any(|other| other.query == query) {
            return Err(broken("/query", "has a subscription already"));
        }
        Ok(Watched { query, text, id: Some(id), known: None })
    }
}

async fn viewer_of(api: &Api, meter: &Meter, authenticate: &Authenticate) -> Result<Option<Viewer>, Problem> {
    match &authenticate.token {
        None => Ok(None),
        Some(token) => api.authenticator.person_of(token, meter).await.map(|person| Some(Viewer::from(person))),
    }
}

/// A socket is a query, and so is each of its subscriptions: all of them are read for.
fn charge(meter: &Meter, viewer: Option<&Viewer>) -> Result<(), Problem> {
    match viewer {
        Some(viewer) => meter.person(viewer.user_id()),
        None => meter.nobody(),
    }
}

fn broken(pointer: &'static str, rule: &'static str) -> Problem {
    Problem::invalid_request(vec![Detail::at(pointer, rule)])
}

/// What the client is told last, after the reset that says why.
fn ended(end: End) -> Over {
    match end {
        End::Reset(ResetReason::Shutdown) => SHUTDOWN,
        End::Reset(ResetReason::Session) => Over::Close(CloseCode::Policy, "the session has ended"),
        End::Reset(ResetReason::Slow) => Over::Close(CloseCode::Policy, "the client reads too slowly"),
        End::Reset(ResetReason::Gone | ResetReason::Retention | ResetReason::Generation | ResetReason::Query)
        | End::Fault => Over::Close(CloseCode::Error, "a fault of the server"),
    }
}
