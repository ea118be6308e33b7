//! How requests become advisor documents and ids: pure functions.

use crate::extract::json::parse;
use advisor_events::{AdvisorId, advisor::Status, ids::derived_id};
use serde_json::{Map, Value, json};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Schema version of documents that are made from the form.
const FORM_SCHEMA_VERSION: &str = "1.0.0";
/// Most characters of the words in an id that is made here.
pub const SLUG_CHARS_MAX: usize = 80;
/// Most characters of an id that a document brings.
pub const ID_CHARS_MAX: usize = 128;

/// An advisor that somebody wants to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The id that its document asks for.
    pub(crate) id: Option<AdvisorId>,
    /// What an id is made of, where none is asked for.
    pub(crate) words: String,
    /// Its first status.
    pub(crate) status: Status,
    /// Its document.
    pub(crate) document: Value,
}

/// What the web front end's form sends, once its types are right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    /// First name.
    pub(crate) first_name: Option<String>,
    /// Last name.
    pub(crate) last_name: Option<String>,
    /// Title.
    pub(crate) title: Option<String>,
    /// The rest of the document as a JSON text.
    pub(crate) json_configuration: Option<String>,
    /// URL of a picture.
    pub(crate) image_url: Option<String>,
}

/// Why a form makes no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormError {
    /// Fields that must be there are absent or empty.
    #[error("Missing required fields: {}", .0.join(", "))]
    Missing(Vec<&'static str>),
    /// The configuration is no JSON object, or its persona does not have the shape of one.
    #[error("Invalid JSON configuration")]
    InvalidConfiguration,
}

impl Form {
    /// The document of the advisor that this form describes: all of the configuration, with names and picture in it.
    pub(crate) fn document(&self) -> Result<Value, FormError> {
        let [first_name, last_name, title, configuration] = self.required()?;
        let Ok(Value::Object(mut document)) = parse(configuration.as_bytes()) else {
            return Err(FormError::InvalidConfiguration);
        };
        let mut persona = Map::new();
        persona.insert("name".into(), json!(format!("{first_name} {last_name}")));
        persona.insert("title".into(), json!(title));
        match document.remove("persona") {
            None | Some(Value::Null) => {}
            Some(Value::Object(configured)) => persona.extend(configured),
            Some(_) => return Err(FormError::InvalidConfiguration),
        }
        if ["name", "title"].iter().any(|name| !persona.get(*name).is_some_and(is_said)) {
            return Err(FormError::InvalidConfiguration);
        }
        if let Some(image) = self.image_url.as_deref().filter(|image| !image.is_empty()) {
            document.insert("imageUrl".into(), json!(image));
        }
        document.insert("persona".into(), Value::Object(persona));
        document.insert("advisorSchemaVersion".into(), json!(FORM_SCHEMA_VERSION));
        document.insert("firstName".into(), json!(first_name));
        document.insert("lastName".into(), json!(last_name));
        Ok(Value::Object(document))
    }

