//! What becomes of values that people think in: seconds, a ratio, a number of results.
//!
//! Such a value is a field of the request that no node has. A rule says which inputs it is turned into, and back: what
//! a run was made with is told in both.

use crate::endpoint::{Binding, Endpoint, Tier};

/// How a field is turned into values of nodes.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// Seconds are frames.
    Duration {
        /// The field that is given in seconds.
        duration: String,
        /// The input that is a number of frames.
        frames: Binding,
        /// Frames a second.
        rate: Rate,
        /// Which numbers of frames there are.
        steps: Steps,
    },
    /// A ratio and an area are a width and a height.
    Size {
        /// The field that is a ratio: `16:9`.
        aspect_ratio: String,
        /// The field that is an area, in units of 1024 × 1024 pixels.
        megapixels: String,
        /// The input that is the width in pixels.
        width: Binding,
        /// Which widths there are.
        widths: Steps,
        /// The input that is the height in pixels.
        height: Binding,
        /// Which heights there are.
        heights: Steps,
    },
    /// A field by another name.
    Same {
        /// The field.
        field: String,
        /// The input it sets.
        input: Binding,
    },
    /// Of a field and an input only one may be given.
    Either {
        /// The field.
        field: String,
        /// What it takes the place of.
        input: Binding,
    },
    /// A seed that is another one's where it is left out.
    SharedSeed {
        /// The seed that is followed.
        seed: Binding,
        /// The seed that follows.
        follower: Binding,
    },
}

/// Frames a second.
#[derive(Debug, Clone, PartialEq)]
pub enum Rate {
    /// As the workflow says.
    Constant(f64),
    /// As this input is set to.
    Input(Binding),
}

/// The numbers `first`, `first + step`, `first + 2 × step`… up to `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// The least number.
    pub first: i64,
    /// The distance, at least 1.
    pub step: i64,
    /// No number is greater.
    pub last: i64,
}

/// Where a value stands in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Among the fields, by position.
    Field(u16),
    /// Among the fields of `advanced`, by position.
    Advanced(u16),
}

/// A [`Rule`] whose fields are told by position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PlacedRule {
    /// See [`Rule::Duration`].
    Duration {
        /// A field of the request.
        duration: u16,
        /// The number of frames.
        frames: Place,
        /// Frames a second.
        rate: PlacedRate,
        /// Which numbers of frames there are.
        steps: Steps,
    },
    /// See [`Rule::Size`].
    Size {
        /// A field of the request.
        aspect_ratio: u16,
        /// A field of the request.
        megapixels: u16,
        /// The width in pixels.
        width: Place,
        /// Which widths there are.
        widths: Steps,
        /// The height in pixels.
        height: Place,
        /// Which heights there are.
        heights: Steps,
    },
    /// See [`Rule::Same`].
    Same {
        /// A field of the request.
        field: u16,
        /// What it sets.
        input: Place,
    },
    /// See [`Rule::Either`].
    Either {
        /// A field of the request.
        field: u16,
        /// What it takes the place of.
        input: Place,
    },
    /// See [`Rule::SharedSeed`].
    SharedSeed {
        /// The seed that is followed.
        seed: Place,
        /// The seed that follows.
        follower: Place,
    },
}

/// Frames a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PlacedRate {
    /// As the workflow says.
    Constant(f64),
    /// As the request says.
    Given(Place),
}

impl Endpoint {
    /// The rules for fields that callers can set.
    pub fn placed_rules(&self) -> Vec<PlacedRule> {
        self.rules.iter().filter_map(|rule| self.placed(rule)).collect()
    }

    fn placed(&self, rule: &Rule) -> Option<PlacedRule> {
        Some(match rule {
            Rule::Duration { duration, frames, rate, steps } => PlacedRule::Duration {
                duration: self.field(duration)?,
                frames: self.place(frames)?,
                rate: match rate {
                    Rate::Constant(fps) => PlacedRate::Constant(*fps),
                    Rate::Input(binding) => PlacedRate::Given(self.place(binding)?),
                },
                steps: *steps,
            },
            Rule::Size { aspect_ratio, megapixels, width, widths, height, heights } => PlacedRule::Size {
                aspect_ratio: self.field(aspect_ratio)?,
                megapixels: self.field(megapixels)?,
                width: self.place(width)?,
                widths: *widths,
                height: self.place(height)?,
                heights: *heights,
            },
            Rule::Same { field, input } => {
                PlacedRule::Same { field: self.field(field)?, input: self.place(input)? }
            }
            Rule::Either { field, input } => {
                PlacedRule::Either { field: self.field(field)?, input: self.place(input)? }
            }
            Rule::SharedSeed { seed, follower } => {
                PlacedRule::SharedSeed { seed: self.place(seed)?, follower: self.place(follower)? }
            }
        })
    }

    /// Where the field that sets an input stands, if callers can set it.
    pub fn place(&self, binding: &Binding) -> Option<Place> {
        let sets = |param: &&crate::Param| param.derived.is_none() && param.bindings.contains(binding);
        self.position(Tier::Primary, sets)
            .map(Place::Field)
            .or_else(|| self.position(Tier::Advanced, sets).map(Place::Advanced))
    }

    /// The position of a field of the request itself.
    pub fn field(&self, name: &str) -> Option<u16> {
        self.position(Tier::Primary, |param| param.name == name)
    }

    fn position(&self, tier: Tier, is: impl Fn(&&crate::Param) -> bool) -> Option<u16> {
        self.tier(tier).position(|param| is(&param)).and_then(|position| u16::try_from(position).ok())
    }
}
