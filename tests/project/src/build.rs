//! The build script of a project, as a program.

fn main() {
    comfyport_codegen::build("workflow_templates");
}
