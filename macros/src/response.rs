//! `#[derive(Response)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields, ext::IdentExt, spanned::Spanned};

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => &fields.named,
            _ => {
                return Err(syn::Error::new(
                    input.span(),
                    "`Response` is derived for structs with named fields",
                ));
            }
        },
        _ => return Err(syn::Error::new(input.span(), "`Response` is derived for structs")),
    };
    let name = &input.ident;
    let places: Vec<_> = fields.iter().filter_map(|field| field.ident.clone()).collect();
    let names = places.iter().map(|place| place.unraw().to_string());
    Ok(quote! {
        impl ::comfyport_endpoint::Response for #name {
            fn from_outputs(
                outputs: &mut ::comfyport_endpoint::Outputs,
            ) -> ::core::result::Result<Self, ::comfyport_endpoint::OutputError> {
                ::core::result::Result::Ok(Self {
                    #(#places: ::comfyport_endpoint::__private::take(outputs, #names)?,)*
                })
            }
        }
    })
}
