//! Photos that hide another picture from people. Of a large photo, a nearest-neighbour or plain bilinear resize looks at a
//! few pixels only; whoever changes just these makes a program see what nobody else does (Xiao et al. 2019, "Seeing is not
//! believing"; Quiring et al. 2020, "Adversarial preprocessing"). This crate's [resize](crate::resize) weighs all pixels, so
//! its answers are about what people see. That the photo was made to deceive is still worth a warning, and no sure answer.

use crate::Pixels;

/// Sizes of the input that networks commonly have, at which such a photo may be aimed. At smaller ones a photo's own detail
/// is as strong.
const SIZES: [u32; 9] = [96, 128, 160, 192, 224, 256, 299, 384, 512];
/// The [`contrast`] from which on a photo is suspected. Of 4,759 research photos one reaches it; 1 in 100 reaches 10.
const LIMIT: f32 = 20.0;
/// Blocks along a side whose means are compared, so that a photo's own fine detail averages out.
const BLOCKS: u32 = 16;
/// Pixels along a side that are looked at, about.
const SAMPLES: u32 = 96;

/// Whether a careless resize would see another picture than people do, at a common size or at `size`.
///
/// It is for photos as they come: what was shrunk on the way, as large JPEG files are while they are decoded, hides nothing
/// any more.
pub fn hides_another(photo: &Pixels, size: u32) -> bool {
    SIZES.into_iter().chain([size.max(SIZES[0])]).any(|size| contrast(photo, size) > LIMIT)
}

/// The root mean square difference, in `0.0..=255.0`, of the two pictures that nearest-neighbour resizes to `size` by `size`
/// find: at the corners of the areas that become a pixel, as OpenCV, and at their centres, as Pillow and bilinear ones. In a
/// photo they are alike. 0 where the photo is not twice as large.
pub fn contrast(photo: &Pixels, size: u32) -> f32 {
    let (width, height) = (photo.width(), photo.height());
    if width.min(height) < 2 * size {
        return 0.0;
    }
    let (pixels, _) = photo.rgb().as_chunks::<3>();
    let mut blocks = vec![[0.0_f32; 4]; (BLOCKS * BLOCKS) as usize];
    let step = (size / SAMPLES).max(1) as usize;
    for y in (0..size).step_by(step) {
        let rows = [y * height / size, (2 * y + 1) * height / (2 * size)].map(|row| row as usize * width as usize);
        for x in (0..size).step_by(step) {
            let columns = [x * width / size, (2 * x + 1) * width / (2 * size)].map(|column| column as usize);
            let [corner, center] = [0, 1].map(|i| pixels[rows[i] + columns[i]]);
            let [sums @ .., count] = &mut blocks[(y * BLOCKS / size * BLOCKS + x * BLOCKS / size) as usize];
            for channel in 0..3 {
                sums[channel] += f32::from(center[channel]) - f32::from(corner[channel]);
            }
            *count += 1.0;
        }
    }
    let squares = |[sums @ .., count]: &[f32; 4]| sums.iter().map(|sum| (sum / count.max(1.0)).powi(2)).sum::<f32>();
    (blocks.iter().map(squares).sum::<f32>() / (3 * blocks.len()) as f32).sqrt()
}
