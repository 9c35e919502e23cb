//! The body of a request: JSON, or a form where there are files, which are then sent as they are.

use comfyport_endpoint::{Call, PartValue};
use reqwest::{
    RequestBuilder,
    header::CONTENT_TYPE,
    multipart::{Form, Part},
};

use crate::RunOptions;

pub(crate) fn put<R: Call>(builder: RequestBuilder, request: &R, options: &RunOptions) -> RequestBuilder {
    let options = options.to_json();
    let parts = R::endpoint().encode_parts(request, options.as_deref());
    if !parts.iter().any(|part| matches!(part.value, PartValue::File { .. })) {
        let json = R::endpoint().encode_json(request, options.as_deref());
        return builder.header(CONTENT_TYPE, "application/json").body(json);
    }
    let form = parts.into_iter().fold(Form::new(), |form, part| form.part(part.name, self::part(part.value)));
    builder.multipart(form)
}

fn part(value: PartValue) -> Part {
    match value {
        PartValue::Text(text) => Part::text(text),
        PartValue::File { data, filename, content_type } => {
            let length = data.len() as u64;
            let part = |data: bytes::Bytes| {
                Part::stream_with_length(data, length).file_name(filename.clone().unwrap_or_default())
            };
            // What a file is follows from its content; a type that is none is left out.
            let typed = content_type.and_then(|declared| part(data.clone()).mime_str(&declared).ok());
            typed.unwrap_or_else(|| part(data))
        }
    }
}
