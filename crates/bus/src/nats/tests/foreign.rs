//! A client that we did not write, NATS's own for Python: it understands what we say, and what it says is not believed.

use super::{KEY, bell, connected, say};
use crate::{
    contract::{changes, heard, server::NatsServer},
    nats::NatsOptions,
    port::{Bus, Changes, Topic},
};
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

/// Says what it hears on `advisor.>`; after the first message it speaks itself.
const CLIENT: &str = r#"
import asyncio, json, sys, nats

async def main():
    client = await nats.connect(sys.argv[1], user="advisor", password="a-pass word", max_reconnect_attempts=0)
    subscription = await client.subscribe("advisor.>")
    await client.flush()
    print("listening", flush=True)
    async def next_on(subject):
        message = await subscription.next_msg(timeout=20)
        return message if message.subject == subject else await next_on(subject)
    heard = await next_on("advisor.changes")
    print(json.dumps(json.loads(heard.data)), flush=True)
    say = client.publish
    await say("advisor.changes", b"")
    await say("advisor.changes", b"\xff\x00 garbage")
    await say("advisor.changes", b'{"generation": 1, "from": 0, "to": 9007199254740991, "changes": []}')
    await say("advisor.changes", heard.data)
    await say("advisor.changes", heard.data.replace(b'"to":1', b'"to":7'), headers=heard.headers)
    await say("advisor.changes", heard.data, headers={"Advisor-Proof": "*" * 43})
    await say("advisor.changes", b"x" * 900000, headers=heard.headers)
    delta = {"replyId": "r1", "conversationId": "c1", "attempt": 1, "offset": 0, "text": "forged"}
    await say("advisor.replies.r1", json.dumps(delta).encode())
    await say("advisor.replies.r1", heard.data, headers=heard.headers)
    await say("advisor.end", b"")
    await next_on("advisor.end")
    print("spoken", flush=True)
    await client.close()

asyncio.run(main())
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_understand_us_and_what_they_say_is_nothing_but_a_look() {
    let server = NatsServer::start();
    let bus = connected(NatsOptions::new(server.url(), KEY)).await;
    let mut bell = bell(&bus).await;
    let mut reply = bus.listen(&Topic::Reply("r1".into())).await.unwrap();
    let mut client = Command::new(python())
        .args(["-c", CLIENT, &format!("nats://127.0.0.1:{}", server.port())])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut line = async || lines.next_line().await.unwrap().unwrap_or_default();

    assert_eq!(line().await, "listening");
    say(&bus, 1).await;
    assert_eq!(heard(&mut bell).await, Some(changes(1)));
    let understood: Changes = serde_json::from_str(&line().await).unwrap();
    assert_eq!((understood.from, understood.to, understood.changes[0].key.as_str()), (0, 1, "1"));

    assert_eq!(line().await, "spoken");
    for _ in 0..7 {
        assert_eq!(heard(&mut bell).await, None);
    }
    for _ in 0..2 {
        assert_eq!(heard(&mut reply).await, None);
    }
    say(&bus, 2).await;
    assert_eq!(heard(&mut bell).await, Some(changes(2)));
}

fn python() -> String {
    #[expect(clippy::disallowed_methods, reason = "where a test finds its tools is told it by the environment")]
    let python = std::env::var("ADVISOR_TEST_PYTHON");
    python.expect("ADVISOR_TEST_PYTHON is not set: run the tests by `ops/check`, which installs what they need")
}
