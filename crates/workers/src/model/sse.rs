//! The bytes of a server-sent event stream as the data of its events, within limits.
//!
//! Only `data` is of interest. Bytes are gathered into lines before they are read as text, so that a
//! character may be split between two chunks.

use super::ModelError;
use std::collections::VecDeque;

/// Gathers bytes into events.
#[derive(Debug)]
pub(crate) struct Decoder {
    shape: Shape,
    line_bytes_max: usize,
    /// Bytes of the line that has not ended yet.
    line: Vec<u8>,
    /// Data lines of the event that has not ended yet.
    data: Option<String>,
    events: VecDeque<String>,
}

/// What a body is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Server-sent events.
    Events,
    /// One JSON text: what a server sends that does not stream.
    Whole,
}

impl Decoder {
    pub(crate) fn new(shape: Shape, line_bytes_max: usize) -> Self {
        Self { shape, line_bytes_max, line: Vec::new(), data: None, events: VecDeque::new() }
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<(), ModelError> {
        if self.shape == Shape::Events {
            while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
                let (head, tail) = bytes.split_at(end);
                self.gather(head)?;
                self.end_line()?;
                bytes = tail.get(1..).unwrap_or_default();
            }
        }
        self.gather(bytes)
    }

    /// The data of the next whole event.
    pub(crate) fn next(&mut self) -> Option<String> {
        self.events.pop_front()
    }

    /// The body has ended: what is left is an event too, since some servers leave out the last line's end.
    pub(crate) fn end(&mut self) -> Result<(), ModelError> {
        match self.shape {
            Shape::Events => {
                self.end_line()?;
                self.end_event();
            }
            Shape::Whole => {
                let text = text(std::mem::take(&mut self.line))?;
                self.events.push_back(text);
            }
        }
        Ok(())
    }

    fn gather(&mut self, bytes: &[u8]) -> Result<(), ModelError> {
        let gathered = self.line.len() + self.data.as_ref().map_or(0, String::len);
        if gathered + bytes.len() > self.line_bytes_max {
            return Err(ModelError::Broken("a line is too long"));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), ModelError> {
        let line = text(std::mem::take(&mut self.line))?;
        let line = line.strip_suffix('\r').unwrap_or(&line);
        if line.is_empty() {
            self.end_event();
        } else if let Some(value) = line.strip_prefix("data:") {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            }
        }
        Ok(())
    }

    fn end_event(&mut self) {
        self.events.extend(self.data.take());
    }
}

fn text(bytes: Vec<u8>) -> Result<String, ModelError> {
    String::from_utf8(bytes).map_err(|_| ModelError::Broken("it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn data_is_told_from_comments_and_other_fields_and_joined() {
        let mut decoder = Decoder::new(Shape::Events, 1_000);
        decoder.push(b": waiting\r\n\r\nevent: x\r\nid: 1\ndata: one\ndata:two\n\ndata: three").unwrap();
        decoder.end().unwrap();
        assert_eq!(drain(&mut decoder), ["one\ntwo", "three"]);
    }

    #[test]
    fn a_line_above_the_limit_is_refused_also_when_it_never_ends() {
        let mut decoder = Decoder::new(Shape::Events, 10);
        decoder.push(b"data: 123").unwrap();
        assert_eq!(decoder.push(b"45"), Err(ModelError::Broken("a line is too long")));
    }

    #[test]
    fn many_short_data_lines_without_an_end_are_refused_too() {
        let mut decoder = Decoder::new(Shape::Events, 100);
        let refused = (0..100).find_map(|_| decoder.push(b"data: 1234567\n").err());
        assert_eq!(refused, Some(ModelError::Broken("a line is too long")));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let mut decoder = Decoder::new(Shape::Events, 100);
        assert_eq!(decoder.push(b"data: \xff\xfe\n"), Err(ModelError::Broken("it is not UTF-8")));
    }

    proptest! {
        #[test]
        fn where_the_chunks_are_cut_changes_nothing(
            texts in prop::collection::vec("[^\r\n]{1,20}", 1..5),
            cuts in prop::collection::vec(1_usize..7, 1..60),
        ) {
            let body: Vec<u8> = texts.iter().flat_map(|text| format!("data: {text}\r\n\r\n").into_bytes()).collect();
            let mut decoder = Decoder::new(Shape::Events, 10_000);
            let mut rest = body.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                decoder.push(head).unwrap();
                rest = tail;
            }
            decoder.end().unwrap();
            prop_assert_eq!(drain(&mut decoder), texts);
        }
    }

    fn drain(decoder: &mut Decoder) -> Vec<String> {
        std::iter::from_fn(|| decoder.next()).collect()
    }
}
