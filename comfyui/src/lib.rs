//! comfyui
