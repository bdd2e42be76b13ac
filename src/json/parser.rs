//! JSON text, parsed into plain values (RFC 8259). serde_json, which its tests hold it to, is four times as much of what
//! a visitor downloads.

use super::{Json, Object};

/// The most values within each other: the parser calls itself for each.
const DEEPEST: usize = 128;

/// Parses a text that is one value. The error says what is wrong, and at which byte.
pub(super) fn parse(text: &str) -> Result<Json> {
    let mut parser = Parser { text: text.as_bytes(), place: 0, depth: 0 };
    let value = parser.value().and_then(|value| {
        parser.skip_space();
        if parser.place == text.len() { Ok(value) } else { wrong("more than one value") }
    });
    value.map_err(|why| format!("{why} at byte {}", parser.place))
}

struct Parser<'a> {
    text: &'a [u8],
    place: usize,
    depth: usize,
}

type Result<T> = std::result::Result<T, String>;

fn wrong<T>(why: &str) -> Result<T> {
    Err(why.to_owned())
}

impl Parser<'_> {
    /// The next byte; 0, which begins nothing, at the end.
    fn peek(&self) -> u8 {
        self.text.get(self.place).copied().unwrap_or_default()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.place += 1;
        }
    }

    /// Goes past `expected`, if it is next.
    fn eat(&mut self, expected: u8) -> bool {
        let is_next = self.peek() == expected;
        self.place += usize::from(is_next);
        is_next
    }

    fn value(&mut self) -> Result<Json> {
        self.skip_space();
        match self.peek() {
            b'{' => self.deeper(Self::object),
            b'[' => self.deeper(Self::list),
            b'"' => self.string().map(Json::Text),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.word(),
        }
    }

    fn deeper(&mut self, value: fn(&mut Self) -> Result<Json>) -> Result<Json> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return wrong("too many values within each other");
        }
        self.place += 1;
        let value = value(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Result<Json> {
        let mut fields: Vec<(String, Json)> = Vec::new();
        while self.more(b'}', fields.is_empty())? {
            self.skip_space();
            if self.peek() != b'"' {
                return wrong("no name");
            }
            let name = self.string()?;
            if fields.iter().any(|(other, _)| *other == name) {
                return Err(format!("`{name}` comes twice"));
            }
            if fields.len() == Object::MOST {
                return wrong("an object has too many fields");
            }
            self.skip_space();
            if !self.eat(b':') {
                return wrong("no colon");
            }
            fields.push((name, self.value()?));
        }
        Ok(Json::Object(Object(fields)))
    }

    fn list(&mut self) -> Result<Json> {
        let mut values = Vec::new();
        while self.more(b']', values.is_empty())? {
            values.push(self.value()?);
        }
        Ok(Json::List(values))
    }

    /// Whether another value comes before the `end` of an object or a list.
    fn more(&mut self, end: u8, is_first: bool) -> Result<bool> {
        self.skip_space();
        if is_first && self.eat(end) {
            return Ok(false);
        }
        if is_first || self.eat(b',') {
            return Ok(true);
        }
        if self.eat(end) { Ok(false) } else { wrong("no comma and no end") }
    }

    fn word(&mut self) -> Result<Json> {
        for (word, value) in [("null", Json::Null), ("true", Json::Bool), ("false", Json::Bool)] {
            if self.text[self.place..].starts_with(word.as_bytes()) {
                self.place += word.len();
                return Ok(value);
            }
        }
        wrong(if self.place == self.text.len() { "nothing more" } else { "no value" })
    }

    fn string(&mut self) -> Result<String> {
        let mut string = Vec::new();
        self.place += 1;
        loop {
            let byte = self.peek();
            if byte < b' ' {
                return wrong("a text without end, or with control characters");
            }
            self.place += 1;
            match byte {
                // All of it is UTF-8, and so is what lies between ASCII characters.
                b'"' => return String::from_utf8(string).or_else(|_| wrong("no text")),
                b'\\' => {
                    let mut bytes = [0; 4];
                    string.extend_from_slice(self.escaped()?.encode_utf8(&mut bytes).as_bytes());
                }
                _ => string.push(byte),
            }
        }
    }

    fn escaped(&mut self) -> Result<char> {
        let byte = self.peek();
        self.place += 1;
        let code = match byte {
            b'"' | b'\\' | b'/' => byte.into(),
            b'b' => 8,
            b'f' => 12,
            b'n' => 10,
            b'r' => 13,
            b't' => 9,
            b'u' => self.escaped_code()?,
            // No character.
            _ => u32::MAX,
        };
        char::from_u32(code).map_or_else(|| wrong("no character"), Ok)
    }

    /// What `\u` begins: four digits, or twice as many for the two halves of a character.
    fn escaped_code(&mut self) -> Result<u32> {
        let code = self.hexadecimal()?;
        if !((0xd800..0xdc00).contains(&code) && self.eat(b'\\') && self.eat(b'u')) {
            return Ok(code);
        }
        let low = self.hexadecimal()?;
        // A half alone is no character, so the caller refuses it.
        Ok(if (0xdc00..0xe000).contains(&low) { 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00) } else { code })
    }

    fn hexadecimal(&mut self) -> Result<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = char::from(self.peek()).to_digit(16) else { return wrong("no digit") };
            self.place += 1;
            code = 16 * code + digit;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<Json> {
        let is_negative = self.eat(b'-');
        let mut number = Digits::default();
        let (start, begins_with_zero) = (self.place, self.peek() == b'0');
        self.digits(&mut number, 0)?;
        if begins_with_zero && self.place > start + 1 {
            return wrong("a number that begins with 0");
        }
        let mut is_whole = !is_negative && number.exponent == 0;
        if self.eat(b'.') {
            is_whole = false;
            self.digits(&mut number, -1)?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            is_whole = false;
            let is_small = self.eat(b'-');
            if !is_small {
                self.eat(b'+');
            }
            let mut exponent = Digits::default();
            self.digits(&mut exponent, 0)?;
            // So far out, everything is zero or infinite.
            let exponent = exponent.value.min(1000) as i32;
            number.exponent += if is_small { -exponent } else { exponent };
        }
        if is_whole {
            return Ok(Json::Integer(number.value));
        }
        let value = number.to_f64();
        if value.is_infinite() {
            return wrong("a number out of range");
        }
        Ok(Json::Number(if is_negative { -value } else { value }))
    }

    /// At least one digit, each of which moves the decimal point by `step`.
    fn digits(&mut self, number: &mut Digits, step: i32) -> Result<()> {
        let start = self.place;
        while let digit @ b'0'..=b'9' = self.peek() {
            self.place += 1;
            match number.value.checked_mul(10).and_then(|value| value.checked_add(u64::from(digit - b'0'))) {
                Some(value) => {
                    number.value = value;
                    number.exponent += step;
                }
                // Of digits beyond all precision only the number counts.
                None => number.exponent += step + 1,
            }
        }
        if self.place == start { wrong("no digit") } else { Ok(()) }
    }
}

