//! A contact sheet: the first picture of every job of a batch, small, in rows.

use axum::{
    http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use comfyport_store::{Job, State};
use image::{ImageFormat, RgbImage, imageops::FilterType};

use crate::{
    app::AppState,
    problem::{Code, Problem},
};

/// The longest side of a small picture, in pixels.
const SIDE: u32 = 256;

/// Between them.
const GAP: u32 = 8;

/// Pictures on a sheet at most.
const MOST: usize = 400;

/// What a picture may take while it is decoded, in bytes.
const MEMORY: u64 = 512 << 20;

/// What a place without a picture looks like.
const EMPTY: [u8; 3] = [224, 224, 224];

/// Answers with a JPEG of `size` places. `columns`: how many are in a row, where the batch says so.
pub async fn sheet(
    app: &AppState,
    jobs: &[Job],
    size: usize,
    columns: Option<usize>,
) -> Result<Response, Problem> {
    if size > MOST {
        let detail = format!("a contact sheet has at most {MOST} pictures; this batch has {size} jobs");
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    let columns = columns.filter(|columns| (1..=size).contains(columns));
    let columns = columns.unwrap_or_else(|| (1..).find(|side| side * side >= size).unwrap_or(1));
    let mut pictures: Vec<(usize, RgbImage)> = Vec::new();
    for job in jobs.iter().filter(|job| job.state == State::Succeeded) {
        let place = job.batch_index.unwrap_or(0) as usize;
        // One at a time: pictures are large while they are decoded.
        if let Some(data) = first_picture(app, job).await? {
            let small = tokio::task::spawn_blocking(move || small(&data)).await.ok().flatten();
            pictures.extend(small.map(|small| (place, small)));
        }
    }
    if pictures.is_empty() {
        return Err(Problem::not_found("no job of this batch has yielded a picture yet"));
    }
    let jpeg = tokio::task::spawn_blocking(move || compose(&pictures, size, columns)).await.ok().flatten();
    let jpeg = jpeg.ok_or_else(|| Problem::new(Code::Internal, "the contact sheet cannot be made"))?;
    let headers =
        [(CONTENT_TYPE, "image/jpeg"), (X_CONTENT_TYPE_OPTIONS, "nosniff"), (CACHE_CONTROL, "no-cache")];
    Ok((headers, jpeg).into_response())
}

async fn first_picture(app: &AppState, job: &Job) -> Result<Option<Bytes>, Problem> {
    let files = app.jobs.files_of(job).await.map_err(Problem::from)?;
    let picture = files.iter().find(|file| file.file.content_type.starts_with("image/"));
    let Some(picture) = picture else { return Ok(None) };
    app.jobs.files.get(&picture.file.file).await.map_err(|error| {
        tracing::error!(%error, "an output cannot be read");
        Problem::new(Code::StorageFailed, "an output cannot be read at the moment")
    })
}

/// `None` for what cannot be decoded.
fn small(data: &[u8]) -> Option<RgbImage> {
    let mut reader = image::ImageReader::new(std::io::Cursor::new(data)).with_guessed_format().ok()?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MEMORY);
    reader.limits(limits);
    Some(reader.decode().ok()?.resize(SIDE, SIDE, FilterType::Triangle).into_rgb8())
}

fn compose(pictures: &[(usize, RgbImage)], size: usize, columns: usize) -> Option<Bytes> {
    let side = |count: usize| u32::try_from(count).ok().map(|count| count * (SIDE + GAP) + GAP);
    let mut sheet =
        RgbImage::from_pixel(side(columns)?, side(size.div_ceil(columns))?, image::Rgb([255, 255, 255]));
    let corner = |place: usize| {
        let at = |index: usize| i64::try_from(index).unwrap_or(0) * i64::from(SIDE + GAP) + i64::from(GAP);
        (at(place % columns), at(place / columns))
    };
    let empty = RgbImage::from_pixel(SIDE, SIDE, image::Rgb(EMPTY));
    for place in 0..size {
        let (x, y) = corner(place);
        match pictures.iter().find(|(at, _)| *at == place) {
            None => image::imageops::replace(&mut sheet, &empty, x, y),
            Some((_, picture)) => {
                let middle = |length: u32| i64::from((SIDE - length.min(SIDE)) / 2);
                image::imageops::replace(
                    &mut sheet,
                    picture,
                    x + middle(picture.width()),
                    y + middle(picture.height()),
                );
            }
        }
    }
    let mut jpeg = std::io::Cursor::new(Vec::new());
    sheet.write_to(&mut jpeg, ImageFormat::Jpeg).ok()?;
    Some(jpeg.into_inner().into())
}
