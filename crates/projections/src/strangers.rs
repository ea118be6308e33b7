//! Every query that is asked for somebody shows nothing of anybody else's.
//!
//! The queries are those of the sources: one that is added and not tried here is found by its name.

use crate::{
    Query, advisors, changes, conversations, departures,
    given::{
        Story, document, opened,
        read_side::{ReadSide, empty},
    },
    messages, replies,
    store::{Statement, Write},
    users,
};
use advisor_eventlog::Position;
use advisor_events::{
    UserId,
    advisor::{AdvisorEvent, Created, Status, Visibility},
    conversation::{AdvisorAssigned, ConversationEvent},
};
use std::{collections::BTreeSet, fmt::Debug, fs, path::Path};

const START: Position = Position::START;

/// A query as somebody asks it with these ids; its answer as text.
type Asked = fn(&UserId, &Ids) -> Query<String>;

/// What a query can name.
struct Ids {
    conversation: &'static str,
    message: &'static str,
    reply: &'static str,
    advisor: &'static str,
    /// A message that was deleted.
    gone: &'static str,
}

const ANAS: Ids = Ids { conversation: "anas-c", message: "anas-m", reply: "anas-r", advisor: "secret", gone: "anas-g" };
const BENS: Ids = Ids { conversation: "bens-c", message: "bens-m", reply: "bens-r", advisor: "bens-a", gone: "bens-g" };
const NOBODYS: Ids = Ids { conversation: "no-c", message: "no-m", reply: "no-r", advisor: "no-a", gone: "no-g" };

/// Whatever is Ana's has her name in it, but her advisor's id, which Ben knows.
const WORD: &str = "ana";

#[rustfmt::skip]
const QUERIES: &[(&str, Asked)] = &[
    ("advisors::visible_to", |who, _| text(advisors::visible_to(Some(who)))),
    ("advisors::names", |who, _| text(advisors::names(Some(who)))),
    ("advisors::by_id", |who, ids| text(advisors::by_id(Some(who), &ids.advisor.into()))),
    ("advisors::is_seen_by", |who, ids| yes(who, advisors::is_seen_by(who, &ids.advisor.into()))),
    ("advisors::by_ids", |who, ids| text(advisors::by_ids(Some(who), &[ids.advisor.into()]))),
    ("advisors::count_of_user", |who, _| counted(advisors::count_of_user(who, 50))),
    ("advisors::of_conversation", |who, ids| text(advisors::of_conversation(who, &ids.conversation.into()))),
    ("advisors::changed", |who, _| text(advisors::changed(Some(who), START))),
    ("changes::between", |who, _| {
        let told = changes::between(&[who.as_str(), changes::PUBLIC], START, Position(1 << 40));
        text(told.map(|told| told.into_iter().map(|change| (change.feed, change.key)).collect::<Vec<_>>()))
    }),
    ("changes::conversation_of", |who, ids| {
        text(changes::conversation_of(who, ids.message).zip(changes::conversation_of(who, ids.reply)))
    }),
    ("departures::conversation_of", |who, ids| text(departures::conversation_of(who, ids.gone))),
    ("conversations::of_user", |who, _| text(conversations::of_user(who, 50))),
    ("conversations::count_of_user", |who, _| counted(conversations::count_of_user(who, 50))),
    ("conversations::by_id", |who, ids| text(conversations::by_id(who, &ids.conversation.into()))),
    ("conversations::changed", |who, _| text(conversations::changed(who, START))),
    ("conversations::changed_one", |who, ids| {
        text(conversations::changed_one(who, &ids.conversation.into(), START))
    }),
    ("messages::newest", |who, ids| text(messages::newest(who, &ids.conversation.into(), 50))),
    ("messages::before", |who, ids| text(messages::before(who, &ids.conversation.into(), 1_000, 50))),
    ("messages::by_id", |who, ids| text(messages::by_id(who, &ids.message.into()))),
    ("messages::changed", |who, ids| text(messages::changed(who, &ids.conversation.into(), START))),
    ("replies::of_conversation", |who, ids| text(replies::of_conversation(who, &ids.conversation.into()))),
    ("replies::by_id", |who, ids| text(replies::by_id(who, &ids.reply.into()))),
    ("replies::changed", |who, ids| text(replies::changed(who, &ids.conversation.into(), START))),
    ("users::by_id", |who, _| text(users::by_id(who))),
    ("users::changed", |who, _| text(users::changed(who, START))),
];

/// Asked by the program itself about a person, and for nobody.
const OF_THE_PROGRAM: &[&str] = &["deletions::of_user"];

