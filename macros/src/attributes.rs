//! Reading `#[input(…)]`.

use syn::{
    Attribute, Expr, ExprArray, ExprLit, ExprUnary, Lit, LitStr, Path, parse::Parse, spanned::Spanned,
};

/// What `#[input(…)]` says.
#[derive(Default)]
pub(crate) struct Attributes {
    pub(crate) at: Vec<LitStr>,
    pub(crate) role: Option<LitStr>,
    pub(crate) name: Option<LitStr>,
    pub(crate) min: Option<Expr>,
    pub(crate) max: Option<Expr>,
    pub(crate) default: Option<String>,
    pub(crate) max_length: Option<Expr>,
    pub(crate) options: Vec<Expr>,
    pub(crate) folder: Option<LitStr>,
    pub(crate) encoding: Option<LitStr>,
    pub(crate) table: Option<Path>,
    pub(crate) clip: bool,
    pub(crate) from_url: bool,
}

impl Attributes {
    pub(crate) fn read(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut read = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("input")) {
            attribute.parse_nested_meta(|meta| {
                let key = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                if key == "table" {
                    read.table = Some(meta.value()?.parse()?);
                    return Ok(());
                }
                if key == "from_url" {
                    read.from_url = true;
                    return Ok(());
                }
                if key == "clip" {
                    read.clip = true;
                    return Ok(());
                }
                let value = || meta.value().and_then(Expr::parse);
                match key.as_str() {
                    "at" => read.at = texts(value()?)?,
                    "role" => read.role = Some(text(&value()?)?),
                    "name" => read.name = Some(text(&value()?)?),
                    "min" => read.min = Some(value()?),
                    "max" => read.max = Some(value()?),
                    "default" => read.default = Some(json(&value()?)?),
                    "default_json" => read.default = Some(text(&value()?)?.value()),
                    "max_length" => read.max_length = Some(value()?),
                    "options" => read.options = items(value()?)?,
                    "folder" => read.folder = Some(text(&value()?)?),
                    "encoding" => read.encoding = Some(text(&value()?)?),
                    _ => {
                        return Err(
                            meta.error("unknown key; see the documentation of `Request` for all of them")
                        );
                    }
                }
                Ok(())
            })?;
        }
        Ok(read)
    }
}

fn text(value: &Expr) -> syn::Result<LitStr> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.clone()),
        _ => Err(syn::Error::new(value.span(), "expected a string")),
    }
}

fn texts(value: Expr) -> syn::Result<Vec<LitStr>> {
    match value {
        Expr::Array(_) => items(value)?.iter().map(text).collect(),
        _ => Ok(vec![text(&value)?]),
    }
}

fn items(value: Expr) -> syn::Result<Vec<Expr>> {
    match value {
        Expr::Array(ExprArray { elems, .. }) => Ok(elems.into_iter().collect()),
        _ => Err(syn::Error::new(value.span(), "expected a list")),
    }
}

/// A literal as JSON text, exactly as written.
fn json(value: &Expr) -> syn::Result<String> {
    match value {
        Expr::Unary(ExprUnary { op: syn::UnOp::Neg(_), expr, .. }) => Ok(format!("-{}", json(expr)?)),
        Expr::Lit(ExprLit { lit, .. }) => match lit {
            Lit::Str(text) => Ok(quoted(&text.value())),
            Lit::Int(number) => Ok(number.base10_digits().to_owned()),
            Lit::Float(number) => Ok(number.base10_digits().to_owned()),
            Lit::Bool(value) => Ok(value.value.to_string()),
            _ => Err(syn::Error::new(value.span(), "expected a string, a number or a truth value")),
        },
        _ => Err(syn::Error::new(value.span(), "expected a literal")),
    }
}

fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for one in text.chars() {
        match one {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            control if u32::from(control) < 0x20 => json.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => json.push(other),
        }
    }
    json.push('"');
    json
}

/// The lines of a doc comment as one text.
pub(crate) fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| {
        let value = &attribute.meta.require_name_value().ok().filter(|meta| meta.path.is_ident("doc"))?.value;
        text(value).ok().map(|line| line.value().trim().to_owned())
    });
    lines.collect::<Vec<_>>().join(" ").trim().to_owned()
}
