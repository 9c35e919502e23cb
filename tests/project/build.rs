//! Generates a module for each workflow.

fn main() {
    comfyport_codegen::build("workflow_templates");
}
