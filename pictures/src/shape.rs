//! Pixels as they are wished for.

use fast_image_resize::{ResizeOptions, Resizer};
use image::{DynamicImage, ImageBuffer, LumaA, Pixel, Rgb, Rgba};

use crate::{
    Alpha, Colour, Crop, Fault, Limits, MemberFault, Picture, Resize, Wish, geometry::Plan, wish::Background,
};

impl Picture {
    /// Cuts, resizes, and sees to transparency, in this order.
    pub fn shaped(mut self, wish: &Wish, limits: &Limits) -> Result<Self, Fault> {
        if let Some(crop) = &wish.crop {
            self.pixels = cut(self.pixels, *crop)?;
        }
        if let Some(resize) = &wish.resize {
            self.pixels = resized(self.pixels, resize, limits)?;
        }
        if wish.mask_from_alpha {
            self.pixels = mask(&self.pixels)?;
        }
        self.pixels = match wish.alpha {
            None | Some(Alpha::Keep) => self.pixels,
            Some(Alpha::Drop) => opaque(self.pixels),
            Some(Alpha::On(colour)) => laid_on(self.pixels, colour),
        };
        // One colour may have become several, or all of them one.
        let has_colour = self.pixels.color().has_color();
        self.icc = self.icc.and_then(|icc| crate::exif::profile(icc, has_colour));
        Ok(self)
    }
}

fn member(names: &[&str], message: String) -> Fault {
    Fault::Member(MemberFault::new(names, message))
}

fn cut(pixels: DynamicImage, crop: Crop) -> Result<DynamicImage, Fault> {
    let (width, height) = (pixels.width(), pixels.height());
    let fits = |from: u32, length: u32, whole: u32| {
        length > 0 && from.checked_add(length).is_some_and(|end| end <= whole)
    };
    if !fits(crop.x, crop.width, width) || !fits(crop.y, crop.height, height) {
        return Err(member(&["crop"], format!("must lie within the picture, which is {width} × {height}")));
    }
    Ok(pixels.crop_imm(crop.x, crop.y, crop.width, crop.height))
}

fn resized(pixels: DynamicImage, resize: &Resize, limits: &Limits) -> Result<DynamicImage, Fault> {
    let from = (pixels.width(), pixels.height());
    let plan = Plan::new(resize, from);
    let (width, height) = plan.outcome();
    if width.max(height) > limits.side || u64::from(width) * u64::from(height) > limits.pixels {
        let (most, side) = (limits.pixels, limits.side);
        let message =
            format!("leads to {width} × {height}; at most {most} pixels and {side} on a side are made");
        return Err(member(&["resize"], message));
    }
    let [left, top, part_width, part_height] = plan.part;
    // A part of it is smaller than the whole, and never becomes as large by chance.
    let scaled = if plan.size == from {
        pixels
    } else {
        let mut scaled = DynamicImage::new(plan.size.0, plan.size.1, pixels.color());
        let options = ResizeOptions::new().crop(left, top, part_width, part_height);
        Resizer::new()
            .resize(&pixels, &mut scaled, &options)
            .map_err(|error| member(&["resize"], format!("is not possible for this picture: {error}")))?;
        scaled
    };
    let Some((canvas, at)) = plan.canvas else { return Ok(scaled) };
    Ok(mounted(scaled, canvas, at, resize.background.unwrap_or(Background::Opaque(Colour::BLACK))))
}

fn is_deep(pixels: &DynamicImage) -> bool {
    pixels.color().bytes_per_pixel() / pixels.color().channel_count() > 1
}

fn deep([red, green, blue]: [u8; 3]) -> [u16; 3] {
    [red, green, blue].map(|value| u16::from(value) * 257)
}

