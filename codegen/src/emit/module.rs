//! The module of one workflow.

use comfyport_workflow::{
    Endpoint, OutputKind, Param, ParamType, Tier, doc,
    json::{Number, Value},
    route::camel,
};
use proc_macro2::{Ident, TokenStream};
use quote::quote;

use super::description;
use crate::names::{OptionLists, constants, ident};

pub(super) fn of(endpoint: &Endpoint, lists: &OptionLists, file: &str) -> TokenStream {
    let last = endpoint.path.rsplit('/').next().unwrap_or_default();
    let request = ident(&format!("{}Request", camel(last)));
    let response = ident(&format!("{}Response", camel(last)));
    let fields = endpoint.tier(Tier::Primary).map(|param| field(param, lists));
    let advanced: Vec<&Param> = endpoint.tier(Tier::Advanced).collect();
    let (table, place) = if advanced.is_empty() {
        (quote!(), quote!())
    } else {
        let rows = advanced.iter().map(|param| row(param, lists));
        let doc = " Values that few callers set, under `advanced`.";
        let table = quote! {
            #[doc = #doc]
            pub static ADVANCED: &[comfyport_endpoint::Field] = {
                #[allow(unused_imports)]
                use comfyport_endpoint::{Choice, Field, Held::Static, Kind};
                &[#(#rows),*]
            };
        };
        let place = quote! {
            #[doc = #doc]
            #[input(table = ADVANCED)]
            pub advanced: comfyport_endpoint::Advanced,
        };
        (table, place)
    };
    let outputs = endpoint.outputs.iter().map(|output| {
        let (name, doc) = (
            ident(&output.name),
            format!(" `{}`, node {}", doc::line(&output.class_type), doc::line(&output.node)),
        );
        let ty = if output.kind == OutputKind::Text {
            quote!(Vec<String>)
        } else {
            quote!(Vec<comfyport_endpoint::Artifact>)
        };
        quote!(#[doc = #doc] pub #name: #ty)
    });
    let request_doc = match &endpoint.description {
        Some(description) => format!(" {}: {}", doc::line(&endpoint.title), doc::line(description)),
        None => format!(" {}", doc::line(&endpoint.title)),
    };
    let response_doc = format!(" What `POST /{}` yields.", endpoint.path);
    let description = description::of(endpoint, &request, !advanced.is_empty(), file);
    let keys = keys(&request, &advanced, lists);
    quote! {
        #[doc = #request_doc]
        #[derive(comfyport_endpoint::Request, Debug, Clone, Default)]
        pub struct #request {
            #(#fields,)*
            #place
        }
        #table
        #[doc = #response_doc]
        #[derive(comfyport_endpoint::Response, Debug, Clone)]
        pub struct #response {
            #(#outputs,)*
        }
        impl comfyport_endpoint::Call for #request {
            type Response = #response;
            fn endpoint() -> &'static comfyport_endpoint::Endpoint {
                &ENDPOINT
            }
        }
        #keys
        #description
    }
}

/// Typed places of the advanced fields. They are constants, which cost the compiler next to nothing.
fn keys(request: &Ident, advanced: &[&Param], lists: &OptionLists) -> TokenStream {
    if advanced.is_empty() {
        return quote!();
    }
    let names = constants(advanced.iter().map(|param| param.name.as_str()));
    let keys = advanced.iter().zip(names).enumerate().map(|(index, (param, name))| {
        let (doc, ty) = (format!(" {}", doc::field(param)), ty(param, lists));
        quote! {
            #[doc = #doc]
            pub const #name: comfyport_endpoint::Key<Self, #ty> = comfyport_endpoint::Key::at(#index);
        }
    });
    quote! {
        impl #request {
            #(#keys)*
        }
    }
}

