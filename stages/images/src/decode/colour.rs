//! Colours to RGB, with the arithmetic of Pillow; of CIE L*a*b* with that of Pillow's `ImageCms` where it does not interpolate
//! in a table of its own, which is off by up to 41 levels.

/// CMYK, 255 for full ink, to RGB.
pub(crate) fn rgb_of_cmyk([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let light = 255 - i32::from(black);
    [cyan, magenta, yellow].map(|ink| {
        let product = i32::from(ink) * light + 128;
        let absorbed = ((product >> 8) + product) >> 8;
        // Lossless: clamped to a byte.
        (light - absorbed).clamp(0, 255) as u8
    })
}

/// Linear light of the primaries of sRGB by the parts of the white of D50 that CIE L*a*b* is about, with Bradford's adaptation
/// to the white of sRGB, as profiles of sRGB have it.
const PRIMARIES: [[f64; 3]; 3] = [
    [3.021_664_31, -1.616_866_77, -0.404_708_13],
    [-0.943_728_65, 1.916_141_55, 0.027_596_30],
    [0.069_369_53, -0.228_991_28, 1.159_184_68],
];

/// CIE L*a*b* of D50, as TIFF and Pillow store it (a* and b* as bytes with a sign), to sRGB.
pub(crate) fn rgb_of_lab([lightness, a, b]: [u8; 3]) -> [u8; 3] {
    const KNEE: f64 = 6.0 / 29.0;
    let signed = |byte: u8| f64::from(i8::from_ne_bytes([byte]));
    let y = (f64::from(lightness) / 2.55 + 16.0) / 116.0;
    let parts = [y + signed(a) / 500.0, y, y - signed(b) / 200.0]
        .map(|root| if root > KNEE { root.powi(3) } else { 3.0 * KNEE * KNEE * (root - 4.0 / 29.0) });
    PRIMARIES.map(|[x, y, z]| {
        let light = (x * parts[0] + y * parts[1] + z * parts[2]).clamp(0.0, 1.0);
        let share = if light <= 0.003_130_8 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
        // Lossless: from 0 to 255.
        (share * 255.0).round() as u8
    })
}

/// Applies `convert` to the first `N` samples of each pixel of `channels`.
pub(crate) fn convert<const N: usize>(samples: &[u8], channels: usize, to_rgb: impl Fn([u8; N]) -> [u8; 3]) -> Vec<u8> {
    let mut out = Vec::with_capacity(samples.len() / channels * 3);
    for pixel in samples.chunks_exact(channels) {
        if let Some(colour) = pixel.first_chunk::<N>() {
            out.extend(to_rgb(*colour));
        }
    }
    out
}
