//! Every fact of the system as plain data: its wire name, its JSON, its sealed fields.
//!
//! Nothing here does I/O, reads a clock or decides. Modules in reading order: the identities, the
//! facts of each aggregate, what travels beside them ([`metadata`]), how they become bytes and come
//! back ([`codec`]), and how a person's words are sealed ([`personal`], [`keys`]).

pub mod advisor;
pub mod codec;
pub mod conversation;
pub mod ids;
pub mod keys;
pub mod log;
pub mod metadata;
pub mod personal;
pub mod timestamp;
pub mod user;

pub use codec::{DecodeError, EncodeError, Encoded, Event};
pub use ids::{AdvisorId, ConversationId, MessageId, ReplyId, StreamName, UserId};
pub use keys::{KeyError, KeyStore, PersonKey};
pub use metadata::{Actor, Metadata};
pub use personal::{Opened, Personal, PersonalField, SealContext};
pub use timestamp::{Clock, Timestamp};
