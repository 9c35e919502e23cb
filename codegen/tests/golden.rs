//! What is generated for the bundled workflows, kept beside the tests.
//!
//! After a change that is meant: `INSTA_UPDATE=always cargo test -p comfyport-codegen --test golden`, then read the
//! difference.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::{Path, PathBuf};

use comfyport_codegen::{Generated, Template, generate};
use comfyport_workflow::{Endpoint, Lock, Options, Sidecar, Tier, json};

fn bundled() -> (Vec<Template>, comfyport_workflow::Catalog) {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflow_templates");
    (support::templates(&folder), support::catalog(&folder))
}

fn generated(templates: &[Template], catalog: &comfyport_workflow::Catalog) -> Generated {
    generate(templates, catalog).unwrap_or_else(|found| panic!("{found:#?}"))
}

#[test]
fn bundled_workflows_generate_what_is_kept() {
    let (templates, catalog) = bundled();
    assert!(templates.len() >= 13, "only {} bundled workflows", templates.len());
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (name, text) in &generated(&templates, &catalog).files {
            insta::assert_snapshot!(name.replace('/', "__"), text);
        }
    });
}

/// None of the bundled workflows takes addresses of models.
#[test]
fn models_by_address_generate_what_is_kept() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clashes");
    let mut templates = support::templates(&folder);
    templates.retain(|template| template.path == "model_by_address");
    let files = generated(&templates, &support::catalog(&folder)).files;
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("model_by_address.rs", files["model_by_address.rs"]));
}

#[test]
fn the_same_workflows_give_the_same_bytes_in_any_order() {
    let (mut templates, catalog) = bundled();
    templates.sort_by(|left, right| left.path.cmp(&right.path));
    let first = generated(&templates, &catalog).files;
    templates.reverse();
    assert_eq!(first, generated(&templates, &catalog).files);
    templates.rotate_left(5);
    assert_eq!(first, generated(&templates, &catalog).files);
}

#[test]
fn no_workflows_are_fine() {
    let files = generated(&[], &comfyport_workflow::Catalog::core().clone()).files;
    assert_eq!(files.keys().collect::<Vec<_>>(), ["endpoints.rs", "options.rs"]);
}

/// The emitted struct says what was inferred: names, order, bindings, and what may be left out.
#[test]
fn emitted_fields_are_the_inferred_ones() {
    let (templates, catalog) = bundled();
    let files = generated(&templates, &catalog).files;
    for template in &templates {
        let endpoint = inferred(template, &catalog);
        let text = &files[&format!("{}.rs", template.path)];
        let file = syn::parse_file(text).expect("Rust");
        let want = |tier| endpoint.tier(tier).map(Seen::from_param).collect::<Vec<_>>();
        assert_eq!(emitted_fields(&file), want(Tier::Primary), "{}", template.path);
        assert_eq!(emitted_rows(&file), want(Tier::Advanced), "{}, advanced", template.path);
        let prompt = json::parse(emitted_prompt(&file).as_bytes()).expect("JSON").value;
        let mut nodes: Vec<&String> = prompt.as_object().expect("an object").keys().collect();
        nodes.sort_unstable();
        let mut live: Vec<&String> = endpoint.graph.nodes.keys().collect();
        live.sort_unstable();
        assert_eq!(nodes, live, "{}, nodes of the prompt", template.path);
    }
}

fn inferred(template: &Template, catalog: &comfyport_workflow::Catalog) -> Endpoint {
    let sidecar = template.sidecar.as_deref().map(|text| Sidecar::parse(text).expect("a sidecar"));
    let lock = template.lock.as_deref().map(|text| Lock::parse(text).expect("a lock"));
    let file = format!("{}.json", template.path);
    let options = Options {
        file: &file,
        path: &template.path,
        catalog,
        sidecar: sidecar.as_ref(),
        lock: lock.as_ref(),
    };
    comfyport_workflow::endpoint(&template.bytes, &options).expect("an endpoint")
}

/// A parameter as far as both sides know it.
#[derive(Debug, PartialEq)]
struct Seen {
    name: String,
    required: bool,
    at: Vec<String>,
}

impl Seen {
    fn from_param(param: &comfyport_workflow::Param) -> Self {
        let at =
            param.answers_for().iter().map(|binding| format!("{}.{}", binding.node, binding.input)).collect();
        Self { name: param.name.clone(), required: param.required, at }
    }
}

