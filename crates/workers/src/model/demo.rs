//! The model of a server that has none: it answers in the advisor's name, and says what it is.
//!
//! Deterministic: the same request gives the same words, one every `delay`. It counts no tokens, so
//! that whoever asked it estimates them.

use super::{Model, ModelError, ModelEvent, ModelRequest, ModelStream, Task};
use async_trait::async_trait;
use futures::{StreamExt, stream};
use std::time::Duration;

/// The demo model's name in events and answers.
pub const DEMO_MODEL: &str = "demo";

/// Characters of the message that the answer quotes.
const QUOTE_CHARS_MAX: usize = 80;

/// Answers without a provider.
#[derive(Clone, Copy, Debug)]
pub struct DemoModel {
    /// Time between two words.
    pub delay: Duration,
}

#[async_trait]
impl Model for DemoModel {
    fn name(&self) -> &str {
        DEMO_MODEL
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let delay = self.delay;
        let words: Vec<String> = answer(&request.task).split_inclusive(' ').map(str::to_owned).collect();
        let text = stream::iter(words).then(move |word| async move {
            tokio::time::sleep(delay).await;
            Ok(ModelEvent::Text(word))
        });
        let end = stream::iter([Ok(ModelEvent::Finished { reason: "stop".to_owned() })]);
        Ok(text.chain(end).boxed())
    }
}

fn answer(task: &Task) -> String {
    match task {
        Task::Reply { advisor, title, message } => {
            let introduction = if title.is_empty() { advisor.clone() } else { format!("{advisor}, {title}") };
            let quote = quote(message);
            format!(
                "This is {introduction}. You wrote: “{quote}” I am answering in demo mode, because this server has no \
                 language model configured. Once it has one, I will reply here in my own words. — {advisor}"
            )
        }
        Task::Title { message } => message.split_whitespace().take(5).collect::<Vec<_>>().join(" "),
    }
}

fn quote(message: &str) -> String {
    let one_line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut quote: String = one_line.chars().take(QUOTE_CHARS_MAX).collect();
    if quote.len() < one_line.len() {
        quote.push('…');
    }
    quote
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn the_demo_says_its_name_word_by_word_over_time_and_twice_the_same() {
        let model = DemoModel { delay: Duration::from_millis(30) };
        let began = Instant::now();
        let first = all(&model).await;
        let words = first.len() - 1;
        assert!(words > 20);
        assert_eq!(began.elapsed(), Duration::from_millis(30) * u32::try_from(words).unwrap());
        assert_eq!(first.last(), Some(&ModelEvent::Finished { reason: "stop".to_owned() }));

        let text = text(&first);
        assert!(text.starts_with("This is Ada Byron, Analyst. You wrote: “How are you?”"), "{text}");
        assert!(text.contains("demo mode"));
        assert_eq!(first, all(&model).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_message_is_quoted_in_part() {
        let model = DemoModel { delay: Duration::ZERO };
        let message = "word ".repeat(1_000);
        let request = request(Task::Reply { advisor: "Ada".into(), title: String::new(), message });
        let events: Vec<_> = model.stream(request).await.unwrap().map(Result::unwrap).collect().await;
        assert!(text(&events).len() < 400);
    }

    async fn all(model: &DemoModel) -> Vec<ModelEvent> {
        let task =
            Task::Reply { advisor: "Ada Byron".into(), title: "Analyst".into(), message: "How\nare you?".into() };
        model.stream(request(task)).await.unwrap().map(Result::unwrap).collect().await
    }

    fn request(task: Task) -> ModelRequest {
        ModelRequest { body: bytes::Bytes::new(), task }
    }

    fn text(events: &[ModelEvent]) -> String {
        events
            .iter()
            .filter_map(|event| match event {
                ModelEvent::Text(text) => Some(text.as_str()),
                ModelEvent::Usage(_) | ModelEvent::Finished { .. } => None,
            })
            .collect()
    }
}
