//! Generates a module for each workflow template.

fn main() {
    comfyport_codegen::build("../workflow_templates");
}
