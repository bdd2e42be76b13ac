//! JSON from a model file. It is read into plain values first, and these into what they stand for: derived readers of the
//! same structures take five times as much of what a visitor downloads.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// A value that can be read from JSON.
pub(crate) trait FromJson: Sized {
    /// The error is what is wrong with `json`, to be put after its name: ` is no text`, or `.kernel is missing`.
    fn from_json(json: Json) -> Result<Self, String>;
}

pub(crate) enum Json {
    Null,
    Bool,
    Integer(u64),
    /// Also an integer below zero.
    Number(f64),
    Text(String),
    List(Vec<Self>),
    Object(Object),
}

/// The fields of an object in their order. None comes twice: serde_json's own maps keep the last and hide the others.
pub(crate) struct Object(Vec<(String, Json)>);

/// Reads JSON. The error says what is wrong where, such as `input.size is no whole number`.
pub(crate) fn read<T: FromJson>(text: &str) -> Result<T, String> {
    let json = serde_json::from_str(text).map_err(|e| e.to_string())?;
    path(T::from_json(json))
}

/// An error of the outermost value, whose name goes without saying.
pub(crate) fn path<T>(result: Result<T, String>) -> Result<T, String> {
    result.map_err(|why| why.trim_start_matches(['.', ' ']).to_owned())
}

impl Object {
    /// The most fields of an object: each is compared with all before it.
    const MOST: usize = 1000;

    /// A field's value, if it is there.
    pub(crate) fn take<T: FromJson>(&mut self, name: &str) -> Result<Option<T>, String> {
        let Some(place) = self.0.iter().position(|(other, _)| other == name) else { return Ok(None) };
        let value = T::from_json(self.0.remove(place).1);
        value.map(Some).map_err(|why| format!(".{name}{why}"))
    }

    /// A field's value.
    pub(crate) fn field<T: FromJson>(&mut self, name: &str) -> Result<T, String> {
        self.take(name)?.ok_or_else(|| format!(".{name} is missing"))
    }

    /// Nothing is left.
    pub(crate) fn end(self) -> Result<(), String> {
        self.0.first().map_or(Ok(()), |(name, _)| Err(format!(".{name} is unknown")))
    }

    /// The fields that were not taken.
    pub(crate) fn rest(self) -> Vec<(String, Json)> {
        self.0
    }
}

impl FromJson for Object {
    fn from_json(json: Json) -> Result<Self, String> {
        if let Json::Object(object) = json { Ok(object) } else { Err(" is no object".to_owned()) }
    }
}

impl FromJson for String {
    fn from_json(json: Json) -> Result<Self, String> {
        if let Json::Text(text) = json { Ok(text) } else { Err(" is no text".to_owned()) }
    }
}

impl FromJson for u64 {
    fn from_json(json: Json) -> Result<Self, String> {
        if let Json::Integer(value) = json { Ok(value) } else { Err(" is no whole number".to_owned()) }
    }
}

macro_rules! smaller_integers {
    ($($type:ty)*) => {$(
        impl FromJson for $type {
            fn from_json(json: Json) -> Result<Self, String> {
                u64::from_json(json)?.try_into().map_err(|_| " is too large".to_owned())
            }
        }
    )*};
}

smaller_integers!(u8 u32 usize);

impl FromJson for f32 {
    fn from_json(json: Json) -> Result<Self, String> {
        match json {
            Json::Integer(value) => Ok(value as f32),
            Json::Number(value) => Ok(value as f32),
            _ => Err(" is no number".to_owned()),
        }
    }
}

impl<T: FromJson> FromJson for Vec<T> {
    fn from_json(json: Json) -> Result<Self, String> {
        let Json::List(values) = json else { return Err(" is no list".to_owned()) };
        let value = |(i, value)| T::from_json(value).map_err(|why| format!("[{i}]{why}"));
        values.into_iter().enumerate().map(value).collect()
    }
}

impl<T: FromJson, const N: usize> FromJson for [T; N] {
    fn from_json(json: Json) -> Result<Self, String> {
        Vec::from_json(json)?.try_into().map_err(|_| format!(" has not {N} values"))
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Bool)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Integer(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Json, A::Error> {
        let mut fields: Vec<(String, Json)> = Vec::new();
        while let Some(name) = object.next_key()? {
            if fields.iter().any(|(other, _)| *other == name) {
                return Err(A::Error::custom(format_args!("`{name}` comes twice")));
            }
            if fields.len() == Object::MOST {
                return Err(A::Error::custom("an object has too many fields"));
            }
            fields.push((name, object.next_value()?));
        }
        Ok(Json::Object(Object(fields)))
    }
}
