//! Many people use the system at once, each with words that nobody else may ever hear.
//!
//! A word of 128 bits stands in everything that a person can enter. Every byte that any client receives and every
//! prompt that the model is sent is searched for the words of others; and the server's log, at its most talkative,
//! for all of them.

mod ears;
mod person;

use super::tokens::Issuer;
use crate::{faulty_model::FaultyModel, server::Server};
use futures::future::join_all;
use person::{Board, Person};
use serde_json::json;
use tokio_util::sync::CancellationToken;

const PEOPLE: usize = 8;
const ROUNDS: usize = 3;
const MODEL_KEY: &str = "sk-kanarie-7391-strangers";

#[tokio::test]
async fn nobody_hears_a_word_of_anybody_else_and_no_log_holds_one() {
    let (model, issuer) = (FaultyModel::start(), Issuer::new("https://clerk.example.com"));
    let pem = issuer.public_pem();
    let mut server = Server::start_with(&[
        ("RUST_LOG", "trace"),
        ("CLERK_ISSUER", issuer.name.as_str()),
        ("CLERK_JWT_KEY", pem.as_str()),
        ("ADVISOR_MODEL_URL", model.url.as_str()),
        ("ADVISOR_MODEL_API_KEY", MODEL_KEY),
        ("ADVISOR_STREAMS_PER_PERSON_MAX", "100"),
    ]);
    let people: Vec<Person> = (0..PEOPLE).map(|number| Person::new(number, &server, &issuer)).collect();
    let (board, done) = (Board::default(), CancellationToken::new());
    let acting = async {
        join_all(people.iter().map(|person| person.live(&board, &model, ROUNDS))).await;
        done.cancel();
    };
    let listening = join_all(people.iter().map(|person| person.listen(&done)));
    futures::join!(acting, listening);
    server.terminate();

    for person in &people {
        let heard = person.heard();
        for other in people.iter().filter(|other| other.number != person.number) {
            let line = heard.lines().find(|line| other.words().iter().any(|word| line.contains(*word)));
            assert!(line.is_none(), "{} hears {}: {line:?}", person.number, other.number);
        }
        let own = person.words().map(|word| heard.matches(word).count());
        assert!(own.iter().all(|count| *count > 50), "{} hears itself {own:?} times", person.number);
    }
    check_prompts(&model, &people);
    check_log(&server, &people);
}

/// A prompt holds the words of one person, and no secret (LLM01, LLM07).
fn check_prompts(model: &FaultyModel, people: &[Person]) {
    let prompts = model.requests();
    assert!(prompts.len() >= PEOPLE * ROUNDS * 3, "{}", prompts.len());
    for prompt in prompts {
        let text = prompt.to_string();
        let within: Vec<usize> = people
            .iter()
            .filter(|person| person.words().iter().any(|word| text.contains(*word)))
            .map(|person| person.number)
            .collect();
        assert_eq!(within.len(), 1, "the words of {within:?} in {text}");
        let secrets = [MODEL_KEY, "Bearer", "eyJ", "sess_"];
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "{text}");
        let ids = people.iter().map(|person| &person.id);
        assert!(ids.clone().all(|id| !text.contains(&format!("\"{id}\""))), "{text}");
        assert!(prompt["tools"].is_null() && prompt["functions"].is_null(), "{text}");
    }
}

/// Ids stand in the log, words, tokens and keys don't.
fn check_log(server: &Server, people: &[Person]) {
    let log = server.log_text();
    assert!(log.len() > 1_000_000 && log.contains("TRACE"), "tracing was on: {} bytes", log.len());
    let master = std::fs::read(server.data_dir().join("master.key")).unwrap();
    let master = String::from_utf8_lossy(&master).trim().to_owned();
    let mut secrets = vec![("the model's key", MODEL_KEY.to_owned()), ("the master key", master)];
    for person in people {
        let token = &person.client.token;
        let (signed, signature) = token.rsplit_once('.').unwrap();
        secrets.extend([
            ("a word", person.word.clone()),
            ("a token", token.clone()),
            ("a token's claims", signed.rsplit_once('.').unwrap().1.to_owned()),
            ("a token's signature", signature.to_owned()),
        ]);
    }
    for (what, secret) in secrets {
        assert!(secret.len() > 15, "{what} is no secret");
        let line = log.lines().find(|line| line.contains(&secret));
        assert!(line.is_none(), "{what} stands in the log: {}", json!(line));
    }
}
