//! Fields that no node has, and what they are turned into.

use crate::{
    Allowed, DecodeLimits, Endpoint, Fault, Kind, Raw, Request,
    fault::{ValueFault, step},
};

/// How a field is turned into values of nodes, and back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Seconds are frames.
    Duration {
        /// The position of the field that is given in seconds.
        duration: u16,
        /// The number of frames.
        frames: Place,
        /// Frames a second.
        rate: Rate,
        /// Which numbers of frames there are.
        steps: Steps,
    },
    /// A ratio and an area are a width and a height.
    Size {
        /// The position of the field that is a ratio: `16:9`, or a number.
        aspect_ratio: u16,
        /// The position of the field that is an area, in units of 1024 × 1024 pixels.
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
    /// A field by another name.
    Same {
        /// The position of the field.
        field: u16,
        /// What it sets.
        input: Place,
    },
    /// Of a field and an input only one may be given.
    Either {
        /// The position of the field.
        field: u16,
        /// What it takes the place of.
        input: Place,
    },
    /// A seed that is another one's where it is left out.
    SharedSeed {
        /// The seed that is followed.
        seed: Place,
        /// The seed that follows.
        follower: Place,
    },
}

/// Where a value stands in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Among the fields, by position.
    Field(u16),
    /// Among the fields of `advanced`, by position.
    Advanced(u16),
}

/// Frames a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// As the workflow says.
    Constant(f64),
    /// As the request says.
    Given(Place),
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

impl Steps {
    /// The nearest of the numbers. `None` where the value is farther above the greatest one than a step.
    fn nearest(self, value: f64) -> Option<i64> {
        let Self { first, step, last } = self;
        let count = (last - first).max(0) / step.max(1);
        #[expect(clippy::cast_precision_loss, reason = "pixels and frames are far below 2^53")]
        let wanted = ((value - first as f64) / step.max(1) as f64).round();
        #[expect(clippy::cast_possible_truncation, reason = "between 0 and the number of steps")]
        #[expect(clippy::cast_precision_loss, reason = "pixels and frames are far below 2^53")]
        (wanted <= count as f64).then(|| first + wanted.max(0.0) as i64 * step.max(1))
    }
}

/// A megapixel as ComfyUI's own nodes count it.
const MEGAPIXEL: f64 = 1024.0 * 1024.0;

/// Turns what callers gave into what nodes take, fills in the rest, and says where callers contradict themselves.
pub(crate) fn apply(endpoint: &Endpoint, request: &mut dyn Request, limits: &DecodeLimits) -> Vec<Fault> {
    let mut values = Values { endpoint, request, limits };
    let rules = endpoint.rules.iter();
    let faults = rules.filter_map(|rule| {
        match *rule {
            Rule::Duration { duration, frames, rate, steps } => {
                values.duration(duration, frames, rate, steps)
            }
            Rule::Size { aspect_ratio, megapixels, width, widths, height, heights } => {
                values.size((aspect_ratio, megapixels), (width, widths), (height, heights))
            }
            Rule::Same { field, input } => values.same(field, input),
            Rule::Either { field, input } => values.either(field, input),
            Rule::SharedSeed { .. } => Ok(()),
        }
        .err()
    });
    faults.collect()
}

/// Gives followers the seed that they follow. Comes after the seed itself was drawn.
pub(crate) fn share_seeds(endpoint: &Endpoint, request: &mut dyn Request, limits: &DecodeLimits) {
    let mut values = Values { endpoint, request, limits };
    for rule in &endpoint.rules {
        let Rule::SharedSeed { seed, follower } = *rule else { continue };
        let Some(seed) = values.json(seed).and_then(|json| json.parse::<u64>().ok()) else { continue };
        if values.is_given(follower) {
            continue;
        }
        let Kind::Seed { min, max } = values.field(follower).kind else { continue };
        // What follows may have a smaller range.
        let seed = match (max - min).checked_add(1) {
            Some(span) if !(min..=max).contains(&seed) => min + seed % span,
            _ => seed,
        };
        let _ = values.set(follower, &seed.to_string());
    }
}

struct Values<'r> {
    endpoint: &'r Endpoint,
    request: &'r mut dyn Request,
    limits: &'r DecodeLimits,
}