/// A field of the request struct.
fn field(param: &Param, lists: &OptionLists) -> TokenStream {
    let (name, doc) = (ident(&param.name), format!(" {}", doc::field(param)));
    let at = param.answers_for().iter().map(at);
    let at = if param.answers_for().len() == 1 { quote!(at = #(#at)*) } else { quote!(at = [#(#at),*]) };
    let ty = ty(param, lists);
    let ty = if param.required { ty } else { quote!(Option<#ty>) };
    let mut keys = vec![at];
    if name.to_string().trim_start_matches("r#") != param.name {
        let text = &param.name;
        keys.push(quote!(name = #text));
    }
    if let Some(role) = &param.role {
        keys.push(quote!(role = #role));
    }
    if matches!(param.ty, ParamType::Integer | ParamType::Number | ParamType::Seed)
        && param.options.is_empty()
    {
        // An integer literal would be typed by itself before it becomes a float.
        let bound =
            |number: &Number| if param.ty == ParamType::Number { float(number) } else { literal(number) };
        keys.extend(param.min.as_ref().and_then(bound).map(|min| quote!(min = #min)));
        keys.extend(param.max.as_ref().and_then(bound).map(|max| quote!(max = #max)));
    }
    if let Some(folder) = &param.folder {
        keys.push(quote!(folder = #folder));
        if param.from_url && param.ty != ParamType::Loras {
            keys.push(quote!(from_url));
        }
    } else if !param.options.is_empty() && lists.name(param).is_none() {
        let options = param.options.iter().filter_map(value);
        keys.push(quote!(options = [#(#options),*]));
    }
    if let Some(encoding) = param.encoding.as_deref().filter(|encoding| *encoding != "upload_name") {
        keys.push(quote!(encoding = #encoding));
    }
    if param.ty == ParamType::Loras {
        let shape = param.loras.unwrap_or_default();
        let most = proc_macro2::Literal::usize_unsuffixed(shape.most);
        keys.push(quote!(max_length = #most));
        let own = |bound: &&Number, usual| bound.as_i64() != Some(usual);
        keys.extend(
            param.min.as_ref().filter(|min| own(min, -100)).and_then(float).map(|min| quote!(min = #min)),
        );
        keys.extend(
            param.max.as_ref().filter(|max| own(max, 100)).and_then(float).map(|max| quote!(max = #max)),
        );
        if shape.clip {
            keys.push(quote!(clip));
        }
        if param.from_url {
            keys.push(quote!(from_url));
        }
        let default = param.default.as_ref().map(Value::to_json);
        keys.extend(default.map(|json| quote!(default_json = #json)));
    } else if let Some(default) = param.default.as_ref().and_then(value).filter(|_| !param.required) {
        keys.push(quote!(default = #default));
    }
    quote! {
        #[doc = #doc]
        #[input(#(#keys),*)]
        pub #name: #ty
    }
}

fn at(binding: &comfyport_workflow::Binding) -> String {
    format!("{}.{}", binding.node, binding.input)
}

fn ty(param: &Param, lists: &OptionLists) -> TokenStream {
    if let Some(list) = lists.name(param) {
        let list = ident(list);
        return quote!(crate::options::#list);
    }
    match param.ty {
        ParamType::String => quote!(String),
        ParamType::Enum | ParamType::Integer => whole(param),
        ParamType::Number => quote!(f64),
        ParamType::Boolean => quote!(bool),
        ParamType::Seed => quote!(comfyport_endpoint::Seed),
        ParamType::Image => quote!(comfyport_endpoint::Image),
        ParamType::Mask => quote!(comfyport_endpoint::Mask),
        ParamType::Video => quote!(comfyport_endpoint::Video),
        ParamType::Audio => quote!(comfyport_endpoint::Audio),
        ParamType::Model3d => quote!(comfyport_endpoint::Model3d),
        ParamType::File => quote!(comfyport_endpoint::FileInput),
        ParamType::Loras => quote!(comfyport_endpoint::Loras),
    }
}

/// `u64` only where a value may need it.
fn whole(param: &Param) -> TokenStream {
    let large = |number: &Number| number.as_i64().is_none() && number.as_u64().is_some();
    let large =
        param.max.as_ref().is_some_and(large) && param.min.as_ref().is_none_or(|min| min.as_u64().is_some());
    if large { quote!(u64) } else { quote!(i64) }
}

/// A row of the table of advanced fields.
fn row(param: &Param, lists: &OptionLists) -> TokenStream {
    let (name, doc) = (&param.name, doc::field(param));
    let kind = kind(param, lists);
    let at = param.answers_for().iter().map(at);
    let role = optional(param.role.as_deref());
    let required = param.required;
    let default = optional(param.default.as_ref().map(Value::to_json).as_deref());
    quote! {
        Field {
            name: Static(#name),
            doc: Static(#doc),
            kind: Kind::#kind,
            required: #required,
            default: #default,
            at: Static(&[#(Static(#at)),*]),
            role: #role,
        }
    }
}

fn optional(text: Option<&str>) -> TokenStream {
    text.map_or_else(|| quote!(None), |text| quote!(Some(Static(#text))))
}

fn kind(param: &Param, lists: &OptionLists) -> TokenStream {
    if let Some(list) = lists.name(param) {
        let list = ident(list);
        return quote!(Choice { options: Static(<crate::options::#list as Choice>::OPTIONS) });
    }
    let options = param.options.iter().filter_map(value);
    let bound = |number: &Option<Number>, otherwise: TokenStream| {
        number.as_ref().and_then(literal).unwrap_or(otherwise)
    };
    match param.ty {
        ParamType::Boolean => quote!(Boolean),
        ParamType::Enum => quote!(NumberChoice { options: Static(&[#(#options),*]) }),
        ParamType::Integer => {
            let (min, max) =
                (bound(&param.min, quote!(i64::MIN as i128)), bound(&param.max, quote!(i64::MAX as i128)));
            quote!(Integer { min: #min, max: #max })
        }
        ParamType::Number => {
            let float = |number: &Option<Number>, otherwise| {
                number.as_ref().map(Number::as_f64).map_or(otherwise, |number| quote!(#number))
            };
            let (min, max) = (float(&param.min, quote!(f64::MIN)), float(&param.max, quote!(f64::MAX)));
            quote!(Float { min: #min, max: #max })
        }
        ParamType::Seed => {
            let max = param.max.as_ref().and_then(Number::as_u64).unwrap_or(u64::MAX);
            quote!(Seed { min: 0, max: #max })
        }
        _ if param.folder.is_some() => {
            let (folder, from_url) = (&param.folder, param.from_url);
            quote!(Model { folder: Static(#folder), from_url: #from_url })
        }
        _ if !param.options.is_empty() => quote!(Suggest { options: Static(&[#(Static(#options)),*]) }),
        _ => quote!(Text { max_length: 100_000 }),
    }
}

/// A value as a literal.
fn value(value: &Value) -> Option<TokenStream> {
    match value {
        Value::String(text) => Some(quote!(#text)),
        Value::Bool(value) => Some(quote!(#value)),
        Value::Number(number) => literal(number),
        _ => None,
    }
}

/// A number as a literal, in the words of the workflow.
fn literal(number: &Number) -> Option<TokenStream> {
    if !number.is_finite() {
        return None;
    }
    if number.is_integer() {
        let value = proc_macro2::Literal::i128_unsuffixed(number.as_i128()?.abs());
        return Some(if number.as_str().starts_with('-') { quote!(-#value) } else { quote!(#value) });
    }
    float(number)
}

fn float(number: &Number) -> Option<TokenStream> {
    let value = number.as_f64();
    if !value.is_finite() {
        return None;
    }
    let literal = proc_macro2::Literal::f64_unsuffixed(value.abs());
    Some(if value.is_sign_negative() { quote!(-#literal) } else { quote!(#literal) })
}
