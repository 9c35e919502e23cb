//! `#[derive(Request)]`.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{
    Data, DeriveInput, Field, Fields, GenericArgument, PathArguments, Type, ext::IdentExt, spanned::Spanned,
};

use crate::attributes::{Attributes, doc};

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => &fields.named,
            _ => {
                return Err(syn::Error::new(
                    input.span(),
                    "`Request` is derived for structs with named fields",
                ));
            }
        },
        _ => return Err(syn::Error::new(input.span(), "`Request` is derived for structs")),
    };
    let mut parts = Parts::default();
    let mut errors: Option<syn::Error> = None;
    for field in fields {
        if let Err(error) = parts.add(field) {
            match &mut errors {
                Some(errors) => errors.combine(error),
                None => errors = Some(error),
            }
        }
    }
    match errors {
        Some(errors) => Err(errors),
        None => Ok(parts.expand(&input.ident)),
    }
}

#[derive(Default)]
struct Parts {
    table: Vec<TokenStream>,
    places: Vec<syn::Ident>,
    media: Vec<(usize, syn::Ident, bool)>,
    advanced: Option<syn::Ident>,
}

impl Parts {
    fn add(&mut self, field: &Field) -> syn::Result<()> {
        let attributes = Attributes::read(&field.attrs)?;
        let Some(ident) = field.ident.clone() else { return Ok(()) };
        if attributes.table.is_some() {
            self.advanced = Some(ident);
            return Ok(());
        }
        let (ty, optional) = inner(&field.ty);
        let kind = kind(ty, &attributes)?;
        if matches!(last(ty).as_str(), "Image" | "Mask" | "Video" | "Audio" | "Model3d" | "FileInput") {
            self.media.push((self.places.len(), ident.clone(), optional));
        }
        let name = attributes.name.map_or_else(|| ident.unraw().to_string(), |name| name.value());
        let (doc, at) = (doc(&field.attrs), attributes.at);
        let text = |value: Option<String>| {
            value.map_or_else(
                || quote!(::core::option::Option::None),
                |value| quote!(::core::option::Option::Some(::comfyport_endpoint::Held::Static(#value))),
            )
        };
        let default = text(attributes.default);
        let role = text(attributes.role.map(|role| role.value()));
        let required = !optional;
        self.table.push(quote! {
            ::comfyport_endpoint::Field {
                name: ::comfyport_endpoint::Held::Static(#name),
                doc: ::comfyport_endpoint::Held::Static(#doc),
                kind: #kind,
                required: #required,
                default: #default,
                at: ::comfyport_endpoint::Held::Static(&[#(::comfyport_endpoint::Held::Static(#at)),*]),
                role: #role,
            }
        });
        self.places.push(ident);
        Ok(())
    }

    fn expand(self, name: &syn::Ident) -> TokenStream {
        let Self { table, places, media, advanced } = self;
        let indices = 0..places.len();
        let indices_mut = indices.clone();
        let advanced = advanced.map(|place| {
            quote! {
                fn advanced(&self) -> ::core::option::Option<&::comfyport_endpoint::Advanced> {
                    ::core::option::Option::Some(&self.#place)
                }
                fn advanced_mut(&mut self) -> ::core::option::Option<&mut ::comfyport_endpoint::Advanced> {
                    ::core::option::Option::Some(&mut self.#place)
                }
            }
        });
        let media = media.iter().map(|(index, place, optional)| {
            if *optional {
                quote!(if let ::core::option::Option::Some(file) = &mut self.#place { files.push((#index, file)); })
            } else {
                quote!(files.push((#index, &mut self.#place));)
            }
        });
        quote! {
            impl #name {
                /// The fields of the request, in order.
                pub const FIELDS: &'static [::comfyport_endpoint::Field] = &[#(#table),*];
            }
            impl ::comfyport_endpoint::Request for #name {
                fn slot(&self, index: usize) -> &dyn ::comfyport_endpoint::Slot {
                    match index {
                        #(#indices => &self.#places,)*
                        _ => ::core::unreachable!("a request has no such field"),
                    }
                }
                fn slot_mut(&mut self, index: usize) -> &mut dyn ::comfyport_endpoint::Slot {
                    match index {
                        #(#indices_mut => &mut self.#places,)*
                        _ => ::core::unreachable!("a request has no such field"),
                    }
                }
                #[allow(unused_mut)]
                fn all_media_mut(&mut self) -> ::std::vec::Vec<(usize, &mut ::comfyport_endpoint::Media)> {
                    let mut files = ::std::vec::Vec::new();
                    #(#media)*
                    files
                }
                #advanced
            }
        }
    }
}

/// The type within an `Option`, and whether there is one.
fn inner(ty: &Type) -> (&Type, bool) {
    if let Type::Path(path) = ty
        && let Some(segment) = path.path.segments.last().filter(|segment| segment.ident == "Option")
        && let PathArguments::AngleBracketed(arguments) = &segment.arguments
        && let Some(GenericArgument::Type(ty)) = arguments.args.first()
    {
        return (ty, true);
    }
    (ty, false)
}

fn last(ty: &Type) -> String {
    match ty {
        Type::Path(path) => {
            path.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn kind(ty: &Type, attributes: &Attributes) -> syn::Result<TokenStream> {
    let Attributes { min, max, options, .. } = attributes;
    let bound = |value: &Option<syn::Expr>, otherwise: TokenStream| {
        value.as_ref().map_or(otherwise, |value| quote!(#value))
    };
    let name = last(ty);
    let kind = match name.as_str() {
        "String" => return Ok(text_kind(attributes)),
        "i32" | "i64" | "u32" | "u64" if !options.is_empty() => {
            quote!(NumberChoice { options: ::comfyport_endpoint::Held::Static(&[#(#options),*]) })
        }
        "i32" | "i64" | "u32" | "u64" => {
            let ty = syn::Ident::new(&name, Span::call_site());
            let (min, max) = (bound(min, quote!(#ty::MIN as i128)), bound(max, quote!(#ty::MAX as i128)));
            quote!(Integer { min: #min, max: #max })
        }
        "f64" => {
            let (min, max) = (bound(min, quote!(f64::MIN)), bound(max, quote!(f64::MAX)));
            quote!(Float { min: #min as f64, max: #max as f64 })
        }
        "bool" => quote!(Boolean),
        "Seed" => {
            let (min, max) = (bound(min, quote!(0)), bound(max, quote!(u64::MAX)));
            quote!(Seed { min: #min, max: #max })
        }
        "Loras" => {
            let folder = attributes.folder.as_ref().map_or_else(|| "loras".to_owned(), syn::LitStr::value);
            let most = attributes.max_length.as_ref().map_or_else(|| quote!(16), |most| quote!(#most));
            let (min, max) = (bound(min, quote!(-100.0)), bound(max, quote!(100.0)));
            let (clip, from_url) = (attributes.clip, attributes.from_url);
            quote!(Loras {
                folder: ::comfyport_endpoint::Held::Static(#folder),
                most: #most,
                clip: #clip,
                from_url: #from_url,
                min: #min as f64,
                max: #max as f64
            })
        }
        "Image" | "Mask" | "Video" | "Audio" | "Model3d" | "FileInput" => {
            let kind = syn::Ident::new(if name == "FileInput" { "File" } else { &name }, Span::call_site());
            let encoding = encoding(attributes)?;
            quote!(Media {
                kind: ::comfyport_endpoint::MediaKind::#kind,
                encoding: ::comfyport_endpoint::MediaEncoding::#encoding
            })
        }
        "" => return Err(syn::Error::new(ty.span(), "this type cannot be a field of a request")),
        _ => quote!(Choice {
            options: ::comfyport_endpoint::Held::Static(<#ty as ::comfyport_endpoint::Choice>::OPTIONS)
        }),
    };
    Ok(quote!(::comfyport_endpoint::Kind::#kind))
}

fn text_kind(attributes: &Attributes) -> TokenStream {
    let options = &attributes.options;
    if let Some(folder) = &attributes.folder {
        let from_url = attributes.from_url;
        return quote!(::comfyport_endpoint::Kind::Model {
            folder: ::comfyport_endpoint::Held::Static(#folder),
            from_url: #from_url
        });
    }
    if !options.is_empty() {
        return quote!(::comfyport_endpoint::Kind::Suggest {
            options: ::comfyport_endpoint::Held::Static(&[#(::comfyport_endpoint::Held::Static(#options)),*])
        });
    }
    let max_length = attributes.max_length.as_ref().map_or_else(|| quote!(100_000), |length| quote!(#length));
    quote!(::comfyport_endpoint::Kind::Text { max_length: #max_length })
}

fn encoding(attributes: &Attributes) -> syn::Result<syn::Ident> {
    let Some(text) = &attributes.encoding else {
        return Ok(syn::Ident::new("UploadName", Span::call_site()));
    };
    let name = match text.value().as_str() {
        "upload_name" => "UploadName",
        "base64" => "Base64",
        "data_url" => "DataUrl",
        "url" => "Url",
        "path" => "Path",
        _ => {
            return Err(syn::Error::new(
                text.span(),
                "expected `upload_name`, `base64`, `data_url`, `url` or `path`",
            ));
        }
    };
    Ok(syn::Ident::new(name, Span::call_site()))
}
