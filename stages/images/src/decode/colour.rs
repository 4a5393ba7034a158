//! Colours to RGB, with the arithmetic of Pillow.

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
