//! Pictures that are painted row by row when somebody wants to see them.
//!
//! A sampled picture costs nothing until it is saved, whatever its size: its rows come in bands of equal rows, and the
//! PNG writer knows a repeated row when it is told of one.

use std::sync::Arc;

use super::font;

/// A colour picture. Cheap to copy.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub width: u32,
    pub height: u32,
    pub source: Source,
}

/// Where the pixels come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// One colour.
    Solid([u8; 3]),
    /// Coloured cells with text on them.
    Painted(Arc<Painting>),
    /// Pixels, three bytes each, by rows.
    Pixels(Arc<Vec<u8>>),
}

/// What is painted.
#[derive(Debug, Clone)]
pub(crate) struct Painting {
    pub seed: u64,
    pub lines: Vec<String>,
    pub inverted: bool,
}

/// Rows with the same key look the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowKey {
    Same,
    Band(u32, u32),
    Own(u32),
}

impl Picture {
    pub(crate) fn solid(width: u32, height: u32, colour: [u8; 3]) -> Self {
        Self { width, height, source: Source::Solid(colour) }
    }

    pub(crate) fn pixels(width: u32, height: u32, pixels: Vec<u8>) -> Self {
        Self { width, height, source: Source::Pixels(Arc::new(pixels)) }
    }

    pub(crate) fn row_key(&self, y: u32) -> RowKey {
        match &self.source {
            Source::Solid(_) => RowKey::Same,
            Source::Pixels(_) => RowKey::Own(y),
            Source::Painted(painting) => {
                let layout = Layout::of(self.width, self.height, painting);
                RowKey::Band(
                    y / layout.cell,
                    layout.text_row(y).map_or(u32::MAX, |(line, row)| line * 8 + row),
                )
            }
        }
    }

    /// Appends the row's pixels, three bytes each.
    pub(crate) fn row(&self, y: u32, out: &mut Vec<u8>) {
        match &self.source {
            Source::Solid(colour) => (0..self.width).for_each(|_| out.extend_from_slice(colour)),
            Source::Pixels(pixels) => {
                let start = y as usize * self.width as usize * 3;
                out.extend_from_slice(&pixels[start..start + self.width as usize * 3]);
            }
            Source::Painted(painting) => self.paint_row(painting, y, out),
        }
    }

    fn paint_row(&self, painting: &Painting, y: u32, out: &mut Vec<u8>) {
        let layout = Layout::of(self.width, self.height, painting);
        let start = out.len();
        let mut x = 0;
        while x < self.width {
            let colour = layout.colour(x / layout.cell, y / layout.cell);
            let end = (x + layout.cell).min(self.width);
            (x..end).for_each(|_| out.extend_from_slice(&colour));
            x = end;
        }
        let Some((line, row)) = layout.text_row(y) else { return };
        let Some(text) = painting.lines.get(line as usize) else { return };
        for (index, letter) in (0_u32..).zip(text.chars()) {
            let left = layout.scale * (2 + index * font::ADVANCE);
            if left + layout.scale * font::ADVANCE > self.width {
                break;
            }
            for column in 0..5 {
                if font::dot(letter, column, row) {
                    let from = start + (left + column * layout.scale) as usize * 3;
                    let ink = if painting.inverted { 0 } else { 255 };
                    out[from..from + layout.scale as usize * 3].fill(ink);
                }
            }
        }
    }

    /// All pixels, three bytes each.
    pub(crate) fn to_pixels(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.width as usize * self.height as usize * 3);
        let mut last = None;
        for y in 0..self.height {
            let key = self.row_key(y);
            if last == Some(key) {
                out.extend_from_within(out.len() - self.width as usize * 3..);
            } else {
                self.row(y, &mut out);
            }
            last = Some(key);
        }
        out
    }

    /// The colour at a place.
    pub(crate) fn at(&self, x: u32, y: u32) -> [u8; 3] {
        match &self.source {
            Source::Solid(colour) => *colour,
            Source::Pixels(pixels) => {
                let start = (y as usize * self.width as usize + x as usize) * 3;
                [pixels[start], pixels[start + 1], pixels[start + 2]]
            }
            Source::Painted(painting) => {
                let layout = Layout::of(self.width, self.height, painting);
                layout.colour(x / layout.cell, y / layout.cell)
            }
        }
    }

    /// The same subject at another size, or `None` if pixels have to be resampled.
    pub(crate) fn repainted(&self, width: u32, height: u32) -> Option<Self> {
        match &self.source {
            Source::Pixels(_) => None,
            source => Some(Self { width, height, source: source.clone() }),
        }
    }

    pub(crate) fn inverted(&self) -> Self {
        let source = match &self.source {
            Source::Solid(colour) => Source::Solid(colour.map(inverse)),
            Source::Pixels(pixels) => Source::Pixels(Arc::new(pixels.iter().copied().map(inverse).collect())),
            Source::Painted(painting) => {
                Source::Painted(Arc::new(Painting { inverted: !painting.inverted, ..(**painting).clone() }))
            }
        };
        Self { source, ..*self }
    }
}

/// One minus a value, in single precision and cut off, as ComfyUI arrives at it.
fn inverse(value: u8) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 255")]
    let inverse = ((1.0 - f32::from(value) / 255.0) * 255.0) as u8;
    inverse
}

/// How a painting fills its canvas.
struct Layout {
    /// Side of a cell in pixels, a multiple of eight where there is room.
    cell: u32,
    /// Side of a dot of a letter in pixels.
    scale: u32,
    columns: u32,
    rows: u32,
    lines: u32,
    seed: u64,
    inverted: bool,
}

impl Layout {
    fn of(width: u32, height: u32, painting: &Painting) -> Self {
        let cell = (width.min(height) / 16 / 8 * 8).max(4);
        Self {
            cell,
            scale: (width / 320).max(1),
            columns: width.div_ceil(cell),
            rows: height.div_ceil(cell),
            lines: u32::try_from(painting.lines.len()).unwrap_or(u32::MAX),
            seed: painting.seed,
            inverted: painting.inverted,
        }
    }

    /// Which line of text crosses a row of pixels, and at which of its dots.
    fn text_row(&self, y: u32) -> Option<(u32, u32)> {
        let dots = (y / self.scale).checked_sub(2)?;
        let (line, row) = (dots / (font::HEIGHT + 3), dots % (font::HEIGHT + 3));
        (line < self.lines && row < font::HEIGHT).then_some((line, row))
    }

    /// A sky from one hue into another, with a sun in it.
    fn colour(&self, column: u32, row: u32) -> [u8; 3] {
        let hue = |shift: u64| -> [u32; 3] {
            let word =
                self.seed.rotate_left(u32::try_from(shift).unwrap_or(0)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            [word >> 40, word >> 48, word >> 56].map(|part| 40 + u32::try_from(part & 0x7F).unwrap_or(0))
        };
        let (top, bottom) = (hue(0), hue(23));
        let sun_column = u32::try_from(self.seed % u64::from(self.columns.max(1))).unwrap_or(0);
        let sun_row = self.rows * 3 / 5;
        let (dx, dy) = (column.abs_diff(sun_column), row.abs_diff(sun_row));
        let radius = (self.columns.min(self.rows) / 5).max(1);
        let glow = if dx * dx + dy * dy <= radius * radius { 90 } else { 0 };
        let span = self.rows.max(1);
        [0, 1, 2].map(|part| {
            let value = (top[part] * (span - row.min(span)) + bottom[part] * row) / span + glow;
            let value = u8::try_from(value.min(255)).unwrap_or(255);
            if self.inverted { 255 - value } else { value }
        })
    }
}
