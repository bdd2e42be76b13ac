//! JSON from a model file. It is read into plain values first, and these into what they stand for: derived readers of the
//! same structures take five times as much of what a visitor downloads.

mod parser;

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

/// The fields of an object in their order. None comes twice.
pub(crate) struct Object(Vec<(String, Json)>);

/// Reads JSON. The error says what is wrong where, such as `input.size is no whole number`.
pub(crate) fn read<T: FromJson>(text: &str) -> Result<T, String> {
    path(T::from_json(parser::parse(text)?))
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
        self.json(name).map(|json| T::from_json(json)).transpose().map_err(|why| below(name, &why))
    }

    /// A field's value.
    pub(crate) fn field<T: FromJson>(&mut self, name: &str) -> Result<T, String> {
        let value = self.json(name).ok_or_else(|| " is missing".to_owned()).and_then(T::from_json);
        value.map_err(|why| below(name, &why))
    }

    fn json(&mut self, name: &str) -> Option<Json> {
        let place = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.remove(place).1)
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

/// What is wrong with a field, from outside.
fn below(name: &str, why: &str) -> String {
    format!(".{name}{why}")
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