fn emitted_fields(file: &syn::File) -> Vec<Seen> {
    let request = file.items.iter().find_map(|item| match item {
        syn::Item::Struct(item) if item.ident.to_string().ends_with("Request") => Some(item),
        _ => None,
    });
    let mut fields = Vec::new();
    for field in &request.expect("a request").fields {
        let ident = field.ident.as_ref().expect("a name").to_string();
        let mut seen = Seen {
            name: ident.trim_start_matches("r#").to_owned(),
            required: !matches!(&field.ty, syn::Type::Path(ty) if ty.path.segments[0].ident == "Option"),
            at: Vec::new(),
        };
        let input = field.attrs.iter().find(|attribute| attribute.path().is_ident("input"));
        let mut table = false;
        input
            .expect("#[input(…)]")
            .parse_nested_meta(|meta| {
                let value: syn::Expr = meta.value()?.parse()?;
                if meta.path.is_ident("at") {
                    seen.at = texts(&value);
                } else if meta.path.is_ident("name") {
                    seen.name = texts(&value).remove(0);
                }
                table |= meta.path.is_ident("table");
                Ok(())
            })
            .expect("keys and values");
        if !table {
            fields.push(seen);
        }
    }
    fields
}

fn emitted_rows(file: &syn::File) -> Vec<Seen> {
    let table = static_item(file, "ADVANCED");
    let rows = table.map(elements).unwrap_or_default();
    let row = |row: &&syn::Expr| Seen {
        name: texts(member(row, "name")).remove(0),
        required: matches!(member(row, "required"), syn::Expr::Lit(lit) if matches!(&lit.lit, syn::Lit::Bool(value) if value.value)),
        at: texts(member(row, "at")),
    };
    rows.iter().map(row).collect()
}

/// The template with `null` in its holes.
fn emitted_prompt(file: &syn::File) -> String {
    let Some(syn::Expr::Block(block)) = static_item(file, "ENDPOINT") else { panic!("no endpoint") };
    let Some(syn::Stmt::Expr(endpoint, None)) = block.block.stmts.last() else { panic!("no description") };
    emitted_pieces(member(member(endpoint, "template"), "pieces"))
}

/// With every switch on, and every file given.
fn emitted_pieces(pieces: &syn::Expr) -> String {
    let piece = |piece: &&syn::Expr| {
        if matches!(piece, syn::Expr::Struct(_)) {
            return emitted_pieces(member(piece, "on"));
        }
        let syn::Expr::Call(call) = piece else { panic!("not a piece") };
        let syn::Expr::Path(path) = &*call.func else { panic!("not a piece") };
        let kind = path.path.segments.last().expect("a kind").ident.to_string();
        if kind == "Text" { texts(&call.args[0]).remove(0) } else { "null".to_owned() }
    };
    elements(pieces).iter().map(piece).collect()
}

fn static_item<'f>(file: &'f syn::File, name: &str) -> Option<&'f syn::Expr> {
    file.items.iter().find_map(|item| match item {
        syn::Item::Static(item) if item.ident == name => Some(&*item.expr),
        _ => None,
    })
}

fn member<'e>(value: &'e syn::Expr, name: &str) -> &'e syn::Expr {
    let syn::Expr::Struct(value) = value else { panic!("no struct with `{name}`") };
    let named =
        |field: &&syn::FieldValue| matches!(&field.member, syn::Member::Named(ident) if ident == name);
    &value.fields.iter().find(named).unwrap_or_else(|| panic!("no `{name}`")).expr
}

fn elements(value: &syn::Expr) -> Vec<&syn::Expr> {
    match value {
        syn::Expr::Reference(value) => elements(&value.expr),
        syn::Expr::Array(array) => array.elems.iter().collect(),
        syn::Expr::Call(held) => elements(&held.args[0]),
        syn::Expr::Block(block) => match block.block.stmts.last() {
            Some(syn::Stmt::Expr(list, None)) => elements(list),
            _ => panic!("not a list"),
        },
        _ => panic!("not a list"),
    }
}

/// A string, or a list of strings.
fn texts(value: &syn::Expr) -> Vec<String> {
    match value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => vec![text.value()],
        syn::Expr::Call(held) => texts(&held.args[0]),
        list => elements(list).into_iter().flat_map(texts).collect(),
    }
}