/// `value * 10^exponent`.
#[derive(Default)]
struct Digits {
    value: u64,
    exponent: i32,
}

impl Digits {
    /// The nearest f64 up to 2^53 and 10^22, and beyond them still far nearer than the f32 that is made of it.
    fn to_f64(&self) -> f64 {
        let power = (0..self.exponent.unsigned_abs().min(1000)).fold(1.0, |power: f64, _| power * 10.0);
        match (self.value, self.exponent) {
            (0, _) => 0.0,
            (value, 0..) => value as f64 * power,
            (value, _) => value as f64 / power,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// As serde_json, the judge here, has a value. Which of the two a truth value is nobody asks.
    fn theirs(json: Json) -> serde_json::Value {
        match json {
            Json::Null => serde_json::Value::Null,
            Json::Bool => true.into(),
            Json::Integer(value) => value.into(),
            Json::Number(value) => value.into(),
            Json::Text(text) => text.into(),
            Json::List(values) => values.into_iter().map(theirs).collect(),
            Json::Object(fields) => fields.rest().into_iter().map(|(name, value)| (name, theirs(value))).collect(),
        }
    }

    #[test]
    fn values_are_those_of_serde_json() {
        let texts = [
            "null",
            " true ",
            "[]",
            "{}",
            "[ [ ] , { } ]",
            r#"{"a":1,"b":[2,{"c":null}]}"#,
            "\t[\n1 ,\r2]",
            "0",
            "7",
            "18446744073709551615",
            "1.5",
            "0.1",
            "1e3",
            "1E+3",
            "12e-3",
            "-2.5e-7",
            "0.003921569",
            "1e22",
            "123456789.9876543",
            "103.939",
            "0e999",
            "1e-999",
            r#""""#,
            r#""a \"b\" \\ \/ \b\f\n\r\t""#,
            r#""\u00e9\u20AC\ud83d\ude00""#,
            "\"h\u{f6}\u{1f600}\"",
        ];
        for text in texts {
            assert_eq!(
                theirs(parse(text).unwrap()),
                serde_json::from_str::<serde_json::Value>(text).unwrap(),
                "{text}"
            );
        }
        // Below zero, and of more digits than 64 bits have: no integers here.
        for (text, value) in [("-1", -1.0), ("-0", -0.0), ("184467440737095516150", 184_467_440_737_095_516_150.0)] {
            assert_eq!(theirs(parse(text).unwrap()), value, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_none() {
        let texts = [
            "",
            " ",
            "nul",
            "hello",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,]",
            "[1 2]",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,}",
            "{,}",
            "{a:1}",
            "{1:1}",
            "{\"a\" 1}",
            "1 2",
            "[]]",
            "01",
            "-",
            "+1",
            ".5",
            "1.",
            "1e",
            "1e+",
            "1e999",
            "-1e999",
            "0x1",
            "NaN",
            "\"",
            "\"a",
            "\"\n\"",
            r#""\x""#,
            r#""\u12""#,
            r#""\u12g4""#,
            r#""\ud83d""#,
            r#""\ud83d\n""#,
            r#""\ud83d\u0041""#,
            r#""\ud83d\ue000""#,
            r#""\ude00""#,
            "'a'",
            "\u{feff}1",
            "1\0",
            "\0",
        ];
        for text in texts {
            assert!(parse(text).is_err(), "{text:?}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_f32_that_is_written_is_read_again() {
        let mut bits = 1_u32;
        for _ in 0..200_000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = f32::from_bits(bits);
            if value.is_finite() {
                let text = serde_json::to_string(&value).unwrap();
                let Json::Number(read) = parse(&text).unwrap() else { panic!("{text} is a number") };
                assert_eq!((read as f32).to_bits(), value.to_bits(), "{text}");
            }
        }
    }
}
