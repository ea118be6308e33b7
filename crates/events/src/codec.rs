//! Events as bytes and back.
//!
//! An event stands in the log as its wire name (`conversation.message_sent.v1`), its data and its
//! metadata, the latter two as JSON. Decoding verifies the checksum and leaves personal fields
//! sealed; [`Event::open`] opens them.

use crate::{
    Metadata, SealContext,
    advisor::AdvisorEvent,
    conversation::ConversationEvent,
    keys::PersonKey,
    log::LogEvent,
    personal::{Opened, SealError},
    user::UserEvent,
};
use data_encoding::HEXLOWER;
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IntoDeserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// Anything that can happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// To the log itself.
    Log(LogEvent),
    /// To a person's account.
    User(UserEvent),
    /// To an advisor.
    Advisor(AdvisorEvent),
    /// In a conversation.
    Conversation(ConversationEvent),
}

impl From<LogEvent> for Event {
    fn from(event: LogEvent) -> Self {
        Self::Log(event)
    }
}
impl From<UserEvent> for Event {
    fn from(event: UserEvent) -> Self {
        Self::User(event)
    }
}
impl From<AdvisorEvent> for Event {
    fn from(event: AdvisorEvent) -> Self {
        Self::Advisor(event)
    }
}
impl From<ConversationEvent> for Event {
    fn from(event: ConversationEvent) -> Self {
        Self::Conversation(event)
    }
}

/// An event as a log stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Wire name and version.
    pub type_name: String,
    /// The data's JSON.
    pub data: Vec<u8>,
    /// The metadata's JSON.
    pub metadata: Vec<u8>,
}

/// Why an event can't be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// It has personal fields, and nobody gave a key or (in the metadata) said whose it is.
    #[error("the event holds personal fields and has no subject")]
    NoKey,
    /// A field could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// It is no JSON.
    #[error("the event is no JSON")]
    Json(#[source] serde_json::Error),
}

/// Why bytes of the log are no event.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// This build does not know the type or its version: a newer build wrote it.
    #[error("unknown event type {0}")]
    UnknownType(String),
    /// The data is not what was written.
    #[error("the checksum of the data is wrong")]
    Checksum,
    /// The data or the metadata does not have the shape of its type.
    #[error("the event does not have the shape of its type")]
    Shape(#[source] serde_json::Error),
}

impl Event {
    /// The fields to seal and to open.
    pub fn personal_fields(&mut self) -> Vec<&mut dyn crate::PersonalField> {
        match self {
            Self::Log(_) => Vec::new(),
            Self::User(event) => event.personal_fields(),
            Self::Advisor(event) => event.personal_fields(),
            Self::Conversation(event) => event.personal_fields(),
        }
    }

    /// Seals the personal fields under `key` and writes the event; the checksum is set in `metadata`.
    pub fn encode(
        mut self,
        key: Option<&PersonKey>,
        context: SealContext<'_>,
        metadata: &Metadata,
    ) -> Result<Encoded, EncodeError> {
        for field in self.personal_fields() {
            let key = key.filter(|_| metadata.subject.is_some()).ok_or(EncodeError::NoKey)?;
            field.seal(key, context)?;
        }
        let json = match &self {
            Self::Log(event) => serde_json::to_vec(event),
            Self::User(event) => serde_json::to_vec(event),
            Self::Advisor(event) => serde_json::to_vec(event),
            Self::Conversation(event) => serde_json::to_vec(event),
        }
        .map_err(EncodeError::Json)?;
        let wire: Wire<'_> = serde_json::from_slice(&json).map_err(EncodeError::Json)?;
        let data = wire.data.get().as_bytes().to_vec();
        let digits = checksum(&data).map(char::from);
        let metadata = Metadata { checksum: digits.iter().collect(), ..metadata.clone() };
        let metadata = serde_json::to_vec(&metadata).map_err(EncodeError::Json)?;
        Ok(Encoded { type_name: wire.type_name.to_owned(), data, metadata })
    }