#[tokio::test]
async fn every_query_that_takes_a_person_shows_nothing_of_anybody_elses() {
    let side = world().await;
    let mut wrong = Vec::new();
    for (name, asked) in QUERIES {
        let ask = async |who: &str, ids| side.read(asked(&who.into(), ids)).await;
        let (hers, foreign) = (ask("ana", &ANAS).await, ask("ben", &ANAS).await);
        if !hers.contains(WORD) {
            wrong.push(format!("{name} shows Ana nothing of hers: {hers}"));
        }
        if foreign != ask("ben", &NOBODYS).await {
            wrong.push(format!("{name} tells what is somebody else's from what is not there: {foreign}"));
        }
        for shown in [foreign, ask("ben", &BENS).await] {
            if shown.contains(WORD) || (name.starts_with("advisors::") && shown.contains(ANAS.advisor)) {
                wrong.push(format!("{name} shows Ben what is Ana's: {shown}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn not_even_a_change_that_is_told_to_the_wrong_person_shows_them_the_row() {
    let side = world().await;
    for (number, (projection, scope, key)) in [
        ("advisors", "", ANAS.advisor),
        ("conversations", ANAS.conversation, ANAS.conversation),
        ("messages", ANAS.conversation, ANAS.message),
        ("replies", ANAS.conversation, ANAS.reply),
        ("users", "", "ana"),
    ]
    .into_iter()
    .enumerate()
    {
        let sequence = 1_000 + u64::try_from(number).unwrap();
        let params = [sequence.into(), 1_u64.into(), 1_u64.into(), projection.into(), "ben".into()];
        let params = params.into_iter().chain([scope.into(), key.into()]).collect();
        side.generation.store().write(vec![Write::Run(Statement::new(changes::INSERT, params))]).await.unwrap();
    }
    let tried: Vec<_> = QUERIES.iter().filter(|(name, _)| name.contains("::changed")).collect();
    assert_eq!(tried.len(), 6);
    let mut wrong = Vec::new();
    for (name, asked) in tried {
        let shown = side.read(asked(&"ben".into(), &ANAS)).await;
        // The key is what was told; the row is what is not to be seen.
        if shown.contains("UserId(\"ana\")") {
            wrong.push(format!("{name} shows Ben what is Ana's: {shown}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_query_that_takes_a_person_is_tried() {
    let tried = QUERIES.iter().map(|(name, _)| *name).chain(OF_THE_PROGRAM.iter().copied());
    let tried: BTreeSet<String> = tried.map(str::to_owned).collect();
    assert_eq!(in_the_sources(), tried);
}

/// Ana has one of everything that everybody may have, twice some of it; Ben has his own, and knows her advisor's id.
async fn world() -> ReadSide {
    let (anas, bens) = ((ANAS.conversation, "ana"), (BENS.conversation, "ben"));
    let story = opened("this log")
        .registered("ana")
        .registered("ben")
        .advisor("nadia", None, Visibility::Public)
        .started(anas.0, anas.1)
        .started("anas-other", "ana")
        .sent(anas, ANAS.message, &[ANAS.reply])
        .sent(anas, ANAS.gone, &[])
        .message_deleted(anas, ANAS.gone)
        .started(bens.0, bens.1)
        .sent(bens, BENS.message, &[BENS.reply])
        .sent(bens, BENS.gone, &[])
        .message_deleted(bens, BENS.gone);
    let story = private(story, ANAS.advisor, "ana");
    let story = private(story, "other", "ana");
    let story = private(story, BENS.advisor, "ben");
    let assigned = |story: Story, (id, user): (&str, &str)| {
        let event = AdvisorAssigned { advisor_id: ANAS.advisor.into() };
        story.conversation(id, user, ConversationEvent::AdvisorAssigned(event))
    };
    // Changes are told from the moment on at which the read side has caught up.
    let side = empty().await;
    opened("this log").append_to(side.log.as_ref(), side.keys.as_ref()).await;
    let running = side.run().await;
    side.reach_head().await;
    side.tell(&assigned(assigned(story, anas), bens)).await;
    running.stop().await;
    side
}

fn private(story: Story, id: &str, owner: &str) -> Story {
    let created = Created {
        advisor_id: id.into(),
        owner_id: Some(owner.into()),
        visibility: Visibility::Private,
        status: Status::Active,
        document: document(Visibility::Private, &format!("Friend of {owner}")),
    };
    story.advisor_event(id, Some(owner), AdvisorEvent::Created(created))
}

fn text<T: Debug + Send + 'static>(query: Query<T>) -> Query<String> {
    query.map(|answer| format!("{answer:?}"))
}

fn yes(who: &UserId, query: Query<bool>) -> Query<String> {
    let who = who.clone();
    query.map(move |is_so| if is_so { format!("{who} has it") } else { String::new() })
}

/// Ben has one of everything, Ana two of what is counted.
fn counted(query: Query<u64>) -> Query<String> {
    query.map(|count| if count == 1 { String::new() } else { format!("{WORD} has {count}") })
}

/// `module::name` of every public function of this crate that makes a query of a person, or of feeds.
fn in_the_sources() -> BTreeSet<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let source = fs::read_to_string(&path).unwrap();
        for signature in source.split("\npub fn ").skip(1).filter_map(|rest| rest.split_once(" {")) {
            let (signature, _) = signature;
            let (name, rest) = signature.split_once('(').unwrap();
            let Some((takes, gives)) = rest.rsplit_once("->") else { continue };
            if gives.contains("Query<") && (takes.contains("UserId") || takes.contains("feeds")) {
                found.insert(format!("{module}::{name}"));
            }
        }
    }
    found
}
