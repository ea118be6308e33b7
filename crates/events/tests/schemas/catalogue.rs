//! What can happen, read from the code: each wire name with its sentence and its JSON Schema.

use crate::samples::Sample;
use advisor_events::{
    Metadata, advisor::AdvisorEvent, conversation::ConversationEvent, log::LogEvent, user::UserEvent,
};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// One kind of event.
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) stream: &'static str,
    pub(crate) sentence: String,
    /// Of the data, as it is written.
    pub(crate) schema: Value,
}

/// A field of an event's data, however deep.
pub(crate) struct Field {
    /// `profile.email`, `replies[].replyId`.
    pub(crate) path: String,
    pub(crate) shape: String,
    /// Whether it stands wherever its object stands.
    pub(crate) always: bool,
    pub(crate) personal: bool,
    pub(crate) meaning: String,
    /// Whether it stands here instead of another.
    pub(crate) alternative: bool,
}

/// Every kind of event, in the order of the code.
pub(crate) fn kinds() -> Vec<Kind> {
    [
        of::<LogEvent>("log"),
        of::<UserEvent>("user-<userId>"),
        of::<AdvisorEvent>("advisor-<advisorId>"),
        of::<ConversationEvent>("conversation-<conversationId>"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(crate) fn metadata_schema() -> Value {
    without_null(schema_of::<Metadata>())
}

impl Kind {
    /// Whether events of this kind stand in such a stream.
    pub(crate) fn has_stream(&self, stream: &str) -> bool {
        match self.stream.split_once('<') {
            Some((prefix, _)) => stream.starts_with(prefix),
            None => stream == self.stream,
        }
    }

    pub(crate) fn fields(&self) -> Vec<Field> {
        fields(&self.schema)
    }
}

/// The fields of a schema, depth first.
pub(crate) fn fields(schema: &Value) -> Vec<Field> {
    let mut found = Vec::new();
    Walk { schema, found: &mut found }.object(schema, "", Place::Alone);
    found
}

/// Whether the JSON has something at `path`.
pub(crate) fn holds(data: &Value, path: &str) -> bool {
    match path.split_once("[].") {
        Some((list, rest)) => at(data, list)
            .and_then(Value::as_array)
            .is_some_and(|list| !list.is_empty() && list.iter().all(|item| holds(item, rest))),
        None => at(data, path).is_some(),
    }
}

/// The paths that the schema calls personal, as far as the sample has them.
pub(crate) fn personal_paths(kind: &Kind, sample: &Sample) -> BTreeSet<String> {
    let data = serde_json::from_str(sample.data.get()).expect("JSON");
    kind.fields()
        .into_iter()
        .filter(|field| field.personal && holds(&data, &field.path))
        .map(|field| field.path)
        .collect()
}

/// Where sealed fields stand.
pub(crate) fn sealed_places(data: &Value) -> BTreeSet<String> {
    let mut places = BTreeSet::new();
    collect_sealed(data, "", &mut places);
    places
}

fn collect_sealed(value: &Value, path: &str, places: &mut BTreeSet<String>) {
    let Value::Object(fields) = value else { return };
    if fields.len() == 1 && fields.contains_key("sealed") {
        places.insert(path.to_owned());
        return;
    }
    for (name, field) in fields {
        collect_sealed(field, &join(path, name), places);
    }
}

fn at<'a>(data: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(data, |value, name| value.get(name))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The kinds of one aggregate: the variants of its enum.
fn of<E: JsonSchema>(stream: &'static str) -> Vec<Kind> {
    let root = without_null(schema_of::<E>());
    let definitions = root["$defs"].as_object().expect("definitions");
    let variants = root["oneOf"].as_array().expect("variants");
    variants
        .iter()
        .map(|variant| {
            let name = text(&variant["properties"]["type"]["const"]);
            let data = referred(definitions, &variant["properties"]["data"]);
            let schema = standing_alone(name, data, definitions);
            Kind { name: name.to_owned(), stream, sentence: text(&variant["description"]).to_owned(), schema }
        })
        .collect()
}

/// What is written, not what may be read.
fn schema_of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>().to_value()
}

/// An absent value is left out, never written as `null`; the generator does not know that.
fn without_null(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(fields) => {
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|one| one != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    fields.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(mut options)) = fields.remove("anyOf") {
                options.retain(|option| option["type"] != "null");
                if let [Value::Object(one)] = options.as_slice() {
                    fields.extend(one.clone());
                } else {
                    fields.insert("anyOf".to_owned(), Value::Array(options));
                }
            }
            for field in fields.values_mut() {
                *field = without_null(field.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = without_null(item.take());
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    schema
}

/// The schema of one event's data with the definitions that it needs, and no others.
fn standing_alone(name: &str, data: &Value, definitions: &Map<String, Value>) -> Value {
    let mut schema = data.clone();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(name);
    let mut needed = Map::new();
    let mut open = references(data);
    while let Some(definition) = open.pop() {
        if !needed.contains_key(&definition) {
            let value = definitions[&definition].clone();
            open.extend(references(&value));
            needed.insert(definition, value);
        }
    }
    if !needed.is_empty() {
        schema["$defs"] = Value::Object(needed);
    }
    schema
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, field)| match field.as_str() {
                Some(target) if name == "$ref" => vec![definition_name(target).to_owned()],
                Some(_) | None => references(field),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn referred<'a>(definitions: &'a Map<String, Value>, reference: &Value) -> &'a Value {
    &definitions[definition_name(text(&reference["$ref"]))]
}

fn definition_name(reference: &str) -> &str {
    reference.strip_prefix("#/$defs/").expect("a reference into the definitions")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// How an object stands where it stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Alone,
    InsteadOfAnother,
}

struct Walk<'a> {
    schema: &'a Value,
    found: &'a mut Vec<Field>,
}

impl Walk<'_> {
    fn object(&mut self, object: &Value, path: &str, place: Place) {
        let Some(properties) = object["properties"].as_object() else { return };
        let required: Vec<&str> =
            object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, property) in properties {
            let (definition, target) = self.resolve(property);
            let path = join(path, name);
            let personal = definition.is_some_and(|definition| definition.starts_with("Personal_"));
            // Where one field is a whole alternative, the alternative's sentence is the field's.
            let alternative = (place == Place::InsteadOfAnother && properties.len() == 1).then_some(object);
            self.add(Field {
                path: path.clone(),
                shape: self.shape(property),
                always: place == Place::Alone && required.contains(&name.as_str()),
                personal,
                meaning: meaning([Some(property), alternative, Some(&target)]),
                alternative: place == Place::InsteadOfAnother,
            });
            if !personal {
                self.inside(&target, &path, place);
            }
        }
    }

    fn inside(&mut self, target: &Value, path: &str, place: Place) {
        self.object(target, path, place);
        if let Some(items) = target.get("items") {
            let (_, item) = self.resolve(items);
            self.object(&item, &format!("{path}[]"), place);
        }
        for option in target["oneOf"].as_array().into_iter().flatten() {
            self.object(option, path, Place::InsteadOfAnother);
        }
    }

    /// A field that stands in several alternatives is one field of several shapes.
    fn add(&mut self, field: Field) {
        match self.found.iter_mut().find(|known| known.path == field.path) {
            None => self.found.push(field),
            Some(known) if known.shape.split(", ").any(|shape| shape == field.shape) => {}
            Some(known) => known.shape = format!("{}, {}", known.shape, field.shape),
        }
    }

    /// A definition's name, if it is one, and what it says.
    fn resolve<'v>(&self, value: &'v Value) -> (Option<&'v str>, Value) {
        match value["$ref"].as_str().map(definition_name) {
            Some(name) => (Some(name), self.schema["$defs"][name].clone()),
            None => (None, value.clone()),
        }
    }

    fn shape(&self, property: &Value) -> String {
        let (name, target) = self.resolve(property);
        match name.and_then(|name| name.strip_prefix("Personal_")) {
            Some("string") => return "text".to_owned(),
            Some(_) => return "JSON".to_owned(),
            None => {}
        }
        if let Some(words) = words(&target) {
            return words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        }
        match target["type"].as_str() {
            Some("array") => format!("list of {}", self.shape(&target["items"])),
            Some("string") if target["format"] == "date-time" => "time".to_owned(),
            Some("string") => "text".to_owned(),
            Some("boolean") => "true or false".to_owned(),
            Some("object") => "object".to_owned(),
            Some(other) => other.to_owned(),
            None if target["oneOf"].is_array() => "one of".to_owned(),
            None => "JSON".to_owned(),
        }
    }
}

/// The words of an enum of texts.
fn words(schema: &Value) -> Option<Vec<&str>> {
    let list = match (&schema["const"], &schema["enum"], &schema["oneOf"]) {
        (Value::String(word), ..) => Some(vec![word.as_str()]),
        (_, Value::Array(words), _) => words.iter().map(Value::as_str).collect(),
        (.., Value::Array(options)) => options.iter().map(|option| option["const"].as_str()).collect(),
        _ => None,
    };
    list.filter(|words: &Vec<&str>| !words.is_empty())
}

/// The first sentence that there is.
fn meaning(places: [Option<&Value>; 3]) -> String {
    let sentence = places.into_iter().flatten().find_map(|place| place["description"].as_str());
    sentence.unwrap_or_default().replace('\n', " ")
}
