//! Rust for endpoints.

use std::collections::BTreeMap;

use comfyport_workflow::{Endpoint, doc, openapi};
use proc_macro2::TokenStream;
use quote::quote;

use crate::names::{self, OptionLists, ident};

mod description;
mod module;

/// All files of the generated code.
pub(crate) fn files(endpoints: &[Endpoint]) -> BTreeMap<String, String> {
    let lists = OptionLists::of(endpoints);
    let mut files = BTreeMap::new();
    files.insert("options.rs".to_owned(), pretty(&options(&lists)));
    let mut root = Folder::default();
    let mut ids = openapi::Ids::default();
    for endpoint in endpoints {
        let modules = names::modules(&endpoint.path);
        let file = modules.join("/");
        files.insert(format!("{file}.rs"), pretty(&module::of(endpoint, &lists, &file)));
        files.insert(format!("{file}.openapi.json"), openapi::fragment(endpoint, &ids.next_of(endpoint)));
        root.insert(&modules, endpoint);
    }
    let modules = root.expand("");
    let statics = endpoints.iter().map(|endpoint| {
        let path = names::modules(&endpoint.path).into_iter().map(|module| ident(&module));
        quote!(&#(#path)::*::ENDPOINT)
    });
    let options_doc = "Lists of options that workflows share.";
    let root = quote! {
        #[doc = #options_doc]
        pub mod options {
            include!(concat!(env!("OUT_DIR"), "/options.rs"));
        }
        #modules
        /// Every endpoint, in the order of their paths.
        pub fn endpoints() -> &'static [&'static comfyport_endpoint::Endpoint] {
            static ENDPOINTS: &[&comfyport_endpoint::Endpoint] = &[#(#statics),*];
            ENDPOINTS
        }
    };
    files.insert("endpoints.rs".to_owned(), pretty(&root));
    files
}

/// Modules below one folder.
#[derive(Default)]
struct Folder<'e> {
    folders: BTreeMap<String, Folder<'e>>,
    endpoint: Option<&'e Endpoint>,
}

impl<'e> Folder<'e> {
    fn insert(&mut self, modules: &[String], endpoint: &'e Endpoint) {
        match modules {
            [] => self.endpoint = Some(endpoint),
            [first, rest @ ..] => self.folders.entry(first.clone()).or_default().insert(rest, endpoint),
        }
    }

    /// A workflow beside a folder of its own name shares its module.
    fn expand(&self, path: &str) -> TokenStream {
        let content = self.endpoint.map(|_| {
            let file = format!("/{path}.rs");
            quote!(include!(concat!(env!("OUT_DIR"), #file));)
        });
        let folders = self.folders.iter().map(|(name, folder)| {
            let below = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            let (ident, content) = (ident(name), folder.expand(&below));
            let doc = match folder.endpoint {
                Some(endpoint) => format!(" `POST /{}`: {}", endpoint.path, doc::line(&endpoint.title)),
                None => format!(" Workflows in `{below}/`."),
            };
            quote! {
                #[doc = #doc]
                pub mod #ident { #content }
            }
        });
        quote!(#content #(#folders)*)
    }
}

fn options(lists: &OptionLists) -> TokenStream {
    let enums = lists.by_name().into_iter().map(|(name, options)| {
        let (ident, variants) = (ident(name), names::variants(options));
        let docs = options.iter().map(|option| format!(" `{}`", doc::line(option)));
        let doc = format!(" One of {} options.", options.len());
        quote! {
            #[doc = #doc]
            #[derive(comfyport_endpoint::Choice, Debug, Clone, Copy, PartialEq, Eq)]
            pub enum #ident {
                #(#[doc = #docs] #[choice(#options)] #variants,)*
            }
        }
    });
    quote!(#(#enums)*)
}

/// Formatted text. Tokens that came from `quote!` always parse; were they not to, the compiler would say so.
fn pretty(tokens: &TokenStream) -> String {
    match syn::parse2(tokens.clone()) {
        Ok(file) => prettyplease::unparse(&file),
        Err(_) => tokens.to_string(),
    }
}
