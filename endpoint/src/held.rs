//! Values that are compiled in, or shared and freed with their last holder.

use std::{borrow::Borrow, cmp::Ordering, fmt, ops::Deref, sync::Arc};

use serde::{Serialize, Serializer};

/// A value of either origin. Code that reads it does not see the difference, and a clone copies no content.
///
/// ```
/// use comfyport_endpoint::{List, Text};
///
/// static COMPILED: List<Text> = List::Static(&[Text::Static("euler"), Text::Static("heun")]);
/// let made: List<Text> = ["euler", "heun"].map(|name| Text::from(name.to_owned())).into_iter().collect();
/// assert_eq!(COMPILED, made);
/// ```
pub enum Held<T: ?Sized + 'static> {
    /// Compiled in.
    Static(&'static T),
    /// Made at run time.
    Shared(Arc<T>),
}

/// Text of either origin.
pub type Text = Held<str>;

/// A list of either origin.
pub type List<T> = Held<[T]>;

impl<T: ?Sized> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Static(value) => value,
            Self::Shared(value) => value,
        }
    }
}

impl<T: ?Sized> Clone for Held<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Static(value) => Self::Static(value),
            Self::Shared(value) => Self::Shared(Arc::clone(value)),
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Held<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for Held<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

impl<T: ?Sized + PartialEq> PartialEq for Held<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: ?Sized + Eq> Eq for Held<T> {}

impl<T: ?Sized + PartialOrd> PartialOrd for Held<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: ?Sized + Ord> Ord for Held<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl<T: ?Sized> Borrow<T> for Held<T> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: ?Sized + Serialize> Serialize for Held<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<T: ?Sized> From<&'static T> for Held<T> {
    fn from(value: &'static T) -> Self {
        Self::Static(value)
    }
}

impl<T> From<T> for Held<T> {
    fn from(value: T) -> Self {
        Self::Shared(Arc::new(value))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Shared(text.into())
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::Shared(items.into_iter().collect())
    }
}

impl<'l, T> IntoIterator for &'l List<T> {
    type Item = &'l T;
    type IntoIter = std::slice::Iter<'l, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