/// Puts a picture on a larger one of a single colour, its own transparency untouched.
fn mounted(pixels: DynamicImage, size: (u32, u32), at: (u32, u32), background: Background) -> DynamicImage {
    let transparent = pixels.color().has_alpha() || background == Background::Transparent;
    let (Colour([red, green, blue]), opacity) = match background {
        Background::Transparent => (Colour::BLACK, 0),
        Background::Opaque(colour) => (colour, u8::MAX),
    };
    let [r16, g16, b16] = deep([red, green, blue]);
    match (is_deep(&pixels), transparent) {
        (false, false) => on(&pixels.into_rgb8(), Rgb([red, green, blue]), size, at).into(),
        (false, true) => on(&pixels.into_rgba8(), Rgba([red, green, blue, opacity]), size, at).into(),
        (true, false) => on(&pixels.into_rgb16(), Rgb([r16, g16, b16]), size, at).into(),
        (true, true) => {
            on(&pixels.into_rgba16(), Rgba([r16, g16, b16, u16::from(opacity) * 257]), size, at).into()
        }
    }
}

type Pixels<P> = ImageBuffer<P, Vec<<P as Pixel>::Subpixel>>;

fn on<P: Pixel>(picture: &Pixels<P>, background: P, size: (u32, u32), at: (u32, u32)) -> Pixels<P> {
    let mut canvas = ImageBuffer::from_pixel(size.0, size.1, background);
    image::imageops::replace(&mut canvas, picture, at.0.into(), at.1.into());
    canvas
}

/// Forgets transparency.
fn opaque(pixels: DynamicImage) -> DynamicImage {
    match pixels {
        DynamicImage::ImageLumaA8(_) => pixels.into_luma8().into(),
        DynamicImage::ImageLumaA16(_) => pixels.into_luma16().into(),
        DynamicImage::ImageRgba8(_) => pixels.into_rgb8().into(),
        DynamicImage::ImageRgba16(_) => pixels.into_rgb16().into(),
        other => other,
    }
}

/// Lays a picture on a colour.
pub(crate) fn laid_on(pixels: DynamicImage, colour: Colour) -> DynamicImage {
    if !pixels.color().has_alpha() {
        return pixels;
    }
    if is_deep(&pixels) {
        let ground = deep(colour.0).map(u64::from);
        let mix = |value: u16, opacity: u16, ground: u64| {
            let (value, opacity, most) = (u64::from(value), u64::from(opacity), u64::from(u16::MAX));
            u16::try_from((value * opacity + ground * (most - opacity) + most / 2) / most).unwrap_or(u16::MAX)
        };
        return flat(&pixels.into_rgba16(), ground, mix).into();
    }
    let mix = |value: u8, opacity: u8, ground: u32| {
        let (value, opacity) = (u32::from(value), u32::from(opacity));
        u8::try_from((value * opacity + ground * (255 - opacity) + 127) / 255).unwrap_or(u8::MAX)
    };
    flat(&pixels.into_rgba8(), colour.0.map(u32::from), mix).into()
}

fn flat<T, G: Copy>(pixels: &Pixels<Rgba<T>>, ground: [G; 3], mix: impl Fn(T, T, G) -> T) -> Pixels<Rgb<T>>
where
    Rgba<T>: Pixel<Subpixel = T>,
    Rgb<T>: Pixel<Subpixel = T>,
    T: image::Primitive,
{
    let mut flat = ImageBuffer::new(pixels.width(), pixels.height());
    for (Rgba([red, green, blue, opacity]), to) in pixels.pixels().zip(flat.pixels_mut()) {
        *to = Rgb([
            mix(*red, *opacity, ground[0]),
            mix(*green, *opacity, ground[1]),
            mix(*blue, *opacity, ground[2]),
        ]);
    }
    flat
}

/// White and transparent where the picture is transparent, black and opaque elsewhere: the same mask, whether it is
/// read from a channel or from what is not opaque.
fn mask(pixels: &DynamicImage) -> Result<DynamicImage, Fault> {
    if !pixels.color().has_alpha() {
        return Err(member(
            &["mask_from_alpha"],
            "needs a picture with transparency; this has none".to_owned(),
        ));
    }
    let mut mask = pixels.to_luma_alpha8();
    for LumaA([marked, opacity]) in mask.pixels_mut() {
        *marked = u8::MAX - *opacity;
    }
    Ok(mask.into())
}
