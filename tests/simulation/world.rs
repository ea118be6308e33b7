//! A world: a log, a database, a bus and a model, the processes over them, and what befalls them.

use crate::{
    bus::SimBus,
    client::{ADVISORS, Client},
    dice::Dice,
    follower::Follower,
    keys::Keys,
    log::SimLog,
    model::SimModel,
    process::Process,
    server::{self, Served},
    stage::Stage,
    store::SimStore,
    viewer::Viewer,
    weather::Weather,
    worker,
};
use advisor_commands::{
    AdvisorCommand, CommandContext, CommandError, Commands, ConversationCommand, HandlerLimits, UserCommand,
};
use advisor_eventlog::{EventLog, Expected, NewEvent};
use advisor_events::{
    Actor, AdvisorId, Clock, ConversationId, Event, KeyStore, Metadata, SealContext, StreamName, UserId,
    advisor::{Status, Visibility},
    log::{LogEvent, Opened},
    user::Profile,
};
use advisor_projections::{Generation, Reader};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;
use uuid::Uuid;

/// The people of a world.
pub(crate) const PEOPLE: [&str; 2] = ["ana", "bea"];
/// Clients of each.
const CLIENTS_EACH: usize = 2;
/// Processes of workers.
const WORKERS: usize = 2;

/// Things that happen while viewers connect.
const HAND_OVERS: usize = 4;
/// How long it takes at most until a viewer who connects at once has heard of them: less than a heartbeat, with which
/// a stream looks for itself.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// How long it takes at most until a viewer, connected or not, has heard of everything.
const NEWS_WITHIN: Duration = Duration::from_secs(10);

/// A world. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct World(Arc<Parts>);

/// What a world is made of.
pub(crate) struct Parts {
    pub(crate) weather: Arc<Weather>,
    pub(crate) stage: Stage,
    pub(crate) log: Arc<SimLog>,
    pub(crate) rows: Arc<SimStore>,
    pub(crate) side: Arc<SimStore>,
    pub(crate) bus: Arc<SimBus>,
    pub(crate) model: Arc<SimModel>,
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) clients: Vec<Arc<Client>>,
    pub(crate) viewers: Vec<Arc<Viewer>>,
    pub(crate) follower: Arc<Follower>,
    /// Reads the rows as they are, past all processes.
    pub(crate) onlooker: Reader,
    dice: Dice,
    trap_dice: Dice,
    hand_over_dice: Dice,
    /// By role, who plays it now.
    processes: Mutex<BTreeMap<String, Arc<Process>>>,
    /// Where requests go.
    served: Mutex<Option<Served>>,
    /// All that were ever started: an old server may be frozen, and not know that it was replaced.
    started: Mutex<Vec<Arc<Process>>>,
}

impl std::ops::Deref for World {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl World {
    /// A world in which people and advisors are there, and everybody has begun.
    pub(crate) async fn begin(seed: u64) -> Self {
        let weather = Weather::stormy(seed);
        weather.clear_up();
        let clients =
            PEOPLE.iter().flat_map(|person| (1..=CLIENTS_EACH).map(move |n| (format!("{person}.{n}"), *person)));
        let rows = SimStore::open("rows", &weather);
        let onlooker = Generation::over(1, rows.of(&Process::start("onlooker"))).await.expect("tables");
        let world = Self(Arc::new(Parts {
            stage: Stage::default(),
            log: SimLog::open(&weather),
            onlooker: Reader::new(&onlooker),
            rows,
            side: SimStore::open("side", &weather),
            bus: SimBus::open(&weather),
            model: SimModel::open(&weather),
            keys: Arc::new(Keys::default()),
            clients: clients.map(|(name, person)| Client::new(&name, person, &weather)).collect(),
            viewers: PEOPLE.iter().map(|person| Viewer::new(person)).collect(),
            follower: Arc::default(),
            served: Mutex::default(),
            dice: weather.dice("chaos"),
            trap_dice: weather.dice("traps"),
            hand_over_dice: weather.dice("hand-over"),
            processes: Mutex::default(),
            started: Mutex::default(),
            weather,
        }));
        world.found().await;
        world.weather.blow_up();
        world.start_everything();
        world
    }

    /// Lets time go by, and chaos have its way.
    pub(crate) async fn storm(&self, length: Duration) {
        let until = Instant::now() + length;
        let chaos = self.clone();
        self.stage.enter("chaos", async move { chaos.strike_until(until).await });
        let chaos = self.clone();
        self.stage.enter("traps", async move { chaos.trap_until(until).await });
        let dice = self.weather.dice("turns");
        self.stage.play(&dice, tokio::time::sleep_until(until)).await;
    }

