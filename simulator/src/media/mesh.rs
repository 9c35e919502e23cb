//! Writing glTF 2.0 and SVG.

use serde_json::json;

/// Corners of the twelve triangles of a cube.
const TRIANGLES: [u16; 36] = [
    0, 2, 1, 1, 2, 3, 4, 5, 6, 5, 7, 6, 0, 1, 4, 1, 5, 4, 2, 6, 3, 3, 6, 7, 0, 4, 2, 2, 4, 6, 1, 3, 5, 3, 7,
    5,
];

/// A cube, its size a little different for every seed.
pub(crate) fn cube(seed: u64) -> Vec<u8> {
    let half = 0.4 + f32::from((seed % 100) as u16) / 500.0;
    let mut data = Vec::new();
    for corner in 0..8_u8 {
        for axis in 0..3 {
            let value = if corner >> axis & 1 == 1 { half } else { -half };
            data.extend_from_slice(&value.to_le_bytes());
        }
    }
    for index in TRIANGLES {
        data.extend_from_slice(&index.to_le_bytes());
    }
    let mut scene = json!({
        "asset": {"version": "2.0", "generator": "comfyport simulator"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "mode": 4}]}],
        "buffers": [{"byteLength": data.len()}],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": 96, "target": 34962},
            {"buffer": 0, "byteOffset": 96, "byteLength": 72, "target": 34963},
        ],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 8, "type": "VEC3",
             "min": [-half, -half, -half], "max": [half, half, half]},
            {"bufferView": 1, "componentType": 5123, "count": 36, "type": "SCALAR"},
        ],
    })
    .to_string();
    while !scene.len().is_multiple_of(4) {
        scene.push(' ');
    }
    let word = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = Vec::from(*b"glTF");
    out.extend_from_slice(&2_u32.to_le_bytes());
    out.extend_from_slice(&word(12 + 8 + scene.len() + 8 + data.len()));
    out.extend_from_slice(&word(scene.len()));
    out.extend_from_slice(b"JSON");
    out.extend_from_slice(scene.as_bytes());
    out.extend_from_slice(&word(data.len()));
    out.extend_from_slice(b"BIN\0");
    out.extend_from_slice(&data);
    out
}

/// A drawing with a circle in it.
pub(crate) fn svg(seed: u64) -> String {
    let colour = seed & 0xFF_FFFF;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\"><circle cx=\"32\" cy=\"32\" r=\"28\" \
         fill=\"#{colour:06x}\"/></svg>"
    )
}
