//! What becomes of pictures, looked at as pixels: bytes of files are their encoders' business.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation)]

use std::io::Cursor;

use comfyport_pictures::{
    Codec, Conversion, Fault, Limits, Made, MemberFault, Metadata, Picture, Read, Thumbnail, Wish, is_turned,
};
use image::{
    DynamicImage, GrayImage, ImageEncoder, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba, RgbaImage,
    codecs::{jpeg::JpegEncoder, png::PngEncoder},
};
use proptest::prelude::*;

const SIDE: u32 = 65_535;

fn limits() -> Limits {
    Limits::default()
}

fn wish(json: &str) -> Wish {
    Wish::read(json, SIDE).unwrap()
}

fn conversion(json: &str) -> Conversion {
    Conversion::read(json, SIDE).unwrap()
}

fn written(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, format).unwrap();
    out.into_inner()
}

fn read(made: &Made) -> DynamicImage {
    let picture = image::load_from_memory(&made.data).unwrap();
    assert_eq!((picture.width(), picture.height()), (made.width, made.height));
    picture
}

/// Four corners that are told apart: red, green, blue, white; 40 × 20.
fn corners() -> RgbImage {
    RgbImage::from_fn(40, 20, |x, y| match (x < 20, y < 10) {
        (true, true) => Rgb([255, 0, 0]),
        (false, true) => Rgb([0, 255, 0]),
        (true, false) => Rgb([0, 0, 255]),
        (false, false) => Rgb([255, 255, 255]),
    })
}

fn name(Rgb([red, green, blue]): Rgb<u8>) -> char {
    match (red > 127, green > 127, blue > 127) {
        (true, false, false) => 'r',
        (false, true, false) => 'g',
        (false, false, true) => 'b',
        (true, true, true) => 'w',
        _ => '?',
    }
}

/// The corners of a picture, row by row.
fn layout(picture: &DynamicImage) -> String {
    let picture = picture.to_rgb8();
    let (right, bottom) = (picture.width() - 3, picture.height() - 3);
    [(2, 2), (right, 2), (2, bottom), (right, bottom)]
        .map(|(x, y)| name(*picture.get_pixel(x, y)))
        .iter()
        .collect()
}

/// EXIF data that says nothing but how the camera was held.
fn exif(orientation: u8) -> Vec<u8> {
    [b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation, 0, 0], &[0; 4]].concat()
}

fn jpeg_held(orientation: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut out, 95);
    encoder.set_exif_metadata(exif(orientation)).unwrap();
    encoder.write_image(corners().as_raw(), 40, 20, image::ExtendedColorType::Rgb8).unwrap();
    out
}

fn png_held(orientation: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = PngEncoder::new(&mut out);
    encoder.set_exif_metadata(exif(orientation)).unwrap();
    encoder.write_image(corners().as_raw(), 40, 20, image::ExtendedColorType::Rgb8).unwrap();
    out
}

#[test]
fn every_way_to_hold_a_camera_is_made_good_once() {
    let expected = ["rgbw", "grwb", "wbgr", "bwrg", "rbgw", "brwg", "wgbr", "gwrb"];
    for (orientation, expected) in (1..=8_u8).zip(expected) {
        for (kind, file) in [("jpeg", jpeg_held(orientation)), ("png", png_held(orientation))] {
            assert_eq!(is_turned(&file, &limits()).unwrap(), orientation > 1, "{kind} {orientation}");
            let made = Wish::default().make(&file, &limits()).unwrap();
            let size = if orientation > 4 { (20, 40) } else { (40, 20) };
            assert_eq!((made.width, made.height), size, "{kind} {orientation}");
            assert_eq!(layout(&read(&made)), expected, "{kind} {orientation}");
            // Whoever reads it next finds nothing more to turn, whatever else of it is kept.
            for format in ["png", "jpeg", "webp"] {
                let kept = conversion(&format!("{{\"format\":\"{format}\"}}"));
                let kept = kept.make(&file, Metadata::Keep, &limits()).unwrap();
                assert!(!is_turned(&kept.data, &limits()).unwrap(), "{kind} {orientation} {format}");
                assert_eq!(layout(&read(&kept)), expected, "{kind} {orientation} {format}");
                let again = Wish::default().make(&kept.data, &limits()).unwrap();
                assert_eq!(layout(&read(&again)), expected, "{kind} {orientation} {format}");
            }
        }
    }
}