    /// The weather clears up, everybody who is dead or frozen comes back, and everything comes to rest; false when it
    /// does not.
    pub(crate) async fn come_to_rest(&self) -> bool {
        self.stage.remove("chaos");
        self.stage.remove("traps");
        self.weather.note("world", "comes to rest");
        self.weather.clear_up();
        self.start_everything();
        let dice = self.weather.dice("turns at rest");
        let world = self.clone();
        let resting = async move {
            for _ in 0..400 {
                tokio::time::sleep(Duration::from_millis(500)).await;
                if world.is_at_rest().await {
                    // Now whoever looks has to hear of it.
                    tokio::time::sleep(NEWS_WITHIN).await;
                    world.hand_over().await;
                    return true;
                }
            }
            false
        };
        self.stage.play(&dice, resting).await
    }

    /// One thing happens while viewers connect, and nothing after it: what one misses then, it hears of nobody.
    async fn hand_over(&self) {
        let log: Arc<dyn EventLog> = Arc::<SimLog>::clone(&self.log);
        let commands = Commands::new(&log, &self.keys, HandlerLimits::default());
        for round in 0..HAND_OVERS {
            self.weather.calm_down();
            let rename = async {
                for person in PEOPLE {
                    let id = ConversationId(format!("of-{person}"));
                    let (stream, user_id) = (StreamName::conversation(&id), UserId::from(person));
                    let actor = Actor::Import("hand-over".into());
                    let context = CommandContext::new(actor, format!("{person} {round}"), self.weather.now());
                    let rename = ConversationCommand::Rename { user_id, title: format!("title of round {round}") };
                    match commands.conversations.execute(&stream, rename, context).await {
                        // Somebody may have given up on starting their conversation.
                        Ok(_) | Err(CommandError::Refused(_)) => {}
                        Err(error) => self.weather.wrong(format!("{person} is not renamed: {error:?}")),
                    }
                }
            };
            let reconnect = async {
                for viewer in &self.viewers {
                    tokio::time::sleep(self.hand_over_dice.ms(0..30)).await;
                    self.kill(viewer.name());
                    self.start(viewer.name());
                }
            };
            futures::join!(rename, reconnect);
            tokio::time::sleep(TOLD_WITHIN).await;
            self.weather.clear_up();
            for viewer in &self.viewers {
                let Some(served) = self.served() else { return };
                for difference in viewer.differences(&served).await {
                    self.weather.wrong(format!("after {TOLD_WITHIN:?}: {difference}"));
                }
            }
        }
    }

    /// The log's opening, people and advisors.
    async fn found(&self) {
        let log: Arc<dyn EventLog> = Arc::<SimLog>::clone(&self.log);
        append_opening(&*log, self.weather.as_ref()).await;
        let commands = Commands::new(&log, &self.keys, HandlerLimits::default());
        let context = |id: &str| CommandContext::new(Actor::Import("founding".into()), id.into(), self.weather.now());
        for person in PEOPLE {
            let user_id = UserId::from(person);
            let stream = StreamName::user(&user_id);
            let register = UserCommand::Register { user_id, profile: Profile::default(), plan: "free".into() };
            commands.users.execute(&stream, register, context(person)).await.unwrap();
        }
        for advisor in ADVISORS {
            let advisor_id = AdvisorId::from(advisor);
            let stream = StreamName::advisor(&advisor_id);
            let document = json!({"persona": {"name": advisor, "title": "Analyst"}});
            let (visibility, status) = (Visibility::Public, Status::Active);
            let create = AdvisorCommand::Create { advisor_id, owner_id: None, visibility, status, document };
            commands.advisors.execute(&stream, create, context(advisor)).await.unwrap();
        }
    }

    fn start_everything(&self) {
        for role in self.roles() {
            let is_there = self.processes.lock().unwrap().get(&role).is_some_and(|process| !process.is_dead());
            if is_there {
                self.processes.lock().unwrap()[&role].thaw();
            } else {
                self.start(&role);
            }
        }
    }

    fn roles(&self) -> Vec<String> {
        let workers = (1..=WORKERS).map(|number| format!("worker.{number}"));
        let clients = self.clients.iter().map(|client| format!("client.{}", client.name()));
        let viewers = self.viewers.iter().map(|viewer| viewer.name().to_owned());
        let ones = ["server".to_owned(), "follower".to_owned()];
        ones.into_iter().chain(workers).chain(clients).chain(viewers).collect()
    }

    /// A new process for this role.
    fn start(&self, role: &str) {
        let process = {
            let mut started = self.started.lock().unwrap();
            let process = Process::start(&format!("{role}#{}", started.len() + 1));
            started.push(Arc::clone(&process));
            process
        };
        self.weather.note("chaos", &format!("starts {}", process.name));
        self.processes.lock().unwrap().insert(role.to_owned(), Arc::clone(&process));
        let name = process.name.clone();
        match role.split_once('.') {
            Some(("worker", _)) => self.stage.enter(&name, worker::run(self.clone(), process)),
            Some(("client", of)) => {
                let client = self.clients.iter().find(|client| client.name() == of).expect("one of them");
                let parts = (self.log.of(&process), Arc::clone(&self.keys));
                let client = Arc::clone(client);
                self.stage.enter(&name, client.run(process, parts, Arc::clone(&self.weather)));
            }
            Some(("viewer", _)) => {
                let viewer = self.viewers.iter().find(|viewer| viewer.name() == role).expect("one of them");
                self.stage.enter(&name, Arc::clone(viewer).run(process, self.clone()));
            }
            Some(_) | None if role == "server" => self.stage.enter(&name, server::run(self.clone(), process)),
            Some(_) | None => {
                let (follower, log) = (Arc::clone(&self.follower), self.log.of(&process));
                self.stage.enter(&name, follower.run(process, log, Arc::clone(&self.weather)));
            }
        }
    }

