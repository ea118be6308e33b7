use super::*;
use crate::given::{document, opened, read_side::told, recorded_at, story};
use advisor_events::{
    advisor::{Revised, StatusChanged, VisibilityChanged},
    conversation::{ConversationEvent, MessageSent, RequestedReply},
};

#[test]
fn an_advisor_is_listed_by_what_its_document_says() {
    let rows = story().advisor("nadia", None, Visibility::Public).fold();

    let row = rows.advisors.get("advisor-nadia").unwrap();
    assert_eq!((row.name.as_str(), row.first_name.as_str(), row.title.as_str()), ("Nadia Okafor", "Nadia", "Coach"));
    assert!(row.document.contains("\"unknown\":[1,\"two\"]"), "{}", row.document);
}

#[test]
fn a_revision_replaces_the_document_and_says_where_it_stands() {
    let revised = Revised { document: document(Visibility::Public, "Nadia O.") };
    let status = StatusChanged { status: Status::Archived };
    let rows = story()
        .advisor("nadia", None, Visibility::Public)
        .advisor_event("nadia", None, AdvisorEvent::Revised(revised))
        .advisor_event("nadia", None, AdvisorEvent::StatusChanged(status))
        .fold();

    let row = rows.advisors.get("advisor-nadia").unwrap();
    assert_eq!((row.name.as_str(), row.revision, row.status), ("Nadia O.", 1, Status::Archived));
    assert_eq!((row.created_position, row.position, row.updated_at), (Position(1), Position(3), recorded_at(3)));
}

#[test]
fn a_private_advisor_concerns_its_owner_and_a_public_one_everybody() {
    let public = VisibilityChanged { visibility: Visibility::Public, document: document(Visibility::Public, "Nadia") };
    let private = story().advisor("mine", Some("ana"), Visibility::Private);
    let published = private.clone().advisor_event("mine", Some("ana"), AdvisorEvent::VisibilityChanged(public)).fold();
    let private = private.fold();

    let feed = |rows: &Rows| rows.advisors.get("advisor-mine").unwrap().concern().unwrap().feed;
    assert_eq!((feed(&private).as_str(), feed(&published).as_str()), ("ana", PUBLIC));
    assert_eq!(published.advisors.get("advisor-mine").unwrap().owner_id, Some("ana".into()));
}

#[test]
fn an_erased_document_is_an_empty_one() {
    let created = Created {
        advisor_id: "mine".into(),
        owner_id: Some("ana".into()),
        visibility: Visibility::Private,
        status: Status::Active,
        document: Document::Private(advisor_events::Personal::Erased),
    };
    let rows = story().advisor_event("mine", Some("ana"), AdvisorEvent::Created(created)).fold();

    let row = rows.advisors.get("advisor-mine").unwrap();
    assert_eq!((row.name.as_str(), row.document.as_str()), ("", "{}"));
}

#[tokio::test]
async fn everybody_sees_public_advisors_and_owners_their_own() {
    let archived = AdvisorEvent::StatusChanged(StatusChanged { status: Status::Archived });
    let story = opened("this log")
        .advisor("old", None, Visibility::Public)
        .advisor("mine", Some("ana"), Visibility::Private)
        .advisor("young", Some("ben"), Visibility::Public)
        .advisor("gone", None, Visibility::Public)
        .advisor_event("gone", None, archived);
    let (side, _) = told(&story).await;
    let (ana, ben) = (UserId::from("ana"), UserId::from("ben"));

    assert_eq!(ids(&side.read(visible_to(None)).await), ["old", "young"]);
    assert_eq!(ids(&side.read(visible_to(Some(&ana))).await), ["old", "mine", "young"]);
    assert_eq!(side.read(names(Some(&ana))).await.len(), 3);
    assert!(side.read(by_id(Some(&ana), &"mine".into())).await.is_some());
    assert!(side.read(by_id(Some(&ben), &"mine".into())).await.is_none());
    assert_eq!(side.read(by_id(None, &"gone".into())).await.unwrap().status, Status::Archived);
    let all = ["young", "mine", "none", "gone", "old"].map(AdvisorId::from);
    assert_eq!(ids(&side.read(by_ids(Some(&ben), &all)).await), ["old", "young", "gone"]);
    assert!(side.read(by_ids(Some(&ben), &[])).await.is_empty());
}

#[tokio::test]
async fn a_conversation_names_the_advisors_of_its_messages_and_replies() {
    let at = ("c", "ana");
    let story = opened("this log")
        .advisor("nadia", None, Visibility::Public)
        .advisor("other", None, Visibility::Public)
        .started("c", "ana")
        .sent(at, "m", &["r", "s"])
        .completed(at, "r", "an answer");
    let (side, _) = told(&story).await;

    assert_eq!(ids(&side.read(of_conversation(&"ana".into(), &"c".into())).await), ["nadia"]);
    assert!(side.read(of_conversation(&"ben".into(), &"c".into())).await.is_empty());
}

#[tokio::test]
async fn every_advisor_who_has_written_in_a_conversation_is_found_however_many_there_are() {
    let at = ("c", "ana");
    let writers = ["zoe", "ada", "ben", "mia"];
    let story = writers.iter().fold(opened("this log").started("c", "ana"), |story, writer| {
        let replies = (0..3).map(|n| format!("{writer}-{n}")).collect::<Vec<_>>();
        let sent = MessageSent {
            message_id: format!("to-{writer}").as_str().into(),
            content: "Hello".to_owned().into(),
            content_json: None,
            mentions: Vec::new(),
            replies: replies
                .iter()
                .map(|reply| RequestedReply { reply_id: reply.as_str().into(), advisor_id: (*writer).into() })
                .collect(),
        };
        let story = story.advisor(writer, None, Visibility::Public);
        let story = story.conversation("c", "ana", ConversationEvent::MessageSent(sent));
        replies.iter().fold(story, |story, reply| story.completed(at, reply, "an answer"))
    });
    let (side, _) = told(&story).await;

    assert_eq!(ids(&side.read(of_conversation(&"ana".into(), &"c".into())).await), writers);
}

#[tokio::test]
async fn an_advisor_comes_back_as_it_was_stored() {
    let story = opened("this log").advisor("mine", Some("ana"), Visibility::Private);
    let (side, _) = told(&story).await;

    let rows = story.fold_with_stride(3);
    let stored = side.read(by_id(Some(&"ana".into()), &"mine".into())).await;
    assert_eq!(stored.as_ref(), rows.advisors.get("advisor-mine"));
}

fn ids(rows: &[AdvisorRow]) -> Vec<&str> {
    rows.iter().map(|row| row.id.as_str()).collect()
}