#[test]
fn metadata_is_left_out_unless_it_is_to_be_kept() {
    let holds = |data: &[u8]| data.windows(6).any(|window| window == b"MM\0\x2a\0\0");
    for format in ["png", "jpeg", "webp", "avif"] {
        let to = conversion(&format!("{{\"format\":\"{format}\"}}"));
        for (metadata, kept) in [(Metadata::Strip, false), (Metadata::Keep, true)] {
            let made = to.make(&jpeg_held(6), metadata, &limits()).unwrap();
            assert_eq!(holds(&made.data), kept, "{format} {metadata:?}");
        }
    }
}

#[test]
fn profiles_are_kept_if_they_are_of_these_channels() {
    let profile = |channels: &[u8]| [&[0; 16], channels, b"XYZ ", &[0; 104]].concat();
    let with = |icc: Vec<u8>| {
        let mut out = Vec::new();
        let mut encoder = PngEncoder::new(&mut out);
        encoder.set_icc_profile(icc).unwrap();
        encoder.write_image(corners().as_raw(), 40, 20, image::ExtendedColorType::Rgb8).unwrap();
        out
    };
    for (channels, expected) in [(b"RGB ", true), (b"CMYK", false)] {
        let file = with(profile(channels));
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
            let codec = Codec::named(format.extensions_str()[0]).unwrap();
            let made = Conversion::to(codec).make(&file, Metadata::Strip, &limits()).unwrap();
            let mut reader =
                image::ImageReader::with_format(Cursor::new(&made.data), format).into_decoder().unwrap();
            let icc = image::ImageDecoder::icc_profile(&mut reader).unwrap();
            assert_eq!(icc.is_some_and(|icc| icc == profile(channels)), expected, "{format:?}");
        }
    }
}