    /// From now on requests go there.
    pub(crate) fn serve(&self, served: Served) {
        // One that was frozen while it came up has been followed, and gets no requests any more.
        if self.is_last(&served.process) {
            *self.served.lock().unwrap() = Some(served);
        }
    }

    /// Where requests go.
    pub(crate) fn served(&self) -> Option<Served> {
        self.served.lock().unwrap().clone().filter(|served| !served.process.is_dead())
    }

    /// A new server in the place of one that has ended, unless there is one.
    pub(crate) fn supervise(&self, ended: &Arc<Process>) {
        if self.is_last(ended) {
            self.start("server");
        }
    }

    /// Whether this server has not been followed by another one.
    fn is_last(&self, server: &Arc<Process>) -> bool {
        Arc::ptr_eq(&self.processes.lock().unwrap()["server"], server)
    }

    fn kill(&self, role: &str) {
        let process = Arc::clone(&self.processes.lock().unwrap()[role]);
        self.weather.note("chaos", &format!("kills {}", process.name));
        self.end(&process);
    }

    fn end(&self, process: &Process) {
        process.kill();
        self.stage.remove(&process.name);
    }

    async fn strike_until(&self, until: Instant) {
        while Instant::now() < until {
            tokio::time::sleep(self.dice.ms(300..5_000)).await;
            let roles = self.roles();
            let role = self.dice.pick(&roles).as_str();
            match self.dice.roll(11) {
                0..=3 => {
                    self.kill(role);
                    tokio::time::sleep(self.dice.ms(10..3_000)).await;
                    self.start(role);
                }
                4..=6 => self.freeze(role, self.dice.ms(500..25_000)),
                7 => {
                    // The old owner is away when the new one comes, and does not know that it was replaced.
                    self.freeze("server", self.dice.ms(500..10_000));
                    self.start("server");
                }
                8 => self.log.crash(),
                9 => self.retire(),
                _ => self.cut_power().await,
            }
        }
    }

    /// Now and then a worker stands still when it is about to say how a reply ends, for longer than others wait for it.
    async fn trap_until(&self, until: Instant) {
        while Instant::now() < until {
            tokio::time::sleep(self.trap_dice.ms(5_000..20_000)).await;
            let role = format!("worker.{}", 1 + self.trap_dice.roll(WORKERS as u64));
            let length = self.trap_dice.ms(11_000..25_000);
            self.weather.note("chaos", &format!("lays a trap for {role}"));
            self.processes.lock().unwrap()[&role].trap(length);
        }
    }

    /// A worker ends in good order, as far as it comes with it in its grace, while another one begins.
    fn retire(&self) {
        let role = format!("worker.{}", 1 + self.dice.roll(WORKERS as u64));
        let process = Arc::clone(&self.processes.lock().unwrap()[&role]);
        self.weather.note("chaos", &format!("retires {}", process.name));
        process.shutdown.cancel();
        self.start(&role);
    }

    fn freeze(&self, role: &str, length: Duration) {
        let process = Arc::clone(&self.processes.lock().unwrap()[role]);
        self.weather.note("chaos", &format!("freezes {} for {length:?}", process.name));
        process.freeze(Instant::now() + length);
    }

    async fn cut_power(&self) {
        self.weather.note("chaos", "cuts the power");
        self.log.crash();
        self.rows.cut_power();
        self.side.cut_power();
        let all = self.started.lock().unwrap().clone();
        for process in &all {
            self.end(process);
        }
        tokio::time::sleep(self.dice.ms(100..2_000)).await;
        self.start_everything();
    }
}

async fn append_opening(log: &dyn EventLog, clock: &dyn Clock) {
    let (stream, id) = (StreamName::log(), Uuid::new_v4());
    let metadata = Metadata::new(Actor::Worker("log".into()), id.to_string(), clock.now());
    let opened = Event::from(LogEvent::Opened(Opened { identity: "the simulated log".to_owned() }));
    let encoded = opened.encode(None, SealContext { stream: &stream, event_id: id }, &metadata).unwrap();
    let event = NewEvent { id, type_name: encoded.type_name, data: encoded.data, metadata: encoded.metadata };
    log.append(&stream, Expected::NoStream, vec![event]).await.unwrap();
}