    /// The words that the advisor's id is made of.
    pub(crate) fn names(&self) -> String {
        [&self.first_name, &self.last_name].into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    fn required(&self) -> Result<[&str; 4], FormError> {
        let fields = [
            ("firstName", &self.first_name),
            ("lastName", &self.last_name),
            ("title", &self.title),
            ("jsonConfiguration", &self.json_configuration),
        ];
        let is_missing = |text: &Option<String>| text.as_deref().is_none_or(|text| text.trim().is_empty());
        let missing: Vec<_> = fields.iter().filter(|(_, text)| is_missing(text)).map(|(name, _)| *name).collect();
        if missing.is_empty() {
            Ok(fields.map(|(_, text)| text.as_deref().unwrap_or_default()))
        } else {
            Err(FormError::Missing(missing))
        }
    }
}

/// The pointers to what a whole document lacks, each with a sentence. Only name and title are required.
pub(crate) fn faults(document: &Value) -> Vec<(&'static str, &'static str)> {
    let Some(object) = document.as_object() else {
        return vec![("", "must be a JSON object")];
    };
    let persona = object.get("persona");
    let mut faults = Vec::new();
    if !persona.is_some_and(Value::is_object) {
        faults.push(("/persona", "must be an object with a name and a title"));
    } else if !persona.and_then(|persona| persona.get("name")).is_some_and(is_said) {
        faults.push(("/persona/name", "must be a text that is not empty"));
    } else if !persona.and_then(|persona| persona.get("title")).is_some_and(is_said) {
        faults.push(("/persona/title", "must be a text that is not empty"));
    }
    if object.get("status").is_some_and(|status| !is_status(status)) {
        faults.push(("/status", "must be active, inactive or archived"));
    }
    if object.get("advisorId").is_some_and(|id| wanted_id_of(id).is_none()) {
        faults.push(("/advisorId", "must be a text of 1 to 128 characters with a letter or a digit in it"));
    }
    faults
}

/// What a whole document, in which [`faults`] has found none, asks for.
pub(crate) fn of_document(document: Value) -> Wanted {
    let name = document.get("persona").and_then(|persona| persona.get("name")).and_then(Value::as_str);
    let words = name.unwrap_or_default().to_owned();
    Wanted { id: wanted_id(&document), words, status: status(&document), document }
}

/// The status that a document gives its advisor.
fn status(document: &Value) -> Status {
    match document.get("status").and_then(Value::as_str) {
        Some("inactive") => Status::Inactive,
        Some("archived") => Status::Archived,
        Some(_) | None => Status::Active,
    }
}

/// The id that a document asks for, as a slug.
fn wanted_id(document: &Value) -> Option<AdvisorId> {
    document.get("advisorId").and_then(wanted_id_of)
}

/// The document with the id that its advisor really has.
pub(crate) fn with_id(mut document: Value, id: &AdvisorId) -> Value {
    if let Some(object) = document.as_object_mut() {
        object.insert("advisorId".into(), json!(id));
    }
    document
}

/// `<words>-<13 digits>`, the same for the same command.
pub(crate) fn new_id(words: &str, actor: &str, command_id: &str) -> AdvisorId {
    let slug = slug(words);
    let digits = derived_id(actor, command_id, "advisor").as_u128() % 9_000_000_000_000 + 1_000_000_000_000;
    AdvisorId(format!("{}-{digits}", if slug.is_empty() { "advisor" } else { &slug }))
}

fn wanted_id_of(id: &Value) -> Option<AdvisorId> {
    let text = id.as_str().filter(|text| text.chars().count() <= ID_CHARS_MAX)?;
    let slug = folded(text, |c| matches!(c, '_' | '.'));
    (!slug.is_empty()).then_some(AdvisorId(slug))
}

/// Lower-case ASCII letters and digits, with hyphens for all else.
fn slug(words: &str) -> String {
    let slug: String = folded(words, |_| false).chars().take(SLUG_CHARS_MAX).collect();
    slug.trim_end_matches('-').to_owned()
}

fn folded(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut slug = String::new();
    for c in text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase) {
        match c {
            'a'..='z' | '0'..='9' => slug.push(c),
            c if keep(c) => slug.push(c),
            c => match ascii_of(c) {
                Some(letters) => slug.push_str(letters),
                None if slug.ends_with('-') || slug.is_empty() => {}
                None => slug.push('-'),
            },
        }
    }
    slug.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

/// Latin letters that have no canonical decomposition, and marks that stand inside a word.
fn ascii_of(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'ħ' => "h",
        'ı' => "i",
        'ł' => "l",
        'ŋ' => "ng",
        'ŧ' => "t",
        'þ' => "th",
        '\'' | '\u{2019}' => "",
        _ => return None,
    })
}

