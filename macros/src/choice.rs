//! `#[derive(Choice)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields, LitStr, spanned::Spanned};

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(syn::Error::new(input.span(), "`Choice` is derived for enums"));
    };
    let name = &input.ident;
    let (mut idents, mut texts) = (Vec::new(), Vec::<LitStr>::new());
    let mut errors: Option<syn::Error> = None;
    for variant in &data.variants {
        let attribute = variant.attrs.iter().find(|attribute| attribute.path().is_ident("choice"));
        let text = match attribute {
            Some(attribute) if matches!(variant.fields, Fields::Unit) => attribute.parse_args::<LitStr>(),
            _ => Err(syn::Error::new(variant.span(), "expected a plain variant with `#[choice(\"text\")]`")),
        };
        match text {
            Ok(text) => {
                idents.push(&variant.ident);
                texts.push(text);
            }
            Err(error) => match &mut errors {
                Some(errors) => errors.combine(error),
                None => errors = Some(error),
            },
        }
    }
    if let Some(errors) = errors {
        return Err(errors);
    }
    let Some(first) = idents.first() else {
        return Err(syn::Error::new(input.span(), "a choice needs at least one option"));
    };
    Ok(quote! {
        impl ::comfyport_endpoint::Choice for #name {
            const OPTIONS: &'static [::comfyport_endpoint::Text] =
                &[#(::comfyport_endpoint::Held::Static(#texts)),*];
            fn from_option(option: &str) -> ::core::option::Option<Self> {
                match option {
                    #(#texts => ::core::option::Option::Some(Self::#idents),)*
                    _ => ::core::option::Option::None,
                }
            }
            fn as_option(&self) -> &'static str {
                match self {
                    #(Self::#idents => #texts,)*
                }
            }
        }
        ::comfyport_endpoint::choice_slot!(#name, #name::#first);
    })
}
