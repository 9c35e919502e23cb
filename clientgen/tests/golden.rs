//! What is written for one small workflow, kept beside the tests.
//!
//! After a change that is meant: `INSTA_UPDATE=always cargo test -p comfyport-clientgen --test golden`, then read the
//! difference.

#![allow(clippy::unwrap_used)]

use comfyport_clientgen::{Language, generate};
use comfyport_endpoint::Endpoint;

const CODES: &[&str] = &["invalid_request", "timeout"];

fn bundled(path: &str) -> &'static Endpoint {
    comfyport_generated::endpoints().iter().find(|endpoint| &*endpoint.path == path).unwrap()
}

#[test]
fn a_small_workflow_gives_what_is_kept() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (language, kept) in [(Language::TypeScript, "typescript"), (Language::Python, "python")] {
            let files = generate(language, &[bundled("image/resize")], CODES);
            // What is the same for every server is in this repository already.
            let varies =
                |name: &str| ["README.md", "index.ts", "workflows.py"].iter().any(|end| name.ends_with(end));
            for (name, text) in files.iter().filter(|(name, _)| varies(name)) {
                let text = text.split("// From here on").next().unwrap();
                insta::assert_snapshot!(format!("{kept}__{}", name.replace('/', "__")), text);
            }
        }
    });
}

#[test]
fn the_same_workflows_give_the_same_bytes_in_any_order() {
    let mut endpoints: Vec<&Endpoint> = comfyport_generated::endpoints().to_vec();
    for language in [Language::TypeScript, Language::Python] {
        let files = generate(language, &endpoints, CODES);
        endpoints.reverse();
        assert!(generate(language, &endpoints, CODES) == files, "{language:?}");
    }
}

#[test]
fn no_workflows_at_all_still_give_a_package() {
    assert!(
        generate(Language::TypeScript, &[], CODES)["src/index.ts"]
            .contains("export interface Workflows {\n}")
    );
    assert!(
        generate(Language::Python, &[], CODES)["comfyport_client/workflows.py"]
            .contains("ProblemCode = Literal")
    );
}
