//! A proxy before a NATS server that loses, doubles, delays and reorders what the server says to a client, by a
//! seed; and a line that can be cut and healed.

use bytes::{Bytes, BytesMut};
use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// How often, of a thousand messages, and how long.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// What the dice begin with.
    pub seed: u64,
    /// Messages that are lost.
    pub lost: u64,
    /// Messages that come twice.
    pub doubled: u64,
    /// Messages that come late, so that later ones overtake them.
    pub late: u64,
    /// How late, at most.
    pub late_max: Duration,
}

impl Faults {
    /// A tenth of the messages is lost, a tenth comes twice, and a tenth too late.
    pub fn tenth(seed: u64) -> Self {
        Self { seed, lost: 100, doubled: 100, late: 100, late_max: Duration::from_millis(20) }
    }
}

/// How many messages met which fate.
#[derive(Debug, Default)]
pub struct Fates {
    /// Messages that the server said.
    pub all: AtomicU64,
    /// Those that were lost.
    pub lost: AtomicU64,
    /// Those that came twice.
    pub doubled: AtomicU64,
    /// Those that came late.
    pub late: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Whole,
    Cut,
}

/// The proxy. It ends with this.
pub struct FaultyProxy {
    port: u16,
    line: watch::Sender<Line>,
    fates: Arc<Fates>,
    _end: DropGuard,
}

impl FaultyProxy {
    /// A proxy before the server at this port of loopback.
    pub async fn start(server: u16, faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let (line, state) = watch::channel(Line::Whole);
        let fates = Arc::new(Fates::default());
        let ended = CancellationToken::new();
        let tasks = TaskTracker::new();
        let passing = pass_all(listener, server, faults, (state, Arc::clone(&fates), tasks.clone(), ended.clone()));
        tasks.spawn(ended.clone().run_until_cancelled_owned(passing));
        Self { port, line, fates, _end: ended.drop_guard() }
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What became of the messages so far.
    pub fn fates(&self) -> &Fates {
        &self.fates
    }

    /// Ends all connections, and refuses new ones.
    pub fn cut(&self) {
        self.line.send_replace(Line::Cut);
    }

    /// Lets connections pass again.
    pub fn heal(&self) {
        self.line.send_replace(Line::Whole);
    }
}

type Shared = (watch::Receiver<Line>, Arc<Fates>, TaskTracker, CancellationToken);

async fn pass_all(listener: TcpListener, server: u16, faults: Faults, shared: Shared) {
    let (line, fates, tasks, ended) = shared;
    let mut dice = Dice(faults.seed);
    while let Ok((client, _)) = listener.accept().await {
        let mut line = line.clone();
        let dice = Dice(dice.roll());
        if *line.borrow_and_update() == Line::Cut {
            continue;
        }
        let fates = Arc::clone(&fates);
        let passing = async move {
            let cut = line.wait_for(|line| *line == Line::Cut);
            tokio::select! {
                _ = cut => {}
                ended = pass(client, server, faults, (dice, fates)) => drop(ended),
            }
        };
        tasks.spawn(ended.clone().run_until_cancelled_owned(passing));
    }
}

async fn pass(client: TcpStream, server: u16, faults: Faults, dice: (Dice, Arc<Fates>)) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server)).await?;
    for socket in [&client, &server] {
        socket.set_nodelay(true)?;
    }
    let ((mut from_client, to_client), (from_server, mut to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        copied = tokio::io::copy(&mut from_client, &mut to_server) => copied.map(drop),
        told = tell(from_server, to_client, faults, dice) => told,
    }
}

/// What the server says, to the client.
async fn tell(
    mut from_server: OwnedReadHalf,
    mut to_client: OwnedWriteHalf,
    faults: Faults,
    (mut dice, fates): (Dice, Arc<Fates>),
) -> io::Result<()> {
    let mut read = BytesMut::new();
    let mut late = BTreeMap::new();
    let mut count = 0_u64;
    loop {
        let due = late.first_key_value().map(|((due, _), _): (&(Instant, u64), &Bytes)| *due);
        tokio::select! {
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                if let Some((_, frame)) = late.pop_first() {
                    to_client.write_all(&frame).await?;
                }
            }
            got = from_server.read_buf(&mut read) => {
                if got? == 0 {
                    return Ok(());
                }
                let mut now = Vec::new();
                while let Some((kind, frame)) = take_frame(&mut read) {
                    let copies = match kind {
                        Kind::Other => 1,
                        Kind::Message => fates.copies(&mut dice, faults),
                    };
                    for _ in 0..copies {
                        if kind == Kind::Message && dice.falls(faults.late) {
                            fates.late.fetch_add(1, Ordering::Relaxed);
                            let late_by = faults.late_max.mul_f64(f64::from(dice.percent()) / 100.0);
                            late.insert((Instant::now() + late_by, count), frame.clone());
                        } else {
                            now.extend_from_slice(&frame);
                        }
                        count += 1;
                    }
                }
                to_client.write_all(&now).await?;
            }
        }
    }
}

impl Fates {
    /// How often a message comes.
    fn copies(&self, dice: &mut Dice, faults: Faults) -> usize {
        self.all.fetch_add(1, Ordering::Relaxed);
        if dice.falls(faults.lost) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            0
        } else if dice.falls(faults.doubled) {
            self.doubled.fetch_add(1, Ordering::Relaxed);
            2
        } else {
            1
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Message,
    Other,
}

/// The next whole frame that the server has said: a line, and after `MSG` and `HMSG` as many bytes as it ends with.
fn take_frame(read: &mut BytesMut) -> Option<(Kind, Bytes)> {
    let line_length = read.windows(2).position(|two| two == b"\r\n")? + 2;
    let line = std::str::from_utf8(&read[..line_length]).expect("NATS speaks in lines of text");
    let mut words = line.split_ascii_whitespace();
    let kind = match words.next() {
        Some("MSG" | "HMSG") => Kind::Message,
        _ => Kind::Other,
    };
    let length = match kind {
        Kind::Message => {
            let payload: usize = words.next_back().and_then(|size| size.parse().ok()).expect("a message has a size");
            line_length + payload + 2
        }
        Kind::Other => line_length,
    };
    (read.len() >= length).then(|| (kind, read.split_to(length).freeze()))
}

/// Chance by a seed: `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn falls(&mut self, of_a_thousand: u64) -> bool {
        self.roll() % 1_000 < of_a_thousand
    }

    fn percent(&mut self) -> u8 {
        u8::try_from(self.roll() % 100).unwrap_or_default()
    }
}
