//! How large a picture becomes, and which part of it goes where. No pixels here.

use crate::{Fit, Resize};

/// A way from one size to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plan {
    /// The part that is used: left, top, width and height, in pixels of the original.
    pub(crate) part: [f64; 4],
    /// How large it becomes.
    pub(crate) size: (u32, u32),
    /// How large the whole becomes, and where the picture goes in it, if it does not fill it.
    pub(crate) canvas: Option<((u32, u32), (u32, u32))>,
}

impl Plan {
    /// How large the result is.
    pub(crate) fn outcome(&self) -> (u32, u32) {
        self.canvas.map_or(self.size, |(size, _)| size)
    }

    pub(crate) fn new(resize: &Resize, (width, height): (u32, u32)) -> Self {
        let enlarges = resize.upscale.unwrap_or(resize.fit != Fit::Inside);
        let (from_width, from_height) = (f64::from(width), f64::from(height));
        let horizontal = resize.width.map(|length| f64::from(length) / from_width);
        let vertical = resize.height.map(|length| f64::from(length) / from_height);
        let most = if enlarges { f64::INFINITY } else { 1.0 };
        let whole = [0.0, 0.0, from_width, from_height];
        let scaled = |scale: f64| (pixels(from_width * scale), pixels(from_height * scale));
        let (Some(horizontal), Some(vertical)) = (horizontal, vertical) else {
            let scale = horizontal.or(vertical).unwrap_or(1.0).min(most);
            return Self { part: whole, size: scaled(scale), canvas: None };
        };
        let wanted = (resize.width.unwrap_or(width), resize.height.unwrap_or(height));
        let small = horizontal.min(vertical).min(most);
        match resize.fit {
            Fit::Fill => {
                let size =
                    (pixels(from_width * horizontal.min(most)), pixels(from_height * vertical.min(most)));
                Self { part: whole, size, canvas: None }
            }
            Fit::Inside => Self { part: whole, size: scaled(small), canvas: None },
            Fit::Contain => {
                let (inner_width, inner_height) = scaled(small);
                let size = (inner_width.min(wanted.0), inner_height.min(wanted.1));
                let (across, down) = resize.position.shares();
                let at = (place(wanted.0 - size.0, across), place(wanted.1 - size.1, down));
                Self { part: whole, size, canvas: (size != wanted).then_some((wanted, at)) }
            }
            Fit::Cover => {
                let large = horizontal.max(vertical);
                let part_width = (f64::from(wanted.0) / large).min(from_width);
                let part_height = (f64::from(wanted.1) / large).min(from_height);
                let (across, down) = resize.position.shares();
                let part = [
                    (from_width - part_width) * across,
                    (from_height - part_height) * down,
                    part_width,
                    part_height,
                ];
                let size = if large > most { (pixels(part_width), pixels(part_height)) } else { wanted };
                Self { part, size, canvas: None }
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded, positive and far below 2^32"
)]
fn pixels(length: f64) -> u32 {
    length.round().clamp(1.0, f64::from(u32::MAX)) as u32
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of what was a u32")]
fn place(free: u32, share: f64) -> u32 {
    (f64::from(free) * share).floor() as u32
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "sums and halves of small whole numbers are exact")]
mod tests {
    use super::*;
    use crate::Position;

    fn plan(width: u32, height: u32, fit: Fit, upscale: Option<bool>, from: (u32, u32)) -> Plan {
        let resize = Resize { width: Some(width), height: Some(height), fit, upscale, ..Resize::default() };
        Plan::new(&resize, from)
    }

    #[test]
    fn each_fit_has_its_size() {
        for (fit, upscale, from, outcome, size) in [
            (Fit::Inside, None, (400, 200), (100, 50), (100, 50)),
            (Fit::Inside, None, (40, 20), (40, 20), (40, 20)),
            (Fit::Inside, Some(true), (40, 20), (100, 50), (100, 50)),
            (Fit::Contain, None, (400, 200), (100, 80), (100, 50)),
            (Fit::Contain, Some(false), (40, 20), (100, 80), (40, 20)),
            (Fit::Cover, None, (400, 200), (100, 80), (100, 80)),
            (Fit::Cover, Some(false), (40, 20), (25, 20), (25, 20)),
            (Fit::Fill, None, (40, 20), (100, 80), (100, 80)),
            (Fit::Fill, Some(false), (40, 200), (40, 80), (40, 80)),
        ] {
            let plan = plan(100, 80, fit, upscale, from);
            assert_eq!((plan.outcome(), plan.size), (outcome, size), "{fit:?} {upscale:?} {from:?}");
        }
    }

    #[test]
    fn positions_say_what_is_kept_and_where_it_goes() {
        let of = |fit, position| {
            let resize = Resize { width: Some(10), height: Some(10), fit, position, ..Resize::default() };
            Plan::new(&resize, (40, 20))
        };
        assert_eq!(of(Fit::Cover, Position::Center).part, [10.0, 0.0, 20.0, 20.0]);
        assert_eq!(of(Fit::Cover, Position::Left).part, [0.0, 0.0, 20.0, 20.0]);
        assert_eq!(of(Fit::Cover, Position::BottomRight).part, [20.0, 0.0, 20.0, 20.0]);
        assert_eq!(of(Fit::Contain, Position::Top).canvas, Some(((10, 10), (0, 0))));
        assert_eq!(of(Fit::Contain, Position::Bottom).canvas, Some(((10, 10), (0, 5))));
    }

    #[test]
    fn one_side_leads_to_the_other() {
        let resize = Resize { width: Some(100), ..Resize::default() };
        assert_eq!(Plan::new(&resize, (400, 100)).size, (100, 25));
        assert_eq!(Plan::new(&resize, (1000, 1)).size, (100, 1));
        assert_eq!(Plan::new(&resize, (50, 10)).size, (50, 10));
    }
}