#[test]
fn formats_that_lose_nothing_lose_nothing() {
    let mut random = fastrand::Rng::with_seed(1);
    let clear = RgbaImage::from_fn(33, 17, |_, _| Rgba(std::array::from_fn(|_| random.u8(..))));
    let clear = DynamicImage::from(clear);
    for json in [r#"{"format":"png","compression":9}"#, r#"{"format":"webp","lossless":true}"#] {
        let made =
            conversion(json).make(&written(&clear, ImageFormat::Png), Metadata::Strip, &limits()).unwrap();
        assert_eq!(read(&made).to_rgba8(), clear.to_rgba8(), "{json}");
    }
    let deep = DynamicImage::from(image::ImageBuffer::<Rgb<u16>, _>::from_fn(33, 17, |_, _| {
        Rgb(std::array::from_fn(|_| random.u16(..)))
    }));
    let made = Wish::default().make(&written(&deep, ImageFormat::Png), &limits()).unwrap();
    assert_eq!(read(&made), deep);
    let made = wish(r#"{"crop":{"x":3,"y":2,"width":5,"height":4},"alpha":"white"}"#);
    let made = made.make(&written(&deep, ImageFormat::Tiff), &limits()).unwrap();
    assert_eq!(read(&made), deep.crop_imm(3, 2, 5, 4));
}

#[test]
fn webp_is_written_as_is_said() {
    let mut random = fastrand::Rng::with_seed(2);
    let noisy = RgbaImage::from_fn(96, 96, |x, y| {
        Rgba([(x * 2) as u8, (y * 2) as u8, random.u8(..64), random.u8(..)])
    });
    let file = written(&noisy.into(), ImageFormat::Png);
    let made = |options: &str| {
        let json = format!(r#"{{"format":"webp"{options}}}"#);
        let made = conversion(&json).make(&file, Metadata::Strip, &limits()).unwrap();
        assert_eq!((read(&made).width(), made.codec), (96, Codec::Webp), "{json}");
        made.data
    };
    let plain = made("");
    for options in [
        r#","webp":{"alpha_quality":1}"#,
        r#","webp":{"preset":"text"}"#,
        r#","webp":{"preset":"picture"}"#,
        r#","webp":{"sharp_colours":true}"#,
        r#","webp":{"near_lossless":true},"quality":40"#,
        r#","quality":20"#,
    ] {
        assert!(made(options) != plain, "{options} changes nothing");
    }
    assert!(made(r#","webp":{"effort":6}"#).len() < made(r#","webp":{"effort":0}"#).len());
    assert!(made(r#","webp":{"alpha_quality":1}"#).len() < plain.len());
    let lossless = |options: &str| made(options).windows(4).any(|four| four == b"VP8L");
    assert!(lossless(r#","webp":{"near_lossless":true}"#) && !lossless(""));
}

#[test]
fn formats_that_lose_something_lose_little() {
    let soft = RgbImage::from_fn(64, 64, |x, y| Rgb([(x * 4) as u8, (y * 4) as u8, (x + y) as u8]));
    let file = written(&soft.clone().into(), ImageFormat::Png);
    for codec in [Codec::Jpeg, Codec::Webp] {
        let made = Conversion::to(codec).make(&file, Metadata::Strip, &limits()).unwrap();
        let made = read(&made).to_rgb8();
        let off = made.as_raw().iter().zip(soft.as_raw()).map(|(one, other)| u64::from(one.abs_diff(*other)));
        let mean = off.sum::<u64>() as f64 / made.as_raw().len() as f64;
        assert!(mean < 3.0, "{codec:?}: {mean}");
    }
    // There is nobody here who could read it; its size stands in its first box that says one.
    let made = Conversion::to(Codec::Avif).make(&file, Metadata::Strip, &limits()).unwrap();
    let size = imagesize::blob_size(&made.data).unwrap();
    assert_eq!((size.width, size.height, &made.data[4..12]), (64, 64, b"ftypavif".as_slice()));
}

#[test]
fn what_is_invisible_does_not_bleed() {
    // Red that shows beside green that does not.
    let picture =
        RgbaImage::from_fn(64, 64, |x, _| if x < 32 { Rgba([255, 0, 0, 255]) } else { Rgba([0, 255, 0, 0]) });
    let file = written(&picture.into(), ImageFormat::Png);
    let made = wish(r#"{"resize":{"width":9}}"#).make(&file, &limits()).unwrap();
    for Rgba([_, green, _, opacity]) in read(&made).to_rgba8().pixels() {
        assert!(*green <= 1 || *opacity == 0, "{green} at {opacity}");
    }
}

#[test]
fn sizes_positions_and_backgrounds() {
    let file = written(&corners().into(), ImageFormat::Png);
    let make = |json: &str| read(&wish(json).make(&file, &limits()).unwrap());
    let cover = make(r#"{"resize":{"width":10,"height":20,"fit":"cover","position":"right"}}"#);
    assert_eq!((cover.width(), cover.height(), layout(&cover).as_str()), (10, 20, "ggww"));
    let contain =
        make(r##"{"resize":{"width":40,"height":40,"fit":"contain","background":"#00ff00"}}"##).to_rgb8();
    assert_eq!(contain.get_pixel(1, 1), &Rgb([0, 255, 0]));
    assert_eq!((name(*contain.get_pixel(2, 12)), name(*contain.get_pixel(38, 28))), ('r', 'w'));
    let clear = make(r#"{"resize":{"width":40,"height":40,"fit":"contain","background":"transparent"}}"#);
    assert_eq!(clear.to_rgba8().get_pixel(0, 0).0[3], 0);
    let fill = make(r#"{"resize":{"width":20,"height":20,"fit":"fill"}}"#);
    assert_eq!((fill.width(), fill.height(), layout(&fill).as_str()), (20, 20, "rgbw"));
    assert_eq!(make(r#"{"resize":{"width":400}}"#).width(), 40);
    assert_eq!(make(r#"{"resize":{"width":80,"upscale":true}}"#).height(), 40);
    // Cut first, then resized: the lower right quarter alone.
    let part = make(r#"{"crop":{"x":20,"y":10,"width":20,"height":10},"resize":{"width":10}}"#);
    assert_eq!((part.width(), part.height(), layout(&part).as_str()), (10, 5, "wwww"));
}

#[test]
fn transparency_is_kept_forgotten_or_laid_on_a_colour() {
    let half = RgbaImage::from_pixel(4, 4, Rgba([200, 100, 0, 128]));
    let file = written(&half.into(), ImageFormat::Png);
    let make = |json: &str| read(&wish(json).make(&file, &limits()).unwrap());
    assert_eq!(make(r#"{"alpha":"keep"}"#).to_rgba8().get_pixel(1, 1), &Rgba([200, 100, 0, 128]));
    let dropped = make(r#"{"alpha":"drop"}"#);
    assert!(!dropped.color().has_alpha());
    assert_eq!(dropped.to_rgb8().get_pixel(1, 1), &Rgb([200, 100, 0]));
    assert_eq!(make(r#"{"alpha":"black"}"#).to_rgb8().get_pixel(1, 1), &Rgb([100, 50, 0]));
    assert_eq!(make(r##"{"alpha":"#ffffff"}"##).to_rgb8().get_pixel(1, 1), &Rgb([227, 177, 127]));
    let jpeg = conversion(r##"{"format":"jpeg","background":"#0000ff"}"##);
    let jpeg = read(&jpeg.make(&file, Metadata::Strip, &limits()).unwrap()).to_rgb8();
    assert!(jpeg.get_pixel(1, 1).0[2] > 120);
}

#[test]
fn a_mask_says_the_same_in_every_channel() {
    let picture = RgbaImage::from_fn(8, 8, |x, _| Rgba([9, 9, 9, (x * 30) as u8]));
    let file = written(&picture.into(), ImageFormat::Png);
    let mask = read(&wish(r#"{"mask_from_alpha":true}"#).make(&file, &limits()).unwrap()).to_luma_alpha8();
    for (x, _, LumaA([marked, opacity])) in mask.enumerate_pixels() {
        assert_eq!((*marked, *opacity), (255 - (x * 30) as u8, (x * 30) as u8));
    }
    let opaque = written(&corners().into(), ImageFormat::Png);
    let fault = wish(r#"{"mask_from_alpha":true}"#).make(&opaque, &limits()).unwrap_err();
    assert!(matches!(fault, Fault::Member(MemberFault { member, .. }) if member == ["mask_from_alpha"]));
}

#[test]
fn faults_name_the_member() {
    for (json, expected) in [
        (
            r#"{"resize":{"widht":3}}"#,
            "`resize.widht` unknown field `widht`, expected one of `width`, `height`",
        ),
        (r#"{"resize":{}}"#, "`resize` must have `width`, `height` or both"),
        (r#"{"resize":{"width":0}}"#, "`resize.width` must be a whole number from 1 to 65535"),
        (r#"{"resize":{"width":"3"}}"#, "`resize.width` must be u32, not string \"3\""),
        (r#"{"resize":{"width":3,"fit":"crop"}}"#, "`resize.fit` unknown variant `crop`"),
        (r#"{"resize":{"width":3,"fit":"cover"}}"#, "`resize.fit` needs both"),
        (
            r#"{"resize":{"width":3,"background":"red"}}"#,
            "`resize.background` must be `transparent`, `white`",
        ),
        (r#"{"crop":{"width":3}}"#, "`crop` missing field `height`"),
        (r#"{"crop":{"width":0,"height":1}}"#, "`crop` must be at least one pixel"),
        (r##"{"alpha":"#+ffff0"}"##, "`alpha` must be `keep`"),
        (r#"{"alpha":"drop","mask_from_alpha":true}"#, "`alpha` cannot go with `mask_from_alpha`"),
        ("7", "must be an object, not integer `7`"),
    ] {
        let faults = Wish::read(json, SIDE).unwrap_err();
        let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(said.len() == 1 && said[0].starts_with(expected), "{json}: {said:?}");
    }
    for (json, expected) in [
        (r#"{"format":"gif"}"#, "`format` unknown variant `gif`"),
        (r#"{"format":"png","quality":80}"#, "`quality` has no meaning"),
        (r#"{"quality":101}"#, "`quality` must be a whole number from 1 to 100"),
        (r#"{"format":"avif","lossless":true}"#, "`lossless` is for PNG and WebP"),
        (r#"{"format":"webp","compression":3}"#, "`compression` is for PNG"),
        (r#"{"format":"png","webp":{"effort":3}}"#, "`webp` is for WebP"),
        (r#"{"format":"webp","webp":{"effort":7}}"#, "`webp.effort` must be a whole number from 0 to 6"),
        (r#"{"format":"webp","webp":{"alpha_quality":0}}"#, "`webp.alpha_quality` must be a whole number"),
        (r#"{"format":"webp","webp":{"preset":"film"}}"#, "`webp.preset` unknown variant"),
    ] {
        let faults = Conversion::read(json, SIDE).unwrap_err();
        assert!(faults.len() == 1 && faults[0].to_string().starts_with(expected), "{json}: {faults:?}");
    }
    assert!(Thumbnail::read("{}", SIDE).is_err());
}

#[test]
fn limits_hold_for_what_is_read_and_for_what_is_made() {
    let file = written(&corners().into(), ImageFormat::Png);
    let small = Limits { pixels: 799, ..limits() };
    assert!(matches!(Picture::decode(&file, &small), Err(Fault::TooLarge { width: 40, height: 20, .. })));
    let narrow = Limits { side: 39, ..limits() };
    assert!(matches!(Picture::decode(&file, &narrow), Err(Fault::TooLarge { .. })));
    let poor = Limits { memory: 2399, ..limits() };
    assert_eq!(
        Picture::decode(&file, &poor).unwrap_err(),
        Fault::TooMuchMemory { needed: 2400, allowed: 2399 }
    );
    let enlarged = wish(r#"{"resize":{"width":30000,"height":30000,"fit":"fill"}}"#);
    assert!(
        matches!(enlarged.make(&file, &limits()), Err(Fault::Member(fault)) if fault.member == ["resize"])
    );
    let long = conversion(r#"{"format":"webp","resize":{"width":20000,"height":1,"fit":"fill"}}"#);
    assert!(matches!(
        long.make(&file, Metadata::Strip, &limits()),
        Err(Fault::Unwritable { format: "webp", .. })
    ));
    let avif = Limits { avif_pixels: 10, ..limits() };
    let fault = Conversion::to(Codec::Avif).make(&file, Metadata::Strip, &avif).unwrap_err();
    assert!(matches!(fault, Fault::Unwritable { format: "avif", .. }));
    let outside = wish(r#"{"crop":{"x":4294967295,"y":0,"width":2,"height":2}}"#);
    assert!(matches!(outside.make(&file, &limits()), Err(Fault::Member(fault)) if fault.member == ["crop"]));
}

#[test]
fn what_moves_is_not_taken_for_a_picture_but_has_a_first_frame() {
    let mut gif = Vec::new();
    {
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut gif);
        for shade in [10, 200] {
            let frame = RgbaImage::from_pixel(20, 10, Rgba([shade, shade, shade, 255]));
            encoder.encode_frame(image::Frame::new(frame)).unwrap();
        }
    }
    assert_eq!(Picture::decode(&gif, &limits()).unwrap_err(), Fault::Animated);
    let thumbnail = Thumbnail::read(r#"{"width":10,"format":"png"}"#, SIDE).unwrap();
    let first = read(&thumbnail.make(&gif, &limits()).unwrap());
    assert_eq!((first.width(), first.to_luma8().get_pixel(5, 2)), (10, &Luma([10])));
}

#[test]
fn every_readable_format_becomes_every_writable_one() {
    let grey = GrayImage::from_fn(24, 16, |x, y| Luma([(x * 9 + y) as u8]));
    for (picture, formats) in [
        (
            DynamicImage::from(corners()),
            &[
                ImageFormat::Png,
                ImageFormat::Jpeg,
                ImageFormat::WebP,
                ImageFormat::Gif,
                ImageFormat::Bmp,
                ImageFormat::Tiff,
            ][..],
        ),
        (DynamicImage::from(grey.clone()), &[ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Tiff]),
        (DynamicImage::from(grey).to_luma_alpha16().into(), &[ImageFormat::Png]),
    ] {
        for format in formats {
            let mut out = Cursor::new(Vec::new());
            let flat = if *format == ImageFormat::Gif { picture.to_rgba8().into() } else { picture.clone() };
            flat.write_to(&mut out, *format).unwrap();
            for codec in Codec::ALL {
                let made = Conversion::to(codec).make(out.get_ref(), Metadata::Strip, &limits());
                let made = made.unwrap_or_else(|fault| panic!("{format:?} to {codec:?}: {fault}"));
                assert_eq!((made.width, made.height), (picture.width(), picture.height()));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_wish_leads_to_the_size_it_says_or_to_a_fault(
        (width, height) in (1_u32..80, 1_u32..80),
        (wanted_width, wanted_height) in (1_u32..200, 1_u32..200),
        fit in prop::sample::select(vec!["inside", "contain", "cover", "fill"]),
        position in prop::sample::select(vec!["center", "top", "bottom-right", "left"]),
        upscale in prop::option::of(any::<bool>()),
        clear in any::<bool>(),
    ) {
        let json = serde_json::json!({"resize": {
            "width": wanted_width, "height": wanted_height, "fit": fit, "position": position, "upscale": upscale,
        }});
        let picture = DynamicImage::new(width, height, if clear { image::ColorType::Rgba8 } else { image::ColorType::L8 });
        let made = wish(&json.to_string()).make(&written(&picture, ImageFormat::Png), &limits()).unwrap();
        prop_assert!(made.width <= wanted_width && made.height <= wanted_height);
        let exact = match fit {
            "inside" => false,
            "contain" => true,
            _ => upscale != Some(false) || width >= wanted_width && height >= wanted_height,
        };
        if exact {
            prop_assert_eq!((made.width, made.height), (wanted_width, wanted_height));
        }
        if upscale == Some(false) && fit != "contain" {
            prop_assert!(made.width <= width && made.height <= height);
        }
    }

    #[test]
    fn wishes_are_written_as_they_are_read(
        width in prop::option::of(1_u32..5000),
        alpha in prop::option::of(prop::sample::select(vec!["keep", "drop", "#0a0b0c"])),
        mask in any::<bool>(),
    ) {
        let mut json = serde_json::json!({});
        if let Some(width) = width { json["resize"] = serde_json::json!({"width": width}); }
        match alpha {
            Some(alpha) => json["alpha"] = alpha.into(),
            None => json["mask_from_alpha"] = mask.into(),
        }
        let read = wish(&json.to_string());
        prop_assert_eq!(wish(&serde_json::to_string(&read).unwrap()), read);
    }
}