impl Values<'_> {
    fn duration(&mut self, duration: u16, frames: Place, rate: Rate, steps: Steps) -> Result<(), Fault> {
        let field = Place::Field(duration);
        let fps = match rate {
            Rate::Constant(fps) => Some(fps),
            Rate::Given(place) => self.number(place),
        };
        let Some(fps) = fps.filter(|fps| *fps > 0.0) else { return Ok(()) };
        if let Some(seconds) = self.given_number(field) {
            self.not_both(field, &[frames])?;
            let wanted = Some(seconds).filter(|seconds| *seconds > 0.0);
            let Some(count) = wanted.and_then(|seconds| steps.nearest(seconds * fps)) else {
                let seconds = |frames: i64| written(rounded(whole(frames) / fps));
                let last = steps.nearest(whole(steps.last) - whole(steps.step) / 2.0).unwrap_or(steps.last);
                let (min, max) = (seconds(steps.first), seconds(last));
                let message = format!("must be between {min} and {max} at {fps} frames a second");
                return Err(self.fault(field, ValueFault::new(message).allowed(Allowed::Range { min, max })));
            };
            self.set(frames, &count.to_string()).map_err(|fault| self.fault(field, fault))?;
        }
        if let Some(count) = self.number(frames) {
            // What was asked for may lie between two numbers of frames; what is told is what it became.
            let _ = self.set(field, &written(rounded(count / fps)));
        }
        Ok(())
    }

    fn size(
        &mut self,
        (aspect_ratio, megapixels): (u16, u16),
        (width, widths): (Place, Steps),
        (height, heights): (Place, Steps),
    ) -> Result<(), Fault> {
        let (ratio_field, area_field) = (Place::Field(aspect_ratio), Place::Field(megapixels));
        let places = [ratio_field, area_field, width, height];
        let given: Vec<Place> = places.into_iter().filter(|place| self.is_given(*place)).collect();
        let derived = given.iter().find(|place| [ratio_field, area_field].contains(place)).copied();
        if let (Some(first), 3..) = (derived, given.len()) {
            let names: Vec<String> = places.iter().map(|place| format!("`{}`", self.name(*place))).collect();
            let message = format!("give at most two of {}", names.join(", "));
            return Err(self.fault(first, ValueFault::new(message)));
        }
        let (Some(default_width), Some(default_height)) = (self.number(width), self.number(height)) else {
            return Ok(());
        };
        if let Some(at) = derived {
            let ratio = match self.given_text(ratio_field) {
                Some(text) => Some(ratio(&text).ok_or_else(|| {
                    let fault = ValueFault::new("must be a ratio of two numbers such as 16:9");
                    self.fault(ratio_field, fault)
                })?),
                None => None,
            };
            let area = self.given_number(area_field).map(|area| area * MEGAPIXEL);
            if area.is_some_and(|area| area <= 0.0) {
                return Err(self.fault(area_field, ValueFault::new("must be greater than 0")));
            }
            let (fixed_width, fixed_height) = (self.given_number(width), self.given_number(height));
            let shape = ratio.unwrap_or(default_width / default_height);
            let pixels = area.unwrap_or(default_width * default_height);
            let (wide, high) = match (fixed_width, fixed_height) {
                (Some(wide), _) => (wide, if ratio.is_some() { wide / shape } else { pixels / wide }),
                (_, Some(high)) => (if ratio.is_some() { high * shape } else { pixels / high }, high),
                (None, None) => ((pixels * shape).sqrt(), (pixels / shape).sqrt()),
            };
            let sides = [(width, widths, wide, fixed_width), (height, heights, high, fixed_height)];
            for (place, steps, wanted, _) in sides.into_iter().filter(|(.., fixed)| fixed.is_none()) {
                let fits = steps.nearest(wanted).filter(|_| wanted >= whole(steps.first) / 2.0);
                let Some(pixels) = fits else {
                    let message = format!(
                        "needs `{}` to be {}, which must be between {} and {}",
                        self.name(place),
                        written(wanted.round()),
                        steps.first,
                        steps.last
                    );
                    return Err(self.fault(at, ValueFault::new(message)));
                };
                self.set(place, &pixels.to_string()).map_err(|fault| self.fault(at, fault))?;
            }
        }
        let (Some(wide), Some(high)) = (self.number(width), self.number(height)) else { return Ok(()) };
        if !self.is_given(ratio_field) {
            let _ = self.set(ratio_field, &format!("\"{}\"", shape(wide, high)));
        }
        let _ = self.set(area_field, &written(rounded(wide * high / MEGAPIXEL)));
        Ok(())
    }

    fn same(&mut self, field: u16, input: Place) -> Result<(), Fault> {
        let field = Place::Field(field);
        if self.is_given(field) {
            self.not_both(field, &[input])?;
            if let Some(json) = self.json(field) {
                self.set(input, &json).map_err(|fault| self.fault(field, fault))?;
            }
        } else if let Some(json) = self.json(input) {
            // The input may take more than the field; then the field says nothing.
            let _ = self.set(field, &json);
        }
        Ok(())
    }

    fn either(&self, field: u16, input: Place) -> Result<(), Fault> {
        let field = Place::Field(field);
        if self.is_given(field) { self.not_both(field, &[input]) } else { Ok(()) }
    }

    fn not_both(&self, field: Place, others: &[Place]) -> Result<(), Fault> {
        match others.iter().find(|other| self.is_given(**other)) {
            Some(other) => {
                let message = format!("give `{}` or `{}`, not both", self.name(field), self.name(*other));
                Err(self.fault(field, ValueFault::new(message)))
            }
            None => Ok(()),
        }
    }

    fn field(&self, place: Place) -> &crate::Field {
        match place {
            Place::Field(index) => &self.endpoint.fields[usize::from(index)],
            Place::Advanced(index) => &self.endpoint.advanced[usize::from(index)],
        }
    }

    fn is_given(&self, place: Place) -> bool {
        match place {
            Place::Field(index) => self.request.slot(usize::from(index)).is_set(),
            Place::Advanced(index) => {
                self.request.advanced().is_some_and(|advanced| advanced.json(usize::from(index)).is_some())
            }
        }
    }

    /// The value that was given, else the default, as JSON.
    fn json(&self, place: Place) -> Option<String> {
        let given = match place {
            Place::Field(index) => {
                let slot = self.request.slot(usize::from(index));
                let mut json = Vec::new();
                slot.write(&mut json);
                slot.is_set().then_some(json)
            }
            Place::Advanced(index) => self
                .request
                .advanced()
                .and_then(|advanced| advanced.json(usize::from(index)))
                .map(<[u8]>::to_vec),
        };
        given
            .and_then(|json| String::from_utf8(json).ok())
            .or_else(|| self.field(place).default.as_deref().map(str::to_owned))
    }

    fn number(&self, place: Place) -> Option<f64> {
        self.json(place)?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    fn given_number(&self, place: Place) -> Option<f64> {
        if self.is_given(place) { self.number(place) } else { None }
    }

    fn given_text(&self, place: Place) -> Option<String> {
        if self.is_given(place) { serde_json::from_str(&self.json(place)?).ok() } else { None }
    }

    fn set(&mut self, place: Place, json: &str) -> Result<(), ValueFault> {
        match place {
            Place::Field(index) => {
                let index = usize::from(index);
                let field = &self.endpoint.fields[index];
                self.request.slot_mut(index).accept(field, Raw::Json(json), self.limits)
            }
            Place::Advanced(index) => {
                let index = usize::from(index);
                let field = &self.endpoint.advanced[index];
                match self.request.advanced_mut() {
                    Some(advanced) => advanced.accept(index, field, Raw::Json(json), self.limits),
                    None => Ok(()),
                }
            }
        }
    }

    /// As callers write it.
    fn name(&self, place: Place) -> String {
        let name = &self.field(place).name;
        if matches!(place, Place::Advanced(_)) { format!("advanced.{name}") } else { name.to_string() }
    }

    fn fault(&self, place: Place, fault: ValueFault) -> Fault {
        let name = &self.field(place).name;
        let prefix = if matches!(place, Place::Advanced(_)) { "/advanced" } else { "" };
        fault.at(format!("{prefix}{}", step(name)), self.name(place))
    }
}

