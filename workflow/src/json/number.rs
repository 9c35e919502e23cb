//! Numbers that keep the text they were written with.

use std::fmt;

use serde::{Serialize, Serializer, ser::Error};

/// A number as it was written: `8`, `8.0`, `18446744073709551615`, `NaN`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Number(String);

impl Number {
    /// A number from a text that is already known to be one.
    pub(crate) fn from_lexeme(lexeme: String) -> Self {
        Self(lexeme)
    }

    /// The shortest text that reads back as this float, Python's tokens for what is not finite.
    pub fn from_f64(value: f64) -> Self {
        Self(if value.is_nan() {
            "NaN".to_owned()
        } else if value.is_infinite() {
            if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
        } else {
            format!("{value:?}")
        })
    }

    /// An integer.
    pub fn from_i128(value: i128) -> Self {
        Self(value.to_string())
    }

    /// Reads a number from a text such as a widget's `"20"`; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        text.parse::<f64>().ok().filter(|value| value.is_finite())?;
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        let normal = text.strip_prefix('+').unwrap_or(text);
        let digits_first = normal.trim_start_matches('-').starts_with(|first: char| first.is_ascii_digit());
        (plain && digits_first && !normal.ends_with('.')).then(|| Self(normal.to_owned()))
    }

    /// The number without the noise of floats that editors leave behind: `8.000000000000002` is `8.0`. Numbers that
    /// people wrote, of up to eight digits behind the point, are as they were.
    #[must_use]
    pub fn without_noise(&self) -> Self {
        const NOISY: usize = 12;
        let value = self.as_f64();
        if self.is_integer() || self.0.len() < NOISY || !value.is_finite() {
            return self.clone();
        }
        let near = |digits: usize| {
            let short: f64 = format!("{value:.digits$e}").parse().ok()?;
            ((short - value).abs() <= value.abs() * 1e-9).then(|| Self::from_f64(short))
        };
        (0..8).find_map(near).unwrap_or_else(|| self.clone())
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the text has neither fraction nor exponent.
    pub fn is_integer(&self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
    }

    /// Whether this is neither `NaN` nor an infinity.
    pub fn is_finite(&self) -> bool {
        self.as_f64().is_finite()
    }

    /// The value as a float, rounded where it must be.
    pub fn as_f64(&self) -> f64 {
        match self.0.as_str() {
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            text => text.parse().unwrap_or(f64::NAN),
        }
    }

    /// The value as an integer: of integers exactly, of floats such as `8.0` if nothing is lost.
    pub fn as_i128(&self) -> Option<i128> {
        self.0.parse().ok().or_else(|| {
            let value = self.as_f64();
            #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and within 2^53")]
            (value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0).then_some(value as i128)
        })
    }

    /// The value as `u64`, if it is an integer that fits.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_i128()?.try_into().ok()
    }

    /// The value as `i64`, if it is an integer that fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_i128()?.try_into().ok()
    }
}

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.is_finite() {
            return serializer.serialize_unit();
        }
        if let Ok(value) = self.0.parse::<u64>() {
            return serializer.serialize_u64(value);
        }
        if let Ok(value) = self.0.parse::<i64>() {
            return serializer.serialize_i64(value);
        }
        // Beyond 64 bits, or a float: the text itself, where the format can carry it.
        let raw = serde_json::value::RawValue::from_string(self.0.clone()).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::Number;

    #[test]
    fn noise_of_floats_goes_and_nothing_else() {
        for (written, expected) in [
            ("8.000000000000002", "8.0"),
            ("0.7499999999999998", "0.75"),
            ("1.0000000000000002", "1.0"),
            ("-0.30000000000000004", "-0.3"),
            ("0.123456789012345", "0.123456789012345"),
            ("3.141592653589793", "3.141592653589793"),
            ("1e-12", "1e-12"),
            ("18446744073709551615", "18446744073709551615"),
            ("0.10000000", "0.10000000"),
            ("NaN", "NaN"),
        ] {
            assert_eq!(Number(written.to_owned()).without_noise().as_str(), expected);
        }
    }
}
