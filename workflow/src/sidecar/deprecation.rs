//! When callers should move on to something else, and when it is gone.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use toml::value::{Datetime, Offset};

use crate::diagnostic::Diagnostic;

/// The greatest length of an address in bytes.
const LONGEST_LINK: usize = 2000;

/// That callers should move on, checked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Deprecation {
    /// From when on; unknown if the author did not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Date>,
    /// When it stops to be served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sunset: Option<Date>,
    /// An address with more about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// One sentence for callers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A moment. Serialises to the words of the author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Date {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix: u64,
    /// As the author wrote it: `2026-11-01`.
    pub text: String,
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl fmt::Display for Deprecation {
    /// `deprecated since 2026-11-01, gone on 2027-05-01: use the second version`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("deprecated")?;
        if let Some(since) = &self.since {
            write!(formatter, " since {}", since.text)?;
        }
        if let Some(sunset) = &self.sunset {
            write!(formatter, ", gone on {}", sunset.text)?;
        }
        if let Some(note) = &self.note {
            write!(formatter, ": {note}")?;
        }
        Ok(())
    }
}

/// What a sidecar file says of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Notice {
    /// From when on.
    since: Option<Datetime>,
    /// When it stops to be served.
    sunset: Option<Datetime>,
    /// An address with more about it.
    link: Option<String>,
    /// One sentence for callers.
    note: Option<String>,
}

/// Reads `true`, `false` or a table.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Notice>, D::Error> {
    deserializer.deserialize_any(Either)
}

/// An untagged enum would lose which key of the table is wrong.
struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Option<Notice>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("`deprecated = true` or a table `[deprecated]`")
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(flag.then(Notice::default))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Notice::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }
}

impl Notice {
    /// What can be told to callers; the rest is an error.
    pub(super) fn check(&self, diagnostics: &mut Vec<Diagnostic>) -> Deprecation {
        let mut odd = |message: String, help: &str| {
            diagnostics.push(Diagnostic::error("sidecar", format!("[deprecated]: {message}")).help(help));
        };
        let mut date = |key: &str, date: &Option<Datetime>| {
            let date = date.as_ref()?;
            let moment = moment(date);
            if moment.is_none() {
                odd(
                    format!("`{key} = {date}` is no moment from 1970 on"),
                    "write a day, `2026-11-01`, which begins at midnight UTC, or a time with its offset, `2026-11-01T09:00:00Z`",
                );
            }
            moment
        };
        let (since, sunset) = (date("since", &self.since), date("sunset", &self.sunset));
        if let (Some(since), Some(sunset)) = (&since, &sunset)
            && sunset.unix < since.unix
        {
            odd(
                format!("`sunset = {}` is before `since = {}`", sunset.text, since.text),
                "callers are told that it is deprecated before it is gone",
            );
        }
        let link = self.link.clone().filter(|link| {
            let fits = is_address(link);
            if !fits {
                odd(
                    "`link` is no address".to_owned(),
                    "write it whole, `https://example.com/news`, or from the root of this server, `/docs/`",
                );
            }
            fits
        });
        Deprecation { since, sunset, link, note: self.note.clone() }
    }
}

/// Characters that RFC 3986 allows, so that it can stand between `<` and `>` in a header.
fn is_address(link: &str) -> bool {
    let host = ["https://", "http://", "/"].iter().find_map(|start| link.strip_prefix(start));
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    host.is_some_and(|host| !host.starts_with('/') && (!host.is_empty() || link == "/"))
        && link.len() <= LONGEST_LINK
        && link.bytes().all(allowed)
}

/// The TOML reader has seen to it that the day exists. A local time is a different moment for every reader.
fn moment(date: &Datetime) -> Option<Date> {
    let day = date.date?;
    let seconds = match (&date.time, &date.offset) {
        (None, None) => 0,
        (Some(time), Some(offset)) => {
            let minutes = match offset {
                Offset::Z => 0,
                Offset::Custom { minutes } => i64::from(*minutes),
            };
            let second = time.second.map_or(0, i64::from);
            i64::from(time.hour) * 3600 + (i64::from(time.minute) - minutes) * 60 + second
        }
        _ => return None,
    };
    let days = days(i64::from(day.year), i64::from(day.month), i64::from(day.day));
    Some(Date { unix: u64::try_from(days * 86_400 + seconds).ok()?, text: date.to_string() })
}

/// Days from 1970-01-01 in the Gregorian calendar. Years begin in March here, so that leap days end them.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leaps + (153 * month + 2) / 5 + day - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sidecar;

    fn check(text: &str) -> (Option<Deprecation>, Vec<String>) {
        let mut diagnostics = Vec::new();
        let notice = Sidecar::parse(text).unwrap().deprecated;
        let checked = notice.map(|notice| notice.check(&mut diagnostics));
        (checked, diagnostics.into_iter().map(|found| found.message).collect())
    }

    #[test]
    fn moments_are_seconds() {
        for (text, unix) in [
            ("1970-01-01", 0),
            ("1970-01-01T00:00:59Z", 59),
            ("2000-02-29", 951_782_400),
            ("2024-02-29T12:30:00Z", 1_709_209_800),
            ("2026-11-01", 1_793_491_200),
            ("2026-11-01T02:00:00+02:00", 1_793_491_200),
            ("2026-10-31T17:30:00-06:30", 1_793_491_200),
            ("2100-03-01", 4_107_542_400),
        ] {
            let (found, odd) = check(&format!("[deprecated]\nsince = {text}"));
            let since = found.unwrap().since.unwrap();
            assert_eq!((since.unix, since.text.as_str(), odd.len()), (unix, text, 0));
        }
    }

    #[test]
    fn a_flag_says_that_it_is_deprecated() {
        assert_eq!(check("deprecated = true").0, Some(Deprecation::default()));
        assert_eq!(check("deprecated = false").0, None);
        assert_eq!(check("title = \"x\"").0, None);
    }

    #[test]
    fn what_cannot_be_told_is_an_error() {
        for (text, expected) in [
            ("since = 2026-11-01T10:00:00", "is no moment"),
            ("since = 1969-12-31", "is no moment"),
            ("sunset = 10:00:00", "is no moment"),
            ("since = 2026-11-02\nsunset = 2026-11-01", "is before"),
            ("link = \"javascript:alert(1)\"", "is no address"),
            ("link = \"https://x/>; rel=\\\"next\"", "is no address"),
            ("link = \"//x\"", "is no address"),
            ("link = \"https://\"", "is no address"),
        ] {
            let (_, odd) = check(&format!("[deprecated]\n{text}"));
            assert!(odd.len() == 1 && odd[0].contains(expected), "{text}: {odd:?}");
        }
    }

    #[test]
    fn a_key_that_is_not_known_is_named_with_its_line() {
        let found = Sidecar::parse("[deprecated]\nsunset = 2027-05-01\nsinse = 2026-11-01").unwrap_err();
        assert!(found[0].message.contains("line 3"), "{found:?}");
        assert_eq!(found[0].help.as_deref(), Some("did you mean `since`?"));
        for text in [
            "deprecated = \"yes\"",
            "[deprecated]\nsince = \"2026-11-01\"",
            "[deprecated]\nsince = 2026-02-30",
        ] {
            let found = Sidecar::parse(text).unwrap_err();
            assert!(found[0].message.contains("line"), "{found:?}");
        }
    }
}