fn is_said(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

fn is_status(value: &Value) -> bool {
    matches!(value.as_str(), Some("active" | "inactive" | "archived"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_makes_a_document_with_everything_of_its_configuration() {
        let form = Form {
            image_url: Some("https://example.com/i.png".into()),
            ..form(r#"{"persona": {"bio": "b"}, "modelHint": "m", "components": [], "ours": {"kept": true}}"#)
        };
        assert_eq!(
            form.document().unwrap(),
            json!({
                "advisorSchemaVersion": "1.0.0", "firstName": "Ben", "lastName": "Okafor",
                "imageUrl": "https://example.com/i.png",
                "persona": {"name": "Ben Okafor", "title": "Coach", "bio": "b"},
                "modelHint": "m", "components": [], "ours": {"kept": true}
            })
        );
    }

    #[test]
    fn the_name_and_title_of_a_configured_persona_win() {
        let document = form(r#"{"persona": {"name": "Dr. Ben", "title": "Doctor"}}"#).document().unwrap();
        assert_eq!(document["persona"], json!({"name": "Dr. Ben", "title": "Doctor"}));
        assert_eq!(document["firstName"], json!("Ben"));
    }

    #[test]
    fn a_form_names_the_fields_that_it_lacks() {
        let error = Form { title: Some(" ".into()), ..Form::default() }.document().unwrap_err();
        assert_eq!(error.to_string(), "Missing required fields: firstName, lastName, title, jsonConfiguration");
        let error = Form { last_name: None, ..form("{}") }.document().unwrap_err();
        assert_eq!(error.to_string(), "Missing required fields: lastName");
    }

    #[test]
    fn a_configuration_that_is_no_object_is_refused() {
        for configuration in ["[]", "1", "null", "{", "\"text\"", r#"{"persona": 1}"#, r#"{"persona": {"name": 1}}"#] {
            assert_eq!(form(configuration).document(), Err(FormError::InvalidConfiguration), "{configuration}");
        }
    }

    #[test]
    fn a_document_needs_a_name_and_a_title_only() {
        assert!(faults(&json!({"persona": {"name": "B", "title": "C"}, "any": "thing"})).is_empty());
        for (document, pointer) in [
            (json!([]), ""),
            (json!({}), "/persona"),
            (json!({"persona": {"title": "C"}}), "/persona/name"),
            (json!({"persona": {"name": "B", "title": " "}}), "/persona/title"),
            (json!({"persona": {"name": "B", "title": "C"}, "status": "new"}), "/status"),
            (json!({"persona": {"name": "B", "title": "C"}, "advisorId": "?!"}), "/advisorId"),
        ] {
            assert_eq!(faults(&document).into_iter().map(|(pointer, _)| pointer).collect::<Vec<_>>(), [pointer]);
        }
    }

    #[test]
    fn an_id_is_folded_to_ascii_and_the_same_for_the_same_command() {
        let id = new_id("José Åsa  Łuß-O'Neil", "user:a", "key");
        let (words, digits) = id.0.rsplit_once('-').unwrap();
        assert_eq!(words, "jose-asa-luss-oneil");
        assert!(digits.len() == 13 && digits.bytes().all(|digit| digit.is_ascii_digit()), "{digits}");
        assert_eq!(id, new_id("José Åsa Łuß-O'Neil", "user:a", "key"));
        assert_ne!(id, new_id("José Åsa Łuß-O'Neil", "user:b", "key"));
        assert!(new_id("李雷", "user:a", "key").0.starts_with("advisor-"));
        assert!(new_id(&"long ".repeat(99), "user:a", "key").0.len() < 100);
    }

    #[test]
    fn an_id_that_a_document_asks_for_is_kept_as_a_slug() {
        assert_eq!(wanted_id(&json!({"advisorId": "ben-okafor-v1.2_x"})), Some("ben-okafor-v1.2_x".into()));
        assert_eq!(wanted_id(&json!({"advisorId": "Bén Okafor!"})), Some("ben-okafor".into()));
        assert_eq!(wanted_id(&json!({"advisorId": "x".repeat(129)})), None);
        assert_eq!(wanted_id(&json!({})), None);
    }

    fn form(configuration: &str) -> Form {
        Form {
            first_name: Some("Ben".into()),
            last_name: Some("Okafor".into()),
            title: Some("Coach".into()),
            json_configuration: Some(configuration.into()),
            image_url: None,
        }
    }
}
