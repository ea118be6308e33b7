//! The card of an advisor: the part of its document that a client shows, flat.

use advisor_events::AdvisorId;
use advisor_projections::advisors as rows;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use utoipa::ToSchema;

/// Cards by their advisors' ids.
pub(crate) type Cards = HashMap<AdvisorId, AdvisorCard>;

/// What a client shows of an advisor; what its document does not say is null.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AdvisorCard {
    /// The advisor.
    pub(crate) id: String,
    /// Its persona's name.
    pub(crate) name: String,
    /// What it is, such as `Investor Advisor`.
    pub(crate) title: String,
    /// URL of a picture.
    pub(crate) image: Option<Value>,
    /// Itself in a sentence.
    pub(crate) one_liner: Option<Value>,
    /// Its archetype.
    pub(crate) archetype: Option<Value>,
    /// Its life in some sentences.
    pub(crate) bio: Option<Value>,
    /// Its life at length.
    pub(crate) detailed_background: Option<Value>,
    /// Its experience.
    pub(crate) experience: Option<Value>,
    /// What it knows best.
    pub(crate) specialties: Option<Value>,
    /// What it likes.
    pub(crate) personal_interests: Option<Value>,
    /// How it talks.
    pub(crate) communication_style: Option<Value>,
    /// Where it lives.
    pub(crate) location: Option<Value>,
    /// How it gives advice.
    pub(crate) advice_delivery: Option<Value>,
    /// What it is for.
    pub(crate) mission: Option<Value>,
    /// Tags; none if its document has none.
    pub(crate) tags: Value,
    /// The model that it asks for.
    pub(crate) model_hint: Option<Value>,
}

impl AdvisorCard {
    /// The card of the advisor `id` with this document.
    pub(crate) fn of(id: &str, document: &Value) -> Self {
        let persona = |name: &str| member(document.get("persona"), name);
        Self {
            id: id.to_owned(),
            name: persona_text(document, "name"),
            title: persona_text(document, "title"),
            image: persona("image").or_else(|| member(Some(document), "imageUrl")),
            one_liner: persona("oneLiner"),
            archetype: persona("archetype"),
            bio: persona("bio"),
            detailed_background: persona("detailedBackground"),
            experience: persona("experience"),
            specialties: persona("specialties"),
            personal_interests: persona("personalInterests"),
            communication_style: persona("communicationStyle"),
            location: persona("location"),
            advice_delivery: persona("adviceDelivery"),
            mission: member(document.get("roleDefinition"), "mission"),
            tags: member(Some(document), "tags")
                .or_else(|| member(document.get("metadata"), "tags"))
                .unwrap_or_else(|| Value::Array(Vec::new())),
            model_hint: member(Some(document), "modelHint"),
        }
    }
}

impl From<&rows::AdvisorRow> for AdvisorCard {
    fn from(row: &rows::AdvisorRow) -> Self {
        // The text was written from a value: it always reads back.
        let document = serde_json::from_str(&row.document).unwrap_or_default();
        Self::of(row.id.as_str(), &document)
    }
}

/// The least of an advisor's card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ShortCard {
    /// The advisor.
    pub(crate) id: String,
    /// Its persona's name.
    pub(crate) name: String,
    /// What it is.
    pub(crate) title: String,
}

impl From<rows::ShortCard> for ShortCard {
    fn from(card: rows::ShortCard) -> Self {
        Self { id: card.id.0, name: card.name, title: card.title }
    }
}

impl From<rows::AdvisorName> for ShortCard {
    fn from(advisor: rows::AdvisorName) -> Self {
        Self { id: advisor.id.0, name: advisor.name, title: advisor.title }
    }
}

/// A text of the persona, empty where there is none (imported documents may lack anything).
fn persona_text(document: &Value, name: &str) -> String {
    let text = document.get("persona").and_then(|persona| persona.get(name)).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn member(object: Option<&Value>, name: &str) -> Option<Value> {
    object.and_then(|object| object.get(name)).filter(|value| !value.is_null()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_card_is_flat_and_has_every_field_of_the_document_that_clients_show() {
        let document = json!({
            "advisorId": "another",
            "persona": {
                "name": "Ben Okafor", "title": "Coach", "image": "https://example.com/b.png", "oneLiner": "Listens.",
                "archetype": "The Coach", "bio": "b", "detailedBackground": "d", "experience": "e",
                "specialties": ["s"], "personalInterests": ["p"], "communicationStyle": "c",
                "location": {"city": "Lagos"}, "adviceDelivery": {"mode": "m"}, "secret": 1
            },
            "roleDefinition": {"mission": "to help"},
            "metadata": {"tags": ["t"]},
            "modelHint": "some/model"
        });
        assert_eq!(
            serde_json::to_value(AdvisorCard::of("ben", &document)).unwrap(),
            json!({
                "id": "ben", "name": "Ben Okafor", "title": "Coach", "image": "https://example.com/b.png",
                "oneLiner": "Listens.", "archetype": "The Coach", "bio": "b", "detailedBackground": "d",
                "experience": "e", "specialties": ["s"], "personalInterests": ["p"], "communicationStyle": "c",
                "location": {"city": "Lagos"}, "adviceDelivery": {"mode": "m"}, "mission": "to help", "tags": ["t"],
                "modelHint": "some/model"
            })
        );
    }

    #[test]
    fn a_sparse_document_makes_a_card_of_nulls() {
        let card = AdvisorCard::of("ben", &json!({"persona": {"name": "Ben", "title": "Coach"}}));
        let json = serde_json::to_value(&card).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 17);
        assert_eq!(json["bio"], Value::Null);
        assert_eq!(json["tags"], json!([]));
        assert_eq!(AdvisorCard::of("ben", &Value::Null).name, "");
    }

    #[test]
    fn own_tags_and_the_personas_image_come_first() {
        let document = json!({
            "persona": {"image": "of the persona"}, "imageUrl": "beside it", "tags": ["own"],
            "metadata": {"tags": ["of the metadata"]}
        });
        let card = AdvisorCard::of("ben", &document);
        assert_eq!((card.image, card.tags), (Some(json!("of the persona")), json!(["own"])));
        assert_eq!(AdvisorCard::of("ben", &json!({"imageUrl": "beside it"})).image, Some(json!("beside it")));
    }
}