    /// Reads an event and its metadata; personal fields stay sealed.
    pub fn decode(type_name: &str, data: &[u8], metadata: &[u8]) -> Result<(Self, Metadata), DecodeError> {
        let metadata: Metadata = match serde_json::from_slice(metadata) {
            Ok(metadata) => metadata,
            // What a newer build wrote may have newer metadata too: the type tells that first.
            Err(error) => {
                return Err(match Self::decode_data(type_name, data) {
                    Err(unknown @ DecodeError::UnknownType(_)) => unknown,
                    Ok(_) | Err(DecodeError::Checksum | DecodeError::Shape(_)) => DecodeError::Shape(error),
                });
            }
        };
        if metadata.checksum.as_bytes() != checksum(data) {
            return Err(DecodeError::Checksum);
        }
        Ok((Self::decode_data(type_name, data)?, metadata))
    }

    /// Opens the personal fields; without a key, or where a box does not open, they become erased. Tells which.
    pub fn open(&mut self, key: Option<&PersonKey>, context: SealContext<'_>) -> Opened {
        let fields = self.personal_fields().into_iter();
        fields.fold(Opened::AsMeant, |opened, field| opened.and(field.open(key, context)))
    }

    fn decode_data(type_name: &str, data: &[u8]) -> Result<Self, DecodeError> {
        match type_name.split('.').next() {
            Some("log") => decode_as(type_name, data).map(Self::Log),
            Some("user") => decode_as(type_name, data).map(Self::User),
            Some("advisor") => decode_as(type_name, data).map(Self::Advisor),
            Some("conversation") => decode_as(type_name, data).map(Self::Conversation),
            _ => Err(DecodeError::UnknownType(type_name.to_owned())),
        }
    }
}

/// CRC-32 (IEEE 802.3) as 8 hexadecimal digits: finds every single flipped bit and every burst of 32.
/// Compared on every decode, so it takes no memory of its own.
fn checksum(data: &[u8]) -> [u8; 8] {
    let mut digits = [0; 8];
    HEXLOWER.encode_mut(&crc32fast::hash(data).to_be_bytes(), &mut digits);
    digits
}

/// The JSON that serde writes for an event enum, split without a second look at the data.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "type")]
    type_name: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Unknown names are told from broken data by serde's own list of the enum's variants.
fn decode_as<'de, E: Deserialize<'de>>(type_name: &str, data: &'de [u8]) -> Result<E, DecodeError> {
    let known = std::cell::Cell::new(true);
    E::deserialize(Tagged { type_name, data, known: &known }).map_err(|error| {
        if known.get() { DecodeError::Shape(error) } else { DecodeError::UnknownType(type_name.to_owned()) }
    })
}

/// Gives serde the map `{"type": …, "data": …}` of an adjacently tagged enum without building it.
struct Tagged<'a, 'de> {
    type_name: &'a str,
    data: &'de [u8],
    known: &'a std::cell::Cell<bool>,
}

impl<'de> Deserializer<'de> for Tagged<'_, 'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_map(TaggedMap { tagged: self, next: Next::Type })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

enum Next {
    Type,
    Data,
    End,
}

struct TaggedMap<'a, 'de> {
    tagged: Tagged<'a, 'de>,
    next: Next,
}

impl<'de> MapAccess<'de> for TaggedMap<'_, 'de> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        let key = match self.next {
            Next::Type => "type",
            Next::Data => "data",
            Next::End => return Ok(None),
        };
        seed.deserialize(IntoDeserializer::<Self::Error>::into_deserializer(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Self::Error> {
        match self.next {
            Next::Type => {
                self.next = Next::Data;
                let name: de::value::StrDeserializer<'_, Self::Error> = self.tagged.type_name.into_deserializer();
                seed.deserialize(name).inspect_err(|_| self.tagged.known.set(false))
            }
            Next::Data | Next::End => {
                self.next = Next::End;
                let mut json = serde_json::Deserializer::from_slice(self.tagged.data);
                let value = seed.deserialize(&mut json)?;
                json.end()?;
                Ok(value)
            }
        }
    }
}