/// `16:9`, `16/9`, `16x9` or `1.78`.
fn ratio(text: &str) -> Option<f64> {
    // Beyond this one side would be no picture any more.
    const MOST: f64 = 100.0;
    let part = |text: &str| text.trim().parse::<f64>().ok().filter(|part| part.is_finite() && *part > 0.0);
    let ratio = match text.split_once([':', '/', 'x', '×']) {
        Some((wide, high)) => part(wide)? / part(high)?,
        None => part(text)?,
    };
    (1.0 / MOST..=MOST).contains(&ratio).then_some(ratio)
}

/// A ratio in whole numbers, in lowest terms.
fn shape(wide: f64, high: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers of pixels")]
    let (wide, high) = (wide as u64, high as u64);
    let (mut a, mut b) = (wide, high);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    format!("{}:{}", wide / a.max(1), high / a.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "pixels and frames are far below 2^53")]
fn whole(number: i64) -> f64 {
    number as f64
}

/// To a thousandth: a frame, or a step of a side, is more.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn written(value: f64) -> String {
    format!("{value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_written_in_many_ways() {
        for text in ["16:9", " 16 : 9 ", "16/9", "16x9", "1.7777777777777777"] {
            assert!((ratio(text).unwrap() - 16.0 / 9.0).abs() < 1e-9, "{text}");
        }
        for text in ["", ":", "16:", "0:1", "1:0", "-1:2", "wide", "1:1000", "1e400:1", "NaN", "inf:inf"] {
            assert_eq!(ratio(text), None, "{text}");
        }
    }

    #[test]
    fn the_nearest_step_is_within_the_range() {
        let frames = Steps { first: 1, step: 4, last: 20 };
        assert_eq!(frames.nearest(80.0), None);
        assert_eq!(frames.nearest(17.0), Some(17));
        assert_eq!(frames.nearest(15.1), Some(17));
        assert_eq!(frames.nearest(14.9), Some(13));
        assert_eq!(frames.nearest(-3.0), Some(1));
        assert_eq!(frames.nearest(18.9), Some(17));
        assert_eq!(frames.nearest(20.0), None, "21 would be next");
        assert_eq!(frames.nearest(f64::NAN), None);
    }
}
