//! A request to an endpoint that was made at run time: places that follow a table of fields, instead of a struct.

use std::fmt;

use crate::{
    Advanced, DecodeLimits, Endpoint, Field, Kind, Loras, Media, Raw, Request, Seed, Slot,
    fault::ValueFault,
    slot::{choice, not_an_option, write_text},
};

/// What [`Endpoint::new_request`] makes where there is no struct. Every value meets the checks that a derived struct
/// has for a field of the same kind.
#[derive(Debug)]
pub struct Table {
    places: Vec<Box<dyn Place>>,
    advanced: Option<Advanced>,
}

/// A slot that travels between threads.
trait Place: Slot + Send + Sync {}

impl<T: Slot + Send + Sync> Place for T {}

impl Table {
    /// An empty request to an endpoint.
    pub fn request(endpoint: &Endpoint) -> Box<dyn Request> {
        let places = endpoint.fields.iter().map(of_kind).collect();
        Box::new(Self { places, advanced: (!endpoint.advanced.is_empty()).then(Advanced::default) })
    }
}

impl Request for Table {
    fn slot(&self, index: usize) -> &dyn Slot {
        &*self.places[index]
    }

    fn slot_mut(&mut self, index: usize) -> &mut dyn Slot {
        &mut *self.places[index]
    }

    fn all_media_mut(&mut self) -> Vec<(usize, &mut Media)> {
        let places = self.places.iter_mut().enumerate();
        places.filter_map(|(index, place)| Some((index, place.media_mut()?))).collect()
    }

    fn advanced(&self) -> Option<&Advanced> {
        self.advanced.as_ref()
    }

    fn advanced_mut(&mut self) -> Option<&mut Advanced> {
        self.advanced.as_mut()
    }
}

/// The type that a struct would have for this field.
fn of_kind(field: &Field) -> Box<dyn Place> {
    match &field.kind {
        Kind::Text { .. } | Kind::Suggest { .. } | Kind::Model { .. } => place::<String>(field),
        Kind::Choice { .. } => place::<Chosen>(field),
        Kind::Integer { min, max } if *min >= 0 && is_beyond_i64(*max) => place::<u64>(field),
        Kind::Integer { .. } | Kind::NumberChoice { .. } => place::<i64>(field),
        Kind::Float { .. } => place::<f64>(field),
        Kind::Boolean => place::<bool>(field),
        Kind::Seed { .. } => place::<Seed>(field),
        Kind::Loras { .. } => place::<Loras>(field),
        Kind::Media { .. } => place::<Media>(field),
    }
}

fn is_beyond_i64(max: i128) -> bool {
    i64::try_from(max).is_err() && u64::try_from(max).is_ok()
}

/// As in a struct, what may be left out is an `Option`.
fn place<T: Slot + Default + Send + Sync + 'static>(field: &Field) -> Box<dyn Place> {
    if field.required { Box::new(T::default()) } else { Box::new(None::<T>) }
}

/// One of the options of a field.
#[derive(Default)]
struct Chosen(String);

impl fmt::Debug for Chosen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Slot for Chosen {
    fn accept(&mut self, field: &Field, raw: Raw<'_>, _: &DecodeLimits) -> Result<(), ValueFault> {
        let text = choice(field, raw)?;
        match &field.kind {
            Kind::Choice { options } if !options.iter().any(|option| **option == *text) => {
                Err(not_an_option(&text, options))
            }
            _ => {
                self.0 = text;
                Ok(())
            }
        }
    }

    fn is_set(&self) -> bool {
        true
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_text(&self.0, out);
    }
}
